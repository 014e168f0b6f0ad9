"""Devices that show a client certificate: to the listener of their own, and through nginx as docs/behind-a-proxy.md says."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from otaru.adapters.clock import SystemClock
from otaru.apps.server.admin import offline
from otaru.apps.server.roads.authorities import Authorities
from otaru.apps.server.settings import load
from otaru.domain.device import Hardware, LifecycleEvent
from otaru.domain.ids import DEFAULT_TENANT, DeviceId, TenantId
from otaru.services.control import devices, tenants
from otaru.services.control.world import SYSTEM
from tests.support.certificates import SERVER, Authority, Issued, ServerTls, authority, bundle, server_tls
from tests.support.ddi import Operator, eventually
from tests.support.nginx import PROGRAM, nginx, nginx_folder, written
from tests.support.server import Serving, otaru, serving

OTHER = TenantId("other")
PROXY = "127.0.0.2"
"""The one trusted address. Tests themselves come from 127.0.0.1."""


@dataclass
class Plant:
    """A server with both listeners, and the authority that makes devices."""

    server: Serving
    tls: ServerTls
    root: Authority
    below: Authority
    """Signed by a root that the server does not know."""
    folder: Path

    def issue(self, device: str = "dev-1", tenant: str | None = "DEFAULT", **more: object) -> Issued:
        return issue(self.root, device, tenant, **more)

    def context(self, shown: Issued | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        if shown is not None:
            context.load_cert_chain(*shown.files(self.folder, "device"))
        return context

    @contextmanager
    def client(
        self, shown: Issued | None, url: str | None = None, address: str | None = None
    ) -> Iterator[httpx.Client]:
        transport = httpx.HTTPTransport(verify=self.context(shown), local_address=address)
        with httpx.Client(base_url=url or self.server.device_url, timeout=30, transport=transport) as client:
            yield client

    def poll(self, shown: Issued | None, path: str = "/DEFAULT/controller/v1/dev-1", **headers: str) -> httpx.Response:
        """On the devices' own listener."""
        with self.client(shown) as client:
            return client.get(path, headers=headers)

    def forwarded(self, header: str, address: str = PROXY) -> httpx.Response:
        """On everybody's listener, as a proxy at `address` would."""
        with self.client(None, self.server.url, address) as client:
            headers = {"Client-Cert": header, "X-Forwarded-For": "192.0.2.1"}
            return client.get("/DEFAULT/controller/v1/dev-1", headers=headers)


def issue(by: Authority, device: str = "dev-1", tenant: str | None = "DEFAULT", **more: object) -> Issued:
    return by.device(device, tenant, **{"days": 36_500, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("mtls")
    data, tls, root = folder / "data", server_tls(folder), authority("Our devices")
    below = authority("Their root").authority("Plant 2")
    data.mkdir()
    asyncio.run(_prepare(data))
    with serving(
        data,
        *tls.options,
        *("--client-ca", str(bundle(folder, root, below)), "--device-listen", "127.0.0.1:0"),
        *("--client-cert-header", "Client-Cert", "--trusted-proxies", PROXY),
        *("--public-url", "https://ota.example", "--log-level", "debug"),
    ) as server:
        yield Plant(server, tls, root, below, folder)
        assert server.stop() == 0


async def _prepare(data: Path) -> None:
    async with offline(load(data=data)) as world:
        await tenants.ensure(world, OTHER)
        for tenant in (DEFAULT_TENANT, OTHER):
            for name in ("dev-1", "dev-2", "gone", "held"):
                await devices.add(world, tenant, SYSTEM, devices.NewDevice(DeviceId(name), Hardware("default")))
            await devices.move(world, tenant, SYSTEM, DeviceId("held"), LifecycleEvent.QUARANTINE)
            await devices.decommission(world, tenant, SYSTEM, DeviceId("gone"))


def test_a_device_with_its_own_certificate_is_let_in(plant: Plant) -> None:
    answer = plant.poll(plant.issue())
    assert answer.status_code == 200
    # Links lead where it came from, not to the public address, which asks for no certificate.
    assert answer.json()["_links"]["configData"]["href"].startswith(f"{plant.server.device_url}/DEFAULT/")
    assert plant.poll(plant.issue(tenant=None)).status_code == 200
    assert plant.poll(plant.issue(tenant="other"), "/other/controller/v1/dev-1").status_code == 200


def test_an_authority_below_a_root_needs_no_root_here(plant: Plant) -> None:
    assert plant.poll(issue(plant.below)).status_code == 200


def test_its_contact_is_noted(plant: Plant) -> None:
    assert plant.poll(plant.issue("dev-2"), "/DEFAULT/controller/v1/dev-2").status_code == 200
    with plant.server.api(verify=plant.context()) as api:
        seen = eventually(lambda: (now := api.get("/devices/dev-2").json())["last_contact"] and now)
    assert seen["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("device", "tenant", "path", "status"),
    [
        ("dev-2", "DEFAULT", "/DEFAULT/controller/v1/dev-1", 401),
        ("dev-1", "other", "/DEFAULT/controller/v1/dev-1", 401),
        ("dev-1", "DEFAULT", "/other/controller/v1/dev-1", 401),
        ("dev-1", None, "/other/controller/v1/dev-1", 401),
        ("DEV-1", "DEFAULT", "/DEFAULT/controller/v1/dev-1", 401),
        ("gone", "DEFAULT", "/DEFAULT/controller/v1/gone", 401),
        ("nobody", "DEFAULT", "/DEFAULT/controller/v1/nobody", 404),
        ("held", "DEFAULT", "/DEFAULT/controller/v1/held", 200),
    ],
)
def test_whom_a_certificate_speaks_for(plant: Plant, device: str, tenant: str | None, path: str, status: int) -> None:
    answer = plant.poll(plant.issue(device, tenant), path)
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "shown",
    [
        lambda _: None,
        lambda _: issue(authority("Our devices")),
        lambda root: issue(root, days=1),
        lambda root: issue(root, usages=(SERVER,)),
        lambda root: issue(root.authority("Plant 1")),
    ],
    ids=["none", "stranger's", "expired", "a server's", "deep"],
)
def test_without_a_good_certificate_there_is_no_connection(
    plant: Plant, shown: Callable[[Authority], Issued | None]
) -> None:
    # In TLS 1.3 the client thinks it is connected until it reads.
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)):
        plant.poll(shown(plant.root))


