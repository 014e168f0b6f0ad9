"""A release of two components, through the server, on a device with an agent: both of them run, or neither."""

import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from otaru.adapters.signers.file import FolderKeyring
from otaru.domain.ids import DeviceId, TenantId
from otaru.trust.tuf.director import issue
from otaru.trust.tuf.metadata import AnyMetadata, read, signed
from otaru.trust.tuf.names import TARGETS
from tests.support import installer_examples
from tests.support.agent_site import Site, archive, served
from tests.support.ddi import eventually
from tests.support.host import OLD, Host
from tests.support.relay import relay

NEW = b"os 2.0.0 " * 5000
DEAD = b"\0nothing starts with this"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("pieces") / "server") as site:
        yield site


def inventory(site: Site, host: Host) -> dict[str, str]:
    seen = site.operator.ok("GET", f"/devices/{site.device(host)}")
    return {one["component"]: one["version"] for one in seen["installed"]}


def test_both_are_installed_with_one_reboot(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path)
    rollout = site.rollout(host, site.release({"os": NEW, "app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert (host.os(), host.running(), host.starts) == (NEW, "2.0.0", 2)
    assert inventory(site, host) == {"os": "2.0.0", "app": "2.0.0"}
    assert host.ask("status")["installed"] == {"os": "2.0.0", "app": "2.0.0"}


@pytest.mark.parametrize(
    ("parts", "health", "code"),
    [
        ({"os": DEAD + b"x" * 9999, "app": archive("2.0.0")}, "", "fell_back"),
        ({"os": NEW, "app": b"no archive at all"}, "", "install_failed"),
        ({"os": NEW, "app": archive("2.0.0")}, 'commands = [["sh", "-c", "! grep -q 2.0.0 {app}"]]', "unhealthy"),
    ],
    ids=["the os does not start", "the app cannot be installed", "the app is not healthy"],
)
def test_where_one_fails_neither_is_kept(
    site: Site, tmp_path: Path, parts: dict[str, bytes], health: str, code: str
) -> None:
    app = tmp_path / "device/app/current/version"
    host = site.host(tmp_path, health=health.format(app=app))
    rollout = site.rollout(host, site.release(parts))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) in {"failed", "reverted"}, host.said()
    assert host.ask("history")[0]["code"] == code
    assert (host.os(), host.running()) == (OLD, "")
    assert inventory(site, host).get("os", "1.0.0") == "1.0.0"
    assert "app" not in inventory(site, host)


def test_who_has_one_of_two_fetches_and_installs_the_other(site: Site, tmp_path: Path) -> None:
    app = archive("2.0.0")
    host = Host(tmp_path / "device")
    made = site.operator.ok("POST", "/devices", json={"id": site.device(host), "hardware": "gateway"})
    with relay(site.server.url) as wire:
        host.enroll(wire.url, "--device-token", made["token"], device=site.device(host))
        first = site.rollout(host, site.release({"app": app}))
        host.live(lambda: site.ended(host, first))
        requests = len(wire.requests)
        second = site.rollout(host, site.release({"os": NEW, "app": app}))
        host.live(lambda: site.ended(host, second))
        fetched = {path.rpartition("/")[2] for _, path in wire.requests[requests:] if "/artifacts/" in path}
    assert [site.state(host, one) for one in (first, second)] == ["succeeded"] * 2, host.said()
    assert fetched == {"os.bin"}
    assert (host.os(), host.running()) == (NEW, "2.0.0")
    assert inventory(site, host) == {"os": "2.0.0", "app": "2.0.0"}


def test_of_two_each_comes_by_its_own_delta(site: Site, tmp_path: Path) -> None:
    """The os by a patch; what has none (an archive) in full."""
    old = random.Random(5).randbytes(300_000)
    new = old[:100_000] + b"a line that is new" * 20 + old[100_000:]
    host = site.host(tmp_path)
    first = site.rollout(host, site.release({"os": old, "app": archive("2.0.0")}, "2.0.0", "pair"))
    host.live(lambda: site.ended(host, first))
    release = site.release({"os": new, "app": archive("2.1.0")}, "2.1.0", "pair")

    def made() -> set[str]:
        deltas = site.operator.ok("GET", "/releases/pair/2.1.0/deltas")["items"]
        return {one["state"] for one in deltas} & {"waiting", "making"} if deltas else {"none"}

    eventually(lambda: not made())
    second = site.rollout(host, release)
    host.live(lambda: site.ended(host, second))
    assert [site.state(host, one) for one in (first, second)] == ["succeeded"] * 2, host.said()
    assert (host.os(), host.running()) == (new, "2.1.0")
    assert "by a patch of" in host.said()


CHILD = """
[[component]]
name = "child"
installer = "script"
commands = {{ {} }}
"""


def with_child(tmp_path: Path) -> str:
    """The tables of a child device behind the gateway, by the script of the docs and a double of `mcumgr`."""
    (folder := tmp_path / "child").mkdir()
    program = installer_examples.child_device(folder)
    names = ("check", "install", "activate", "standing", "commit", "revert")
    return CHILD.format(", ".join(f'{name} = ["{program}", "{name}"]' for name in names))


def child(tmp_path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((tmp_path / "child/state").read_text())
    return state


def test_three_installers_of_three_kinds_and_the_child_is_confirmed_with_the_others(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, health=with_child(tmp_path))
    parts = {"os": NEW, "app": archive("2.0.0"), "child": b"an image for MCUboot"}
    rollout = site.rollout(host, site.release(parts))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert (host.os(), host.running()) == (NEW, "2.0.0")
    assert child(tmp_path)["slots"] == [sha1(parts["child"]).hexdigest(), "factory"]
    assert child(tmp_path)["confirmed"]
    assert inventory(site, host) == {"os": "2.0.0", "app": "2.0.0", "child": "2.0.0"}


def test_where_the_child_does_not_come_up_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, health=with_child(tmp_path))
    parts = {"os": NEW, "app": archive("2.0.0"), "child": b"a dead image for MCUboot"}
    rollout = site.rollout(host, site.release(parts))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "failed", host.said()
    assert "it did not start" in host.ask("history")[0]["reason"]
    assert (host.os(), host.running(), child(tmp_path)["slots"][0]) == (OLD, "", "factory")
    assert "app" not in inventory(site, host)


def test_killed_at_any_moment_it_ends_with_both_or_neither(site: Site, tmp_path: Path) -> None:
    chance = random.Random(11)
    host = site.host(tmp_path)
    kills = iter([chance.uniform(0.3, 1.5) for _ in range(6)])
    runs = (OLD, "")
    for version in ("2.0.0", "3.0.0"):
        new = f"os {version} ".encode() * 9000
        rollout = site.rollout(host, site.release({"os": new, "app": archive(version)}, version))
        host.live(lambda rollout=rollout: site.ended(host, rollout), kill_after=kills, timeout_s=240)  # type: ignore[misc]
        if site.state(host, rollout) == "succeeded":
            runs = (new, version)
        assert (host.os(), host.running()) == runs, host.said()
    assert runs[1], host.said()
    assert inventory(site, host) == {"os": runs[1], "app": runs[1]}


def test_a_server_that_drops_one_of_two_brings_neither(site: Site, tmp_path: Path) -> None:
    """Signed by the director's own keys: who has taken the server, and cannot make the bundle smaller than it is."""
    host = Host(tmp_path / "device")
    device = site.device(host)
    token = site.operator.ok("POST", "/devices", json={"id": device, "hardware": "gateway"})["token"]
    host.enroll(site.server.url, "--device-token", token, device=device)
    rollout = site.rollout(host, site.release({"os": NEW, "app": archive("2.0.0")}))
    assert host.ask("check")["action"] == 1
    path = f"/tuf/DEFAULT/director/{device}/metadata/timestamp.json"
    shown = {"Authorization": f"TargetToken {token}"}
    eventually(lambda: site.operator.devices.get(path, headers=shown).is_success)  # 503 while the director is busy
    drop(site, device)
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "failed", host.said()
    assert host.ask("history")[0]["code"] == "bundle_incomplete"
    assert (host.os(), host.running()) == (OLD, "")


def drop(site: Site, device: str) -> None:
    """Sign for a device all that it has been told of, but for one target, and put it in place of what was signed."""
    keyring = FolderKeyring(site.server.data / "director")
    with sqlite3.connect(site.server.data / "otaru.db") as database:
        version, targets = database.execute(
            "SELECT version, targets FROM direction WHERE device = ?", (device,)
        ).fetchone()
        told = read(TARGETS, targets)
        assert len(told.signed.targets) == 2
        kept = dict(sorted(told.signed.targets.items())[:1])

        def sign(_: str, found: AnyMetadata) -> AnyMetadata:
            for name, signer in keyring.of(TenantId("DEFAULT"), list(told.signatures)).items():
                found = signed(found, name, signer.sign(found.signed_bytes))
            return found

        now = datetime.now(UTC)  # noqa: TID251 - the server's clock is the real one
        *content, _ = issue(DeviceId(device), version, kept, sign, now)
        sql = "UPDATE direction SET targets = ?, snapshot = ?, timestamp = ? WHERE device = ?"
        assert database.execute(sql, (*content, device)).rowcount == 1
    assert json.loads(content[0])["signed"]["targets"].keys() == kept.keys()
