"""Devices without a network: a stick goes to them, receipts come back. Their agents run where there is no network at all."""

import contextlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from otaru.adapters.board.bootloaders import select
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.signers.file import FileSigner, generate, write_key
from otaru.domain.ids import DeviceId
from otaru.protocols.bundle import device_file
from otaru.trust.tuf.keys import as_pem
from tests.support import softhsm
from tests.support.ddi import Operator, eventually
from tests.support.host import Host
from tests.support.server import OTARU, Serving, environment, otaru, serving

NO_NETWORK = ("unshare", "-rn", "--")


@dataclass
class Place:
    """A server, its devices far from it, and who goes there."""

    server: Serving
    operator: Operator
    folder: Path
    number: int = 0
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, name: str, site: str, *key: str, **options: Any) -> Host:
        """A device that was enrolled before it went there."""
        host = Host(self.folder / name, **options)
        claim = json.loads(self.server.otaru("enrollment", "create", name, "--quota", "1", "--json").stdout)["claim"]
        host.enroll(self.server.url, "--token", str(claim), *key, device=name)
        self.operator.ok("PATCH", f"/devices/{name}", json={"attributes": {"site": site}})
        self.hosts[name] = host
        return host

    def rollout(self, target: str, component: str, data: bytes, version: str = "2.0.0", **policy: Any) -> int:
        self.number += 1
        name = f"gateway-{self.number}"
        made = self.operator.ok("POST", "/artifacts", params={"filename": "it.bin"}, content=data)
        file = {"sha256": made["sha256"], "filename": "it.bin", "hardware": ["gateway"], "component": component}
        self.operator.ok("POST", "/releases", json={"product": name, "version": version, "artifacts": [file]})
        body = {"release": f"{name}:{version}", "target": target, "start": True, **policy}
        return int(self.operator.ok("POST", "/rollouts", json=body)["id"])

    def export(self, rollout: int, out: Path, *words: str, code: int = 0) -> Any:
        done = self.server.otaru(
            "bundle", "export", "--rollout", str(rollout), "--out", str(out), *words, "--json", check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    def bring(self, *paths: Path, code: int = 0) -> list[dict[str, Any]]:
        done = self.server.otaru("bundle", "import", *map(str, paths), "--json", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return list(json.loads(done.stdout)["items"]) if done.stdout else []

    def states(self, rollout: int) -> dict[str, str]:
        found = self.operator.ok("GET", f"/rollouts/{rollout}/deployments")["items"]
        return {one["device"]: one["state"] for one in found}


def install(host: Host, stick: Path, *words: str, code: int | None = 0) -> Any:
    """`otaru agent install`, in a network namespace of its own: not even loopback is up there."""
    (host.folder / "started").write_text(select(LocalDisk(), str(host.folder / "boot")) if host.slots else "a")
    done = subprocess.run(
        [*NO_NETWORK, *OTARU, "agent", "install", str(stick), "--config", str(host.config), *words, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert code is None or done.returncode == code, f"{done.returncode} {done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    with (
        serving(folder / "server", OTARU_POLL_INTERVAL_S="1") as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        found = Place(server, Operator(server, api, devices), folder)
        made = found.operator.ok("POST", "/artifacts", params={"filename": "0.bin"}, content=b"the keys begin")
        file = {"sha256": made["sha256"], "filename": "0.bin", "hardware": ["gateway"], "component": "app"}
        found.operator.ok("POST", "/releases", json={"product": "first", "version": "1", "artifacts": [file]})
        yield found


def archive(version: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("version")
        info.size = len(version)
        tar.addfile(info, io.BytesIO(version.encode()))
    return made.getvalue()


def test_a_stick_goes_there_and_receipts_come_back(place: Place, tmp_path: Path) -> None:
    hosts = [place.host(f"mine-{n}", "7", slots=False) for n in range(3)]
    place.host("harbour", "8", slots=False)
    rollout = place.rollout("id==mine-*,id==harbour", "app", archive("2.0.0"), validate_s=3600)
    usb = tmp_path / "usb"
    made = place.export(rollout, usb, "--devices", "attr.site==7")
    assert (made["devices"], [one["sealed"] for one in made["bundles"]]) == (3, [True])
    assert place.states(rollout) == {**{f"mine-{n}": "offered" for n in range(3)}, "harbour": "scheduled"}
    (why,) = place.operator.ok("GET", "/devices/mine-0/why")["answers"]
    assert "on a stick until" in why["because"]
    (listed,) = place.operator.ok("GET", f"/bundles?rollout={rollout}")["items"]
    assert (listed["id"], listed["devices"]) == (made["bundles"][0]["id"], 3)
    with httpx.Client(base_url=place.server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as browser:
        assert browser.post("/login", data={"token": place.server.token}).status_code == 303
        page = browser.get(f"/rollouts/{rollout}").text
    assert made["bundles"][0]["id"] in page
    assert f"otaru bundle export --rollout {rollout}" in page
    for host in hosts:
        told = install(host, usb)
        assert (told["outcome"], host.running()) == ("succeeded", "2.0.0")
        assert len(told["receipts"]) == 1
    assert install(hosts[0], usb, code=3)["outcome"] == "succeeded", "once is enough"
    assert "no bundle there is for harbour" in install(place.hosts["harbour"], usb, code=1)
    assert set(place.states(rollout).values()) == {"offered", "scheduled"}, "nobody has told the server"
    brought = place.bring(usb / "receipts")
    assert [(one["taken"], one["moved"]) for one in brought] == [(True, True)] * 3
    assert place.states(rollout) == {**{f"mine-{n}": "succeeded" for n in range(3)}, "harbour": "scheduled"}
    (runs,) = place.operator.ok("GET", "/devices/mine-1")["installed"]
    assert (runs["version"], runs["source"], runs["confirmed"]) == ("2.0.0", "offline", True)
    events = place.operator.ok("GET", "/events?newest=true&limit=50")["items"]
    assert {"rollout.exported", "device.receipt"} <= {one["kind"] for one in events}
    again = place.bring(usb / "receipts", code=3)
    assert [one["moved"] for one in again] == [False] * 3, "a receipt counts once"
    assert place.operator.ok("GET", f"/rollouts/{rollout}")["counts"]["succeeded"] == 3


def test_the_console_makes_an_archive_that_is_a_stick(place: Place, tmp_path: Path) -> None:
    host = place.host("browsed", "11", slots=False)
    data = archive("2.0.0")
    rollout = place.rollout("id==browsed", "app", data)
    here = f"/rollouts/{rollout}/sticks"
    with httpx.Client(base_url=place.server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as browser:
        assert browser.post("/login", data={"token": place.server.token}).status_code == 303
        assert here in browser.get(f"/rollouts/{rollout}").text
        for days, target, status in (("x", "", 422), ("30", "==<b>", 422), ("30", "id==no", 409)):
            refused = browser.post(here, data={"days": days, "target": target})
            assert refused.status_code == status, refused.text
            assert "No archive was made" in refused.text
            assert "<b>" not in refused.text
        got: list[httpx.Response] = []

        def made() -> bool:
            """The director signs once the release log says that the rollout was started."""
            got[:] = [browser.post(here, data={"days": "30", "target": "attr.site==11"})]
            return got[0].headers["content-type"] == "application/x-tar"

        eventually(made)
        page = browser.get(here).text
        viewing = place.operator.ok("POST", "/tokens", json={"role": "viewer"})["token"]
    with httpx.Client(base_url=place.server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as viewer:
        assert viewer.post("/login", data={"token": viewing}).status_code == 303
        assert "Make and download" not in viewer.get(here).text
        assert viewer.post(here, data={"days": "30"}).status_code == 403
    (listed,) = place.operator.ok("GET", f"/bundles?rollout={rollout}")["items"]
    assert (listed["id"] in page, "/devices/browsed" in page, listed["devices"]) == (True, True, 1)
    usb = tmp_path / "usb"
    usb.mkdir()
    unpacked = subprocess.run(["tar", "-xvf", "-", "-C", usb], input=got[0].content, capture_output=True, check=True)
    names = unpacked.stdout.decode().splitlines()
    assert names[0].startswith("files/")
    assert names[-1] == f"bundles/{listed['id']}/bundle.json", "what was cut off is no bundle"
    told = install(host, usb)
    assert (told["outcome"], host.running()) == ("succeeded", "2.0.0")
    assert place.bring(usb / "receipts")[0]["taken"]
    assert place.states(rollout) == {"browsed": "succeeded"}


def test_a_stick_brings_several_components_at_once(place: Place, tmp_path: Path) -> None:
    host = place.host("pair", "9")
    os = b"os 2.0.0 " * 3000
    parts = []
    for component, data in (("os", os), ("app", archive("2.0.0"))):
        made = place.operator.ok("POST", "/artifacts", params={"filename": f"{component}.bin"}, content=data)
        told = {"sha256": made["sha256"], "filename": f"{component}.bin", "hardware": ["gateway"]}
        parts.append({**told, "component": component})
    place.operator.ok("POST", "/releases", json={"product": "pair", "version": "2.0.0", "artifacts": parts})
    body = {"release": "pair:2.0.0", "target": "id==pair", "start": True}
    rollout = int(place.operator.ok("POST", "/rollouts", json=body)["id"])
    usb = tmp_path / "usb"
    assert place.export(rollout, usb)["devices"] == 1
    outcome = None
    for _ in range(3):  # a start each
        found = install(host, usb, code=None)
        outcome = found["outcome"] if isinstance(found, dict) else None
        if outcome == "succeeded":
            break
    assert outcome == "succeeded", found
    assert (host.os(), host.running()) == (os, "2.0.0")
    place.bring(usb / "receipts")
    runs = place.operator.ok("GET", "/devices/pair")["installed"]
    assert {one["component"]: one["version"] for one in runs} == {"os": "2.0.0", "app": "2.0.0"}


def in_bundle(stick: Path, name: str) -> Path:
    (found,) = (stick / "bundles").glob(f"*/{name}")
    return found


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def a_byte(stick: Path) -> None:
    (file,) = (stick / "files").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def longer(stick: Path) -> None:
    (file,) = (stick / "files").iterdir()
    file.write_bytes(file.read_bytes() + b"!")


def a_later_end(stick: Path) -> None:
    document = in_bundle(stick, "bundle.json")
    told = json.loads(document.read_text())
    told["signed"]["expires"] = "2099-01-01T00:00:00Z"
    document.write_text(json.dumps(told))


def unsigned(stick: Path) -> None:
    document = in_bundle(stick, "bundle.json")
    told = json.loads(document.read_text())
    told["signatures"] = []
    document.write_text(json.dumps(told))


def others_order(stick: Path) -> None:
    devices = in_bundle(stick, "bundle.json").parent
    shutil.copy(devices / device_file(DeviceId("hit-2")), devices / device_file(DeviceId("hit-1")))


def other_snapshot(stick: Path) -> None:
    (snapshot,) = in_bundle(stick, "image").glob("*.snapshot.json")
    changed(snapshot, '"snapshot"', '"snapshoT"')


def other_timestamp(stick: Path) -> None:
    path = in_bundle(stick, "image/timestamp.json")
    told = json.loads(path.read_text())
    told["signed"]["version"] += 1
    path.write_text(json.dumps(told))


def no_timestamp(stick: Path) -> None:
    in_bundle(stick, "image/timestamp.json").unlink()


def no_file(stick: Path) -> None:
    shutil.rmtree(stick / "files")


def a_link(stick: Path) -> None:
    (file,) = (stick / "files").iterdir()
    file.unlink()
    file.symlink_to("/etc/passwd")


ATTACKS: dict[Callable[[Path], None], str] = {
    a_byte: "target_digest",
    longer: "not_found",
    a_later_end: "metadata_signature",
    unsigned: "metadata_unsigned",
    others_order: "wrong_device",
    other_snapshot: "metadata_mismatch",
    other_timestamp: "metadata_signature",
    no_timestamp: "metadata_missing",
    no_file: "not_found",
    a_link: "not_found",
}


@pytest.fixture(scope="module")
def good(place: Place) -> Path:
    """A stick for two devices, and nobody has touched it."""
    place.host("hit-1", "9", slots=False)
    place.host("hit-2", "9", slots=False)
    rollout = place.rollout("id==hit-*", "app", archive("2.0.0"))
    usb = place.folder / "good"
    assert place.export(rollout, usb)["devices"] == 2
    return usb


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_on_a_stick(place: Place, good: Path, tmp_path: Path, attack: Callable[[Path], None]) -> None:
    """Each is refused with its code, by a device that has seen nothing yet."""
    host = Host(tmp_path / "device", slots=False)
    shutil.copytree(place.hosts["hit-1"].data, host.data)
    usb = tmp_path / "usb"
    shutil.copytree(good, usb)
    attack(usb)
    told = install(host, usb, code=1 if ATTACKS[attack] == "not_found" else 4)
    assert (told["outcome"], told["code"]) == ("failed", ATTACKS[attack]), told
    assert host.running() == ""
    assert install(host, good)["outcome"] == "succeeded"


def test_a_file_that_was_cut_short_goes_on_by_another_stick(place: Place, good: Path, tmp_path: Path) -> None:
    host = Host(tmp_path / "device", slots=False)
    shutil.copytree(place.hosts["hit-1"].data, host.data)
    usb = tmp_path / "usb"
    shutil.copytree(good, usb)
    (file,) = (usb / "files").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert "does not give all of it" in install(host, usb, code=1)
    assert host.running() == ""
    assert install(host, good)["outcome"] == "succeeded"


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Place]:
    """A server that has no key of targets: two people have."""
    with (
        contextlib.chdir(tmp_path),
        serving(tmp_path / "server", "--production", OTARU_POLL_INTERVAL_S="1") as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        for name in ("root", "anna", "bert", "manager"):
            write_key(Path(f"{name}.pem"), private := generate(), None)
            Path(f"{name}.pem.pub").write_text(as_pem(FileSigner(private).key))
        targets = "--targets-key anna.pem --targets-key bert.pem --targets-threshold 2"
        for line in (
            f"keys init --offline here --root-key root.pem --root-threshold 1 {targets}",
            "keys delegate product.gateway.stable --key manager.pem.pub -o d.json",
            "keys sign d.json --key anna.pem",
            "keys sign d.json --key bert.pem",
            "keys import d.json",
        ):
            server.otaru(*line.split(), OTARU_PASSPHRASE="correct horse")
        yield Place(server, Operator(server, api, devices), tmp_path)


def test_people_sign_and_the_device_restarts_without_a_network(production: Place) -> None:
    place, folder = production, production.folder
    host, new = place.host("far-1", "3"), b"os 2.0.0 " * 4000
    (folder / "os.bin").write_bytes(new)
    words = ("--name", "gateway", "--version", "2.0.0", "--hardware", "gateway", "--component", "os")
    place.server.otaru("release", "add", "os.bin", *words, "--sign-with", "manager.pem", "--security-floor", "3")
    body = {"release": "gateway:2.0.0", "target": "id==far-1", "start": True}
    rollout = int(place.operator.ok("POST", "/rollouts", json=body)["id"])
    usb = folder / "usb"
    (made,) = place.export(rollout, usb, code=5)["bundles"]
    request = str(made["file"])
    assert "no bundle there" in install(host, usb, code=1), "nothing is a bundle before people have signed it"
    shown = place.server.otaru("keys", "sign", request, "--key", "anna.pem").stdout
    assert "far-1" in shown
    assert "gateway/stable/2.0.0/os.bin" in shown
    assert otaru("bundle", "seal", str(usb), check=False).returncode == 5
    place.server.otaru("keys", "sign", request, "--key", "bert.pem")
    assert otaru("bundle", "seal", str(usb), check=False).returncode == 0
    told = install(host, usb, "--receipts", str(folder / "first"), code=5)
    assert (told["restarts"], told["outcome"], host.marker.exists()) == (True, None, True)
    (host.folder / "started").write_text(select(LocalDisk(), str(host.folder / "boot")))
    with subprocess.Popen(
        [*NO_NETWORK, *OTARU, "agent", "run", "--config", str(host.config)], env=environment()
    ) as run:
        try:
            eventually(lambda: host.ask("status")["installed"] == {"os": "2.0.0"}, timeout_s=60)
        finally:
            run.terminate()
    assert host.os() == new
    assert host.ask("status")["counters"] == {"os": 3}
    assert install(host, usb, "--receipts", str(folder / "second"), code=3)["outcome"] == "succeeded"
    assert [one["moved"] for one in place.bring(folder / "first", folder / "second")] == [True, True]
    assert place.states(rollout) == {"far-1": "succeeded"}
    assert not (usb / "receipts").exists()


def test_what_is_on_the_stick_stays_and_what_rots_is_written_anew(place: Place, good: Path, tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    shutil.copytree(good, usb)
    (file,) = (usb / "files").iterdir()
    right = file.read_bytes()
    file.write_bytes(b"!" + right[1:])
    (usb / "files" / f"{file.name}.{file.name[:12]}.part").write_bytes(right[:9])
    (bundle,) = place.operator.ok("GET", "/bundles?limit=1")["items"]
    (again,) = place.export(bundle["rollout"], usb)["bundles"]
    assert file.read_bytes() == right
    assert [one.name for one in (usb / "files").iterdir()] == [file.name]
    assert {one.name for one in (usb / "bundles").iterdir()} == {
        again["id"],
        in_bundle(good, "bundle.json").parent.name,
    }
    aside, linked = tmp_path / "aside", tmp_path / "linked"
    aside.mkdir()
    linked.mkdir()
    (linked / "bundles").symlink_to(aside)
    assert "bundles is a link" in place.export(bundle["rollout"], linked, code=1)
    (linked / "bundles").unlink()
    (linked / "files").mkdir()
    (aside / "mine").write_bytes(right)
    for name in (file.name, f"{file.name}.{file.name[:12]}.part"):
        (linked / "files" / name).symlink_to(aside / "mine")
    place.export(bundle["rollout"], linked)
    assert (aside / "mine").read_bytes() == right, "nothing is written through a link"
    assert not (linked / "files" / file.name).is_symlink(), "what it leads to is not on the stick"
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    assert "blocked cannot be used" in place.export(bundle["rollout"], blocked, code=1)


@pytest.mark.skipif(not Path(softhsm.MODULE).exists(), reason="SoftHSM2 is not installed")
def test_a_device_with_its_key_in_a_token_signs_receipts(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is not opened is told before anything is begun."""
    pytest.importorskip("pkcs11")
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # as it was, afterwards
    pin = tmp_path / "pin"
    pin.write_text(softhsm.PIN + "\n")
    there = softhsm.address(softhsm.make_token(tmp_path / "hsm", "stick"), "own") + f"&pin-source=file:{pin}"
    host = place.host("hsm-1", "9", "--key", there, slots=False)
    assert not (host.data / "key.pem").exists()
    rollout = place.rollout("id==hsm-1", "app", archive("2.0.0"))
    usb = tmp_path / "usb"
    place.export(rollout, usb)
    pin.write_text("000000")
    assert "refuses the PIN" in install(host, usb, code=2)
    assert host.running() == ""
    pin.write_text(softhsm.PIN + "\n")
    told = install(host, usb)
    assert (told["outcome"], len(told["receipts"]), host.running()) == ("succeeded", 1, "2.0.0")
    assert [(one["taken"], one["moved"]) for one in place.bring(usb / "receipts")] == [(True, True)]
    assert place.states(rollout) == {"hsm-1": "succeeded"}


def test_a_device_without_a_key_tells_the_server_itself(place: Place, tmp_path: Path) -> None:
    """It installs all the same; what became of it is told once it has a network, and counts as online."""
    host = Host(tmp_path / "device", slots=False)
    made = place.operator.ok("POST", "/devices", json={"id": "token-1", "hardware": "gateway"})
    host.enroll(place.server.url, "--device-token", made["token"], device="token-1")
    rollout = place.rollout("id==token-1", "app", archive("2.0.0"))
    usb = tmp_path / "usb"
    place.export(rollout, usb)
    told = install(host, usb)
    assert (told["outcome"], told["receipts"], host.running()) == ("succeeded", [], "2.0.0")
    assert place.states(rollout) == {"token-1": "offered"}
    host.live(lambda: place.states(rollout) == {"token-1": "succeeded"})
    (runs,) = place.operator.ok("GET", "/devices/token-1")["installed"]
    assert (runs["version"], runs["source"]) == ("2.0.0", "otaru")