def test_a_token_decides_where_there_is_one(plant: Plant) -> None:
    assert plant.poll(plant.issue(), authorization="TargetToken wrong").status_code == 401


@pytest.mark.parametrize("path", ["/", "/api/v1/devices", "/api/docs", "/login", "/static/app.js"])
def test_devices_own_listener_has_nothing_else(plant: Plant, path: str) -> None:
    token = f"Bearer {plant.server.token}"
    assert plant.poll(plant.issue(), path, authorization=token).status_code == 404


def test_a_decommissioned_device_is_refused_on_its_open_connection(plant: Plant) -> None:
    with (
        plant.server.api(verify=plant.context()) as api,
        httpx.Client(base_url=plant.server.url) as nobody,
        plant.client(plant.issue("leaver")) as client,
    ):
        Operator(plant.server, api, nobody).device(id_="leaver")
        assert client.get("/DEFAULT/controller/v1/leaver").status_code == 200
        api.delete("/devices/leaver").raise_for_status()
        assert client.get("/DEFAULT/controller/v1/leaver").status_code == 401


def test_everybodys_listener_asks_for_no_certificate(plant: Plant) -> None:
    with plant.client(plant.issue(), plant.server.url) as client:
        assert client.get("/DEFAULT/controller/v1/dev-1").status_code == 401
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("form", ["rfc9440", "escaped"])
def test_a_trusted_proxy_hands_a_certificate_on(plant: Plant, form: str) -> None:
    assert plant.forwarded(getattr(plant.issue(), form)).status_code == 200
    assert plant.forwarded(getattr(plant.issue("dev-2"), form)).status_code == 401
    assert plant.forwarded(getattr(plant.issue(tenant="other"), form)).status_code == 401


def test_what_a_proxy_hands_on_is_verified(plant: Plant) -> None:
    for bad in (
        issue(authority("Our devices")),
        plant.issue(days=1),
        plant.issue(usages=(SERVER,)),
    ):
        answer = plant.forwarded(bad.rfc9440)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert plant.forwarded("dev-1").status_code == 401


def test_from_anybody_else_the_header_is_not_there(plant: Plant) -> None:
    for header in (plant.issue().rfc9440, "junk"):
        answer = plant.forwarded(header, "127.0.0.1")
        assert answer.status_code == 401
        assert answer.json()["detail"] == "the request has no credential"


