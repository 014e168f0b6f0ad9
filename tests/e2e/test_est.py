"""EST and the embedded authority, by strangers: `openssl` makes keys and requests, `curl` sends them and polls."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from otaru.apps.server.admin import offline
from otaru.apps.server.settings import load
from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId, TenantId
from otaru.services.control import authorities, devices, tenants
from otaru.services.control.world import SYSTEM
from tests.support.certificates import ServerTls, server_tls
from tests.support.command import call
from tests.support.ddi import eventually
from tests.support.server import Serving, otaru, serving
from tests.support.softhsm import MODULE, PIN, address, make_token

OTHER = TenantId("other")
pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="curl, openssl")


@dataclass
class Answer:
    status: int
    headers: str
    body: bytes


@dataclass
class Plant:
    server: Serving
    tls: ServerTls
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def cli(self, line: str, code: int = 0) -> str:
        done = call(self.server, *line.split(), OTARU_CA=str(self.tls.ca), OTARU_PIN=PIN)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, line: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.cli(f"{line} --json"))
        return found

    def add(self, device: str) -> str:
        self.tokens[device] = str(self.json(f"device add {device} --hardware default")["token"])
        return self.tokens[device]

    def openssl(self, *arguments: str) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def request(
        self, name: str, *more: str, kind: tuple[str, ...] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    ) -> None:
        """Make NAME.key and, in base64 of DER, NAME.b64."""
        self.openssl(
            "req",
            "-new",
            "-newkey",
            *kind,
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-outform",
            "DER",
            "-out",
            f"{name}.der",
            *more,
        )
        self.openssl("base64", "-in", f"{name}.der", "-out", f"{name}.b64")

    def curl(self, url: str, *arguments: str) -> Answer:
        out, head = self.folder / "out", self.folder / "head"
        out.unlink(missing_ok=True)
        done = subprocess.run(
            ["curl", "-sS", "--cacert", str(self.tls.ca), "-o", out, "-D", head, "-w", "%{http_code}", *arguments, url],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in {0, 35, 52, 55, 56}, done.stderr
        return Answer(
            int(done.stdout), head.read_text() if head.exists() else "", out.read_bytes() if out.exists() else b""
        )

    def est(self, operation: str, *arguments: str, url: str | None = None) -> Answer:
        return self.curl(f"{url or self.server.url}/.well-known/est/{operation}", *arguments)

    def enroll(self, name: str, device: str, *, label: str = "DEFAULT", user: str | None = None) -> Answer:
        user = user or f"{device}:{self.tokens[device]}"
        return self.est(f"{label}/simpleenroll" if label else "simpleenroll", "-u", user, *sending(name))

    def certificate(self, answer: Answer, name: str) -> str:
        """The certificate of an answer, written to NAME.pem by openssl; what it says of it."""
        assert answer.status == 200, answer
        assert "application/pkcs7-mime; smime-type=certs-only" in answer.headers
        assert "content-transfer-encoding: base64" in answer.headers
        (self.folder / "answer.b64").write_bytes(answer.body)
        self.openssl("base64", "-d", "-in", "answer.b64", "-out", "answer.der")
        self.openssl("pkcs7", "-inform", "DER", "-in", "answer.der", "-print_certs", "-out", f"{name}.pem")
        return self.openssl("x509", "-in", f"{name}.pem", "-noout", "-text")

    def poll(self, name: str, device: str, tenant: str = "DEFAULT") -> int:
        shown = ("--cert", f"{name}.pem", "--key", f"{name}.key")
        return self.curl(f"{self.server.device_url}/{tenant}/controller/v1/{device}", *shown).status

    def reenroll(self, shown: str, name: str) -> Answer:
        url = self.server.device_url
        return self.est(
            "DEFAULT/simplereenroll", "--cert", f"{shown}.pem", "--key", f"{shown}.key", *sending(name), url=url
        )


def sending(name: str) -> tuple[str, ...]:
    return ("-H", "Content-Type: application/pkcs10", "--data-binary", f"@{name}.b64")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("est")
    tls = server_tls(folder)
    (folder / "data").mkdir()
    asyncio.run(_prepare(folder / "data"))
    options = (*tls.options, "--device-listen", "127.0.0.1:0")
    with serving(folder / "data", *options) as server:
        plant = Plant(server, tls, folder)
        for device in ("dev-1", "dev-2"):
            plant.add(device)
        made = plant.cli("ca init")
        (folder / "root.pem").write_text(made)
        yield plant
        assert server.stop() == 0


async def _prepare(data: Path) -> None:
    async with offline(load(data=data)) as world:
        await tenants.ensure(world, OTHER)
        await authorities.create(world, OTHER, SYSTEM)
        await devices.add(world, OTHER, SYSTEM, devices.NewDevice(DeviceId("twin"), Hardware("default")))


def test_a_device_enrols_polls_renews_and_is_revoked(plant: Plant) -> None:
    plant.request("first", "-subj", "/CN=dev-1")
    text = plant.certificate(plant.enroll("first", "dev-1"), "first")
    assert "URI:urn:ota:DEFAULT:dev-1" in text
    assert "TLS Web Client Authentication" in text
    assert "ecdsa-with-SHA256" in text
    assert "OK" in plant.openssl("verify", "-purpose", "sslclient", "-CAfile", "root.pem", "first.pem")
    # The listener has learnt of the authority, which is younger than it.
    eventually(lambda: plant.poll("first", "dev-1") == 200)
    assert plant.poll("first", "dev-2") == 401

    plant.request("second", "-subj", "/")
    plant.certificate(plant.reenroll("first", "second"), "second")
    assert plant.poll("second", "dev-1") == 200
    assert plant.poll("first", "dev-1") == 200  # the overlap
    rows = plant.json("device credential list dev-1")["items"]
    assert isinstance(rows, list)
    old, new = sorted(rows, key=lambda row: row["id"])
    assert old["expires_at"] < new["expires_at"]

    plant.cli(f"device credential revoke dev-1 {new['id']}")
    assert plant.poll("second", "dev-1") == 401
    assert plant.reenroll("second", "second").status == 401
    assert plant.enroll("second", "dev-1").status == 403  # the key never comes back
    assert plant.poll("first", "dev-1") == 200


def test_renewing_with_the_same_key_keeps_its_credential(plant: Plant) -> None:
    plant.add("dev-same")
    plant.request("same", "-subj", "/")
    plant.certificate(plant.enroll("same", "dev-same"), "same")
    eventually(lambda: plant.poll("same", "dev-same") == 200)
    plant.certificate(plant.reenroll("same", "same"), "same")
    assert plant.poll("same", "dev-same") == 200
    assert len(plant.json("device credential list dev-same")["items"]) == 1  # type: ignore[arg-type]


def test_ed25519_and_a_label_that_is_left_out(plant: Plant) -> None:
    plant.add("dev-ed")
    plant.request("ed", "-subj", "/", kind=("ed25519",))
    plant.certificate(plant.enroll("ed", "dev-ed", label=""), "ed")
    eventually(lambda: plant.poll("ed", "dev-ed") == 200)


def test_decommissioning_revokes_all(plant: Plant) -> None:
    plant.add("leaver")
    plant.request("leaver", "-subj", "/")
    plant.certificate(plant.enroll("leaver", "leaver"), "leaver")
    eventually(lambda: plant.poll("leaver", "leaver") == 200)
    plant.cli("device decommission leaver --yes")
    assert plant.poll("leaver", "leaver") == 401
    assert plant.enroll("leaver", "leaver").status == 401


def test_cacerts_are_the_authoritys(plant: Plant) -> None:
    answer = plant.est("DEFAULT/cacerts")
    plant.certificate(answer, "cacerts")
    shown = x509.load_pem_x509_certificate((plant.folder / "cacerts.pem").read_bytes())
    assert shown == x509.load_pem_x509_certificate((plant.folder / "root.pem").read_bytes())
    assert plant.est("other/cacerts").body != answer.body
    assert plant.est("csrattrs").status == 200
    (plant.folder / "attributes").write_bytes(plant.est("DEFAULT/csrattrs").body)
    plant.openssl("base64", "-d", "-in", "attributes", "-out", "attributes.der")
    parsed = plant.openssl("asn1parse", "-inform", "DER", "-in", "attributes.der")
    assert "prime256v1" in parsed
    assert "ecdsa-with-SHA256" in parsed
    assert plant.est("nowhere/cacerts").status == 404
    assert plant.est("DEFAULT/fullcmc").status == 404
    assert plant.est("DEFAULT/simpleenroll").status == 405


@pytest.mark.parametrize(
    ("name", "more", "status"),
    [
        ("another", ("-subj", "/CN=dev-2"), 400),
        ("org", ("-subj", "/O=other/CN=dev-1"), 400),
        ("words", ("-subj", "/CN=dev-1/OU=x"), 400),
        ("san", ("-subj", "/", "-addext", "subjectAltName=URI:urn:ota:DEFAULT:dev-2"), 400),
        ("dns", ("-subj", "/", "-addext", "subjectAltName=DNS:example.org"), 400),
        ("rightly", ("-subj", "/O=DEFAULT/CN=dev-1", "-addext", "subjectAltName=URI:urn:ota:DEFAULT:dev-1"), 200),
    ],
)
def test_a_request_asks_for_its_own_name(plant: Plant, name: str, more: tuple[str, ...], status: int) -> None:
    plant.request(name, *more)
    assert plant.enroll(name, "dev-1").status == status


def test_requests_that_are_none(plant: Plant) -> None:
    plant.request("rsa", "-subj", "/", kind=("rsa:2048",))
    assert plant.enroll("rsa", "dev-1").status == 400
    plant.request("broken", "-subj", "/")
    der = bytearray((plant.folder / "broken.der").read_bytes())
    der[-1] ^= 1
    (plant.folder / "broken.der").write_bytes(der)
    plant.openssl("base64", "-in", "broken.der", "-out", "broken.b64")
    answer = plant.enroll("broken", "dev-1")
    assert answer.status == 400
    (plant.folder / "junk.b64").write_bytes(b"no request")
    assert plant.enroll("junk", "dev-1").status == 400
    (plant.folder / "huge.b64").write_bytes(b"A" * 100_000)
    assert plant.enroll("huge", "dev-1").status == 413
    plant.request("plain", "-subj", "/")
    user = ("-u", f"dev-1:{plant.tokens['dev-1']}")
    assert plant.est("simpleenroll", *user, "--data-binary", "@plain.b64").status == 400


def test_who_may_not_ask(plant: Plant) -> None:
    plant.request("asker", "-subj", "/")
    for user in ("dev-1:wrong", f"dev-2:{plant.tokens['dev-1']}", "nobody:wrong", "dev-1"):
        answer = plant.enroll("asker", "dev-1", user=user)
        assert answer.status == 401
        assert "www-authenticate: Basic" in answer.headers
    assert plant.enroll("asker", "dev-1", label="other").status == 401
    assert plant.est("simpleenroll", *sending("asker")).status == 401
    # simplereenroll is for those who show a certificate.
    assert plant.est("simplereenroll", "-u", f"dev-1:{plant.tokens['dev-1']}", *sending("asker")).status == 401


def test_a_device_that_is_not_in_service_comes_again(plant: Plant) -> None:
    plant.add("held")
    plant.cli("device quarantine held")
    plant.request("held", "-subj", "/")
    answer = plant.enroll("held", "held")
    assert answer.status == 202
    assert "retry-after: " in answer.headers
    plant.cli("device release held")
    assert plant.enroll("held", "held").status == 200


def test_a_key_is_one_devices(plant: Plant) -> None:
    plant.request("shared", "-subj", "/")
    assert plant.enroll("shared", "dev-1").status == 200
    assert plant.enroll("shared", "dev-2").status == 409


def test_nothing_of_a_tenant_opens_another(plant: Plant) -> None:
    """The same device id in both tenants: a certificate of one tenant's authority never opens the other."""
    plant.add("twin")
    plant.request("twin", "-subj", "/")
    plant.certificate(plant.enroll("twin", "twin"), "twin")
    eventually(lambda: plant.poll("twin", "twin") == 200)
    assert plant.poll("twin", "twin", "other") == 401
    answer = plant.est(
        "other/simpleenroll", "--cert", "twin.pem", "--key", "twin.key", *sending("twin"), url=plant.server.device_url
    )
    assert answer.status == 401