def _server(plant: Plant, name: str, port: int) -> str:
    """A server block of the page, on this machine."""
    block = written(rf"server \{{\n    listen 443 ssl;\n    server_name {name}")
    for there, here in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/chain.pem", str(plant.tls.chain)),
        ("/etc/ssl/key.pem", str(plant.tls.key)),
        ("/etc/otaru/devices-ca.pem", str(plant.folder / "client-ca.pem")),
        ("proxy_pass http://127.0.0.1:8080;", f"proxy_pass {plant.server.url}; proxy_bind {PROXY};"),
    ):
        block = block.replace(there, here)
    return block


@contextmanager
def _behind_nginx(plant: Plant, name: str) -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("nginx is not installed")
    with nginx_folder() as folder, nginx(folder, lambda port: _server(plant, name, port)) as port:
        yield f"https://127.0.0.1:{port}"


def test_nginx_hands_certificates_on(plant: Plant) -> None:
    with _behind_nginx(plant, "devices.ota.example") as url:
        with plant.client(plant.issue(), url) as client:
            answer = client.get("/DEFAULT/controller/v1/dev-1")
            assert answer.status_code == 200
            assert answer.json()["_links"]["configData"]["href"].startswith(f"{url}/DEFAULT/")
            assert client.get("/DEFAULT/controller/v1/dev-2").status_code == 401
            # What it brings along in the header is replaced by what it has shown.
            mine = {"Client-Cert": plant.issue("dev-2").rfc9440}
            assert client.get("/DEFAULT/controller/v1/dev-2", headers=mine).status_code == 401
            assert client.get("/api/v1/devices").status_code == 404
        with plant.client(issue(authority("Our devices")), url) as client:
            assert client.get("/DEFAULT/controller/v1/dev-1").status_code == 400
        with plant.client(None, url) as client:
            assert client.get("/DEFAULT/controller/v1/dev-1").status_code == 400


def test_nginx_takes_the_header_from_those_it_asks_for_no_certificate(plant: Plant) -> None:
    with _behind_nginx(plant, "ota.example") as url, plant.client(None, url) as client:
        stolen = {"Client-Cert": plant.issue().rfc9440}
        assert client.get("/DEFAULT/controller/v1/dev-1", headers=stolen).status_code == 401
        assert client.get("/healthz").status_code == 200