def test_an_authority_below_an_offline_root(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        plant = Plant(server, ServerTls(tmp_path, tmp_path, Path("/dev/null")), tmp_path)
        plant.add("dev-1")
        (tmp_path / "ca.csr").write_text(plant.cli("ca init --below"))
        plant.request("dev", "-subj", "/")
        assert plant.enroll("dev", "dev-1").status == 404  # it waits for its certificate
        plant.openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=Root",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
        )
        (tmp_path / "ca.ext").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n")
        plant.openssl(
            "x509",
            "-req",
            "-in",
            "ca.csr",
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
            "-CAcreateserial",
            "-days",
            "365",
            "-extfile",
            "ca.ext",
            "-out",
            "ca.pem",
        )
        (tmp_path / "chain.pem").write_bytes((tmp_path / "ca.pem").read_bytes() + (tmp_path / "root.pem").read_bytes())
        plant.cli(f"ca import {tmp_path / 'root.pem'}", 2)
        plant.cli(f"ca import {tmp_path / 'chain.pem'}")
        plant.certificate(plant.enroll("dev", "dev-1"), "dev")
        verified = plant.openssl("verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", "dev.pem")
        assert "OK" in verified
        plant.certificate(plant.est("cacerts"), "both")
        assert len(x509.load_pem_x509_certificates((tmp_path / "both.pem").read_bytes())) == 2
        assert plant.cli("ca show") == (tmp_path / "chain.pem").read_text()


def test_an_authority_in_a_token(tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    if not Path(MODULE).exists():
        pytest.skip("SoftHSM2 is not installed")
    uri = address(make_token(tmp_path / "hsm", "otaru", "ca"), "ca")
    with serving(tmp_path / "data", OTARU_PIN=PIN) as server:
        plant = Plant(server, ServerTls(tmp_path, tmp_path, Path("/dev/null")), tmp_path)
        plant.add("dev-1")
        nowhere = otaru("ca", "key", uri, "--data", str(tmp_path / "dta"), check=False, OTARU_PIN=PIN)
        assert (nowhere.returncode, (tmp_path / "dta").exists()) == (2, False), nowhere.stderr
        key = json.loads(plant.cli(f"ca key {uri} --data {server.data} --json"))["key"]
        (tmp_path / "root.pem").write_text(plant.cli(f"ca init --key {key}"))
        plant.request("dev", "-subj", "/")
        plant.certificate(plant.enroll("dev", "dev-1"), "dev")
        assert "OK" in plant.openssl("verify", "-CAfile", "root.pem", "dev.pem")
    assert not list((tmp_path / "data" / "keys").rglob(f"{key}.pem"))