def test_the_pages_recipe_makes_a_good_certificate(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/connect/certificates.md").read_text()
    recipe = page.partition("```sh\n")[2].partition("```")[0]
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, check=True, capture_output=True)
    key = load_pem_private_key((tmp_path / "dev-1.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = Issued(x509.load_pem_x509_certificate((tmp_path / "dev-1.pem").read_bytes()), key)
    certificate = Authorities(tmp_path / "devices-ca.pem").verify(made.der, SystemClock().now())
    assert (certificate.tenant, certificate.device) == ("DEFAULT", "dev-1")


@contextmanager
def _operating(plant: Plant, name: str) -> Iterator[httpx.Client]:
    """The API, and a new device."""
    with plant.server.api(verify=plant.context()) as api:
        api.post("/devices", json={"id": name, "hardware": "default"}).raise_for_status()
        yield api


def _forwarded(plant: Plant, shown: Issued, path: str) -> int:
    with plant.client(None, plant.server.url, PROXY) as client:
        return client.get(path, headers={"Client-Cert": shown.rfc9440}).status_code


def test_a_certificate_is_let_in_by_its_credential_alone(plant: Plant) -> None:
    """Of an authority that may speak for nobody: not its subject says whose it is, but the credential."""
    strange = authority("Strange devices")
    mine, alike = issue(strange, "whoever"), issue(strange, "pinned")
    here = "/DEFAULT/controller/v1/pinned"
    with _operating(plant, "pinned") as api:
        missing = api.post("/devices/pinned/credentials", json={"kind": "certificate", "pem": mine.pem.decode()})
        assert (missing.status_code, missing.json()["code"]) == (400, "invalid_input")
        pem = (mine.pem + strange.pem).decode()
        made = api.post("/devices/pinned/credentials", json={"kind": "certificate", "pem": pem})
        assert made.status_code == 201, made.text
        assert _forwarded(plant, mine, here) == 200
        assert _forwarded(plant, alike, here) == 401
        assert _forwarded(plant, mine, "/DEFAULT/controller/v1/dev-1") == 401
        assert _forwarded(plant, mine, "/other/controller/v1/dev-1") == 401
        # The same name and the same key, but signed by somebody else.
        impostor = authority("Strange devices")
        assert _forwarded(plant, issue(impostor, "whoever"), here) == 401

        def connected() -> bool:
            try:
                return plant.poll(mine, here).status_code == 200
            except httpx.TransportError:
                return False

        eventually(connected)  # the listener has learnt of the authority
        with plant.client(mine) as client:
            assert client.get(here).status_code == 200
            api.delete(f"/devices/pinned/credentials/{made.json()['id']}").raise_for_status()
            assert client.get(here).status_code == 401
        again = api.post("/devices/pinned/credentials", json={"kind": "certificate", "pem": pem})
        assert (again.status_code, again.json()["code"]) == (403, "refused")


def test_a_certificate_may_be_signed_with_its_own_key(plant: Plant) -> None:
    own = authority("self")
    with _operating(plant, "alone") as api:
        body = {"kind": "certificate", "pem": own.pem.decode()}
        api.post("/devices/alone/credentials", json=body).raise_for_status()
        assert _forwarded(plant, own, "/DEFAULT/controller/v1/alone") == 200
        assert _forwarded(plant, authority("self"), "/DEFAULT/controller/v1/alone") == 401


def test_a_revoked_key_is_refused_whoever_names_it(plant: Plant) -> None:
    """An authority in `client_ca` may speak for a device, but not with a key that was revoked."""
    shown, here = plant.issue("stolen"), "/DEFAULT/controller/v1/stolen"
    with _operating(plant, "stolen") as api:
        assert plant.poll(shown, here).status_code == 200
        body = {"kind": "certificate", "pem": shown.pem.decode() + plant.root.pem.decode()}
        made = api.post("/devices/stolen/credentials", json=body).json()
        assert plant.poll(shown, here).status_code == 200
        api.delete(f"/devices/stolen/credentials/{made['id']}").raise_for_status()
        assert plant.poll(shown, here).status_code == 401
        assert plant.poll(plant.issue("stolen"), here).status_code == 200  # with another key


def test_tokens_beside_the_first(plant: Plant) -> None:
    here = "/DEFAULT/controller/v1/rotating"
    with (
        _operating(plant, "rotating") as api,
        httpx.Client(base_url=plant.server.url, verify=plant.context()) as device,
    ):

        def status(token: str) -> int:
            return device.get(here, headers={"Authorization": f"TargetToken {token}"}).status_code

        first = api.post("/devices/rotating/token", json={}).json()["token"]
        made = [api.post("/devices/rotating/credentials", json={"kind": "token"}).json() for _ in range(2)]
        assert [status(token) for token in (first, made[0]["token"], made[1]["token"], "wrong")] == [200, 200, 200, 401]
        api.delete(f"/devices/rotating/credentials/{made[0]['id']}").raise_for_status()
        assert [status(token) for token in (first, made[0]["token"], made[1]["token"])] == [200, 401, 200]
        targets = device.get("/tuf/DEFAULT/image/targets/nothing", auth=("rotating", made[1]["token"]))
        assert targets.status_code == 404
        assert device.get("/tuf/DEFAULT/image/targets/nothing", auth=("rotating", made[0]["token"])).status_code == 401
        api.post("/devices/rotating/token", json={}).raise_for_status()
        assert [status(token) for token in (first, made[1]["token"])] == [401, 200]
        api.delete("/devices/rotating").raise_for_status()
        assert status(made[1]["token"]) == 401


def test_nothing_of_a_certificate_is_logged(plant: Plant) -> None:
    stranger = issue(authority("Our devices"), "dev-secret")
    assert plant.forwarded(stranger.rfc9440).status_code == 401
    assert plant.forwarded(stranger.escaped).status_code == 401
    with pytest.raises(httpx.HTTPError):
        plant.poll(stranger)
    log = (plant.folder / "data.log").read_text()
    assert "dev-secret" not in log
    assert stranger.rfc9440[10:60] not in log


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--device-listen", "127.0.0.1:0"), "needs tls_cert"),
        (("--client-cert-header", "Client-Cert"), "needs trusted_proxies"),
        (("--client-ca", "ca.pem"), "needs device_listen"),
        (("--device-listen", "8444"), "HOST:PORT"),
        (("--client-cert-header", "Client Cert"), "client_cert_header"),
        (
            ("--client-ca", "/dev/null", "--trusted-proxies", "::1", "--client-cert-header", "C"),
            "holds no certificates",
        ),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    ran = otaru("serve", "--data", str(tmp_path / "data"), *options, check=False)
    assert ran.returncode != 0
    assert why in ran.stderr
