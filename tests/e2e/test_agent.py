"""A device with an agent, and a server, as people have them: processes, files, signed releases, a rollout."""

import contextlib
import io
import json
import random
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from otaru.adapters.clock import SystemClock
from otaru.adapters.links.admission import Admission
from otaru.adapters.signers.file import FileSigner, generate, write_key
from otaru.apps.agent.identity import FileKey
from otaru.domain.ids import DeviceId, TenantId
from otaru.trust.tuf.keys import as_pem
from tests.support import softhsm
from tests.support.agent_site import Site, archive, served
from tests.support.ddi import Operator, eventually
from tests.support.host import OLD, Host
from tests.support.relay import relay
from tests.support.server import otaru, serving


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("agent") / "server") as site:
        yield site


def test_an_app_is_updated_and_then_the_os(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path)
    new = b"os 2.0.0 " * 5000
    rollouts = [site.rollout(host, site.release({"app": archive("2.0.0")}))]
    host.live(lambda: site.ended(host, rollouts[0]))
    assert host.starts == 1, "files need no reboot"
    rollouts.append(site.rollout(host, site.release({"os": new})))
    host.live(lambda: site.ended(host, rollouts[1]))
    assert [site.state(host, rollout) for rollout in rollouts] == ["succeeded"] * 2, host.said()
    assert host.os() == new
    assert host.running() == "2.0.0"
    assert host.starts == 3
    status = host.ask("status")
    assert (status["state"], status["installed"]) == ("idle", {"os": "2.0.0", "app": "2.0.0"})
    assert [past["outcome"] for past in host.ask("history")] == ["succeeded"] * 2
    seen = site.operator.ok("GET", f"/devices/{site.device(host)}")
    assert {one["component"]: one["version"] for one in seen["installed"]} == {"os": "2.0.0", "app": "2.0.0"}


def test_what_is_not_healthy_goes_back_by_itself(site: Site, tmp_path: Path) -> None:
    app = tmp_path / "device/app/current/version"
    host = site.host(tmp_path, health=f'commands = [["sh", "-c", "! grep -q 3.0.0 {app}"]]')
    first = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, first))
    second = site.rollout(host, site.release({"app": archive("3.0.0")}, "3.0.0"))
    host.live(lambda: site.ended(host, second))
    assert (site.state(host, first), site.state(host, second)) == ("succeeded", "reverted"), host.said()
    assert host.running() == "2.0.0"
    assert host.ask("history")[0]["code"] == "unhealthy"


def test_what_does_not_start_goes_back_by_itself(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path)
    rollout = site.rollout(host, site.release({"os": host.dead + b"x" * 9999}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "reverted", host.said()
    assert host.os() == OLD
    assert host.ask("history")[0]["code"] == "fell_back"


def test_a_device_that_was_added_uses_its_token(site: Site, tmp_path: Path) -> None:
    host = Host(tmp_path / "device", slots=False)
    made = site.operator.ok("POST", "/devices", json={"id": site.device(host), "hardware": "gateway"})
    shown = host.enroll(site.server.url, "--device-token", made["token"], device=site.device(host))
    assert len(json.loads(shown.stdout)["image_root"]) == 64
    assert host.ask("check", check=False) is None
    rollout = site.rollout(host, site.release({"app": archive("2.0.0")}))
    assert host.ask("check")["action"] == 1
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert host.starts == 1


def test_the_owner_puts_an_update_off_and_then_agrees(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    words = ("--config", str(host.config), "--json")
    assert otaru("agent", "approve", *words, check=False).returncode == 3
    policy = {"consent": True, "postponements": 1, "postpone_for_s": 86_400}
    body = {"release": site.release({"app": archive("2.0.0")}), "target": f"id=={site.device(host)}", "start": True}
    rollout = int(site.operator.ok("POST", "/rollouts", json={**body, **policy})["id"])
    host.live(lambda: site.state(host, rollout) == "awaiting_consent")
    assert host.ask("check")["consent"] == "asked"
    for answer, code in (
        (("postpone",), 2),
        (("postpone", "--for", "9d"), 4),
        (("postpone", "--until", "tomorrow"), 2),
        (("postpone", "--for", "1h"), 0),
        (("postpone", "--for", "2h"), 4),
    ):
        done = otaru("agent", *answer, *words, check=False)
        assert done.returncode == code, (answer, done.stderr)
    due = host.ask("check")
    assert (due["consent"], due["postponements"], "postponed_until" in due) == ("postponed", 0, True)
    assert site.state(host, rollout) == "postponed"
    assert host.running() == ""
    assert host.ask("approve")["consent"] == "given"
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert host.running() == "2.0.0"
    assert otaru("agent", "approve", *words, check=False).returncode == 3


def test_downloaded_first_and_installed_when_it_is_ordered(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    body = {"release": site.release({"app": archive("2.0.0")}), "target": f"id=={site.device(host)}", "start": True}
    rollout = int(site.operator.ok("POST", "/rollouts", json={**body, "download_only": True})["id"])
    host.live(lambda: site.state(host, rollout) == "downloaded")
    assert host.ask("status")["state"] == "staged"
    host.live(lambda: site.operator.ok("GET", f"/rollouts/{rollout}")["holding"] == 1)
    assert (site.state(host, rollout), host.running()) == ("downloaded", "")
    site.operator.ok("POST", f"/rollouts/{rollout}/install", json={})
    host.live(lambda: site.ended(host, rollout))
    assert (site.state(host, rollout), host.running()) == ("succeeded", "2.0.0"), host.said()


def test_who_listens_hears_of_an_order_at_once(site: Site, tmp_path: Path) -> None:
    """The interval is an hour; orders do not wait for it, and nobody asks again and again."""
    host = site.host(tmp_path, slots=False, health="[server]\nlisten_s = 60\n")
    site.operator.ok("PATCH", "/tenant", json={"settings": {"polling_s": 3600}})
    try:
        with host.process() as process:
            # It has asked once, and its second question is held back.
            eventually(lambda: site.operator.ok("GET", f"/devices/{site.device(host)}")["last_contact"] is not None)
            rollout = site.rollout(host, site.release({"app": archive("2.0.0")}))
            eventually(lambda: site.ended(host, rollout))
            assert (site.state(host, rollout), host.running()) == ("succeeded", "2.0.0"), host.said()
            # So it does while it holds a download.
            release, target = site.release({"app": archive("2.1.0")}, "2.1.0"), f"id=={site.device(host)}"
            body = {"release": release, "target": target, "start": True, "download_only": True}
            rollout = int(site.operator.ok("POST", "/rollouts", json=body)["id"])
            eventually(lambda: site.operator.ok("GET", f"/rollouts/{rollout}")["holding"] == 1)
            site.operator.ok("POST", f"/rollouts/{rollout}/install", json={})
            eventually(lambda: site.ended(host, rollout))
            assert process.poll() is None
        assert (site.state(host, rollout), host.running()) == ("succeeded", "2.1.0"), host.said()
    finally:
        site.operator.ok("PATCH", "/tenant", json={"settings": {"polling_s": 1}})


def test_an_update_waits_for_the_battery(site: Site, tmp_path: Path) -> None:
    battery = tmp_path / "BAT0"
    battery.mkdir()
    (battery / "capacity").write_text("20\n")
    (battery / "status").write_text("Discharging\n")
    mine = f'[conditions]\nbattery = "{battery}"\nrequire = ["idle"]\ncommands = {{ idle = ["echo", "yes"] }}\n'
    host = site.host(tmp_path, slots=False, health=mine)
    body = {"release": site.release({"app": archive("2.0.0")}), "target": f"id=={site.device(host)}", "start": True}
    rollout = int(site.operator.ok("POST", "/rollouts", json={**body, "require": ["battery>=30%"]})["id"])
    path = f"/rollouts/{rollout}/deployments"
    host.live(lambda: "battery is at 20 %" in str(site.operator.ok("GET", path)["items"][0]["reason"]))
    assert site.state(host, rollout) == "offered"
    assert host.running() == ""
    (battery / "capacity").write_text("31\n")
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()


def test_an_update_comes_by_a_delta(site: Site, tmp_path: Path) -> None:
    """What passes on the wire is the patch, not the file."""
    old = random.Random(3).randbytes(400_000)
    new = old[:150_000] + b"a line that is new" * 20 + old[150_000:]
    host = Host(tmp_path / "device")
    made = site.operator.ok("POST", "/devices", json={"id": site.device(host), "hardware": "gateway"})
    with relay(site.server.url) as wire:
        host.enroll(wire.url, "--device-token", made["token"], device=site.device(host))
        first = site.rollout(host, site.release({"os": old}, "2.0.0", "patched"))
        host.live(lambda: site.ended(host, first))
        release = site.release({"os": new}, "2.1.0", "patched")
        eventually(lambda: deltas(site, "patched/2.1.0") == {"made"})
        before, requests = wire.received, len(wire.requests)
        second = site.rollout(host, release)
        host.live(lambda: site.ended(host, second))
        paths = [path for _, path in wire.requests[requests:]]
        passed = wire.received - before
    assert [site.state(host, one) for one in (first, second)] == ["succeeded"] * 2, host.said()
    assert host.os() == new
    assert len([path for path in paths if path.startswith("/device/v1/patch?")]) == 1
    assert [path for path in paths if path.endswith("/os.bin")] == []
    sys.stdout.write(f"\n{passed} bytes passed for a file of {len(new)}\n")
    assert passed < len(new) / 4
    assert "by a patch of" in host.said()


def deltas(site: Site, release: str) -> set[str]:
    """States of the deltas to a release."""
    return {one["state"] for one in site.operator.ok("GET", f"/releases/{release}/deltas")["items"]}


def test_an_archive_that_leads_out_of_itself_is_not_installed(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
    rollout = site.rollout(host, site.release({"app": made.getvalue()}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "failed"
    assert host.ask("history")[0]["code"] == "unsuitable"
    assert not list(tmp_path.rglob("escaped"))


def test_a_device_that_asks_several_times_in_a_second_is_let_in(site: Site, tmp_path: Path) -> None:
    """An agent that is started anew at once, or a command beside it: each proof is good once."""
    host = site.host(tmp_path, slots=False)
    key, now = FileKey(host.data), SystemClock().now()

    class Still(SystemClock):
        def now(self) -> datetime:
            return now

    admission = Admission(site.server.url, Still())
    try:
        tickets = [admission.ticket(TenantId("DEFAULT"), DeviceId(site.device(host)), key) for _ in range(4)]
    finally:
        admission.close()
    assert all(ticket.token for ticket in tickets)


def test_where_a_tenant_has_no_keys_it_says_so(site: Site, tmp_path: Path) -> None:
    host = Host(tmp_path / "device", slots=False)
    refused = host.enroll(site.server.url, "--tenant", "keyless", "--device-token", "x" * 32, check=False)
    assert refused.returncode == 1
    assert "the tenant keyless has no keys yet" in refused.stderr
    assert "otaru keys init" in refused.stderr


@pytest.mark.skipif(not Path(softhsm.MODULE).exists(), reason="SoftHSM2 is not installed")
def test_its_key_is_made_in_a_token_and_stays_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pkcs11")
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # as it was, afterwards
    pin = tmp_path / "pin"
    pin.write_text(softhsm.PIN + "\n")
    there = softhsm.address(softhsm.make_token(tmp_path / "hsm", "device"), "own") + f"&pin-source=file:{pin}"
    host = Host(tmp_path / "device", slots=False)
    name, claim = site.device(host), site.claim()
    pin.write_text("000000")
    refused = host.enroll(site.server.url, "--token", claim, "--key", there, device=name, check=False)
    assert (refused.returncode, "refuses the PIN" in refused.stderr) == (2, True), refused.stderr
    pin.write_text(softhsm.PIN + "\n")
    host.enroll(site.server.url, "--token", claim, "--key", there, device=name)
    host.enroll(site.server.url, "--token", claim, "--key", there, device=name)  # with the same key
    assert not (host.data / "key.pem").exists()
    rollout = site.rollout(host, site.release({"app": archive("2.0.0")}))
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    other = host.enroll(site.server.url, "--token", claim, "--key", there, "--device-token", "x", check=False)
    assert other.returncode == 2


def test_a_broken_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for text, said in (
        ("data = 1\n", "data: it is a whole number, not text"),
        ('data = "/x"\n', "component: it is missing"),
        ('data = "/x"\n[[component]]\nname = "a"\ninstaller = "zip"\n', "component[0].installer: 'zip' is none of"),
        ('data = "/x"\n[[component]]\nname = "a"\ninstaller = "raw"\n', "component[0].a: the installer raw needs it"),
        ("data = \n", "is not TOML"),
    ):
        (tmp_path / "agent.toml").write_text(text)
        done = otaru("agent", "status", "--config", str(tmp_path / "agent.toml"), check=False)
        assert done.returncode == 2
        assert said in done.stderr.splitlines()[0]
        assert len(done.stderr.splitlines()) <= 2


def test_a_device_that_was_never_enrolled_says_so(tmp_path: Path) -> None:
    host = Host(tmp_path / "device")
    done = otaru("agent", "run", "--config", str(host.config), check=False)
    assert done.returncode == 1
    assert "never enrolled" in done.stderr or "No such file" in done.stderr


def sweep(site: Site, tmp_path: Path, kills: int) -> None:
    """Killed again and again, at any moment, over updates there and back."""
    chance = random.Random(7)
    host = site.host(tmp_path)
    outcomes = []

    def moments() -> Iterator[float]:
        for _ in range(kills):
            yield chance.uniform(0.3, 1.5)

    left = moments()
    os, app = OLD, ""
    for number in range(2, 2 + max(2, kills // 8)):
        new, version = b"os %d " % number * 9000, f"{number}.0.0"
        part = {"os": new} if number % 2 else {"app": archive(version)}
        rollout = site.rollout(host, site.release(part, version))
        host.live(lambda rollout=rollout: site.ended(host, rollout), kill_after=left, timeout_s=240)  # type: ignore[misc]
        outcomes.append(site.state(host, rollout))
        if outcomes[-1] == "succeeded":
            os, app = (new, app) if number % 2 else (os, version)
        assert (host.os(), host.running()) == (os, app), (outcomes, host.said())
    assert "succeeded" in outcomes
    assert len(host.ask("history")) == min(20, len(outcomes))
    sys.stdout.write(f"\n{host.starts} starts, {kills} of them killed: {dict(Counter(outcomes))}\n")


def test_it_is_killed_a_few_times(site: Site, tmp_path: Path) -> None:
    sweep(site, tmp_path, 8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_is_killed_many_times(site: Site, tmp_path: Path) -> None:
    sweep(site, tmp_path, 120)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that signs no release itself: the keys of root, targets and product are a person's."""
    folder: Path = tmp_path_factory.mktemp("production")
    with (
        contextlib.chdir(folder),
        serving(folder / "server", "--production", OTARU_POLL_INTERVAL_S="1") as server,
        server.api() as api,
        httpx.Client(base_url=server.url, timeout=30) as devices,
    ):
        for name in ("root", "targets", "manager"):
            write_key(Path(f"{name}.pem"), private := generate(), None)
            Path(f"{name}.pem.pub").write_text(as_pem(FileSigner(private).key))
        own = "--root-key root.pem --root-threshold 1 --targets-key targets.pem --targets-threshold 1"
        for line in (
            f"keys init --offline here {own}",
            "keys delegate product.gateway.stable --key manager.pem.pub -o d.json",
            "keys sign d.json --key targets.pem",
            "keys import d.json",
        ):
            server.otaru(*line.split(), OTARU_PASSPHRASE="correct horse")
        yield Site(server, Operator(server, api, devices))


def test_a_release_that_people_have_signed(production: Site, tmp_path: Path) -> None:
    """Production: roots that the factory gave to the device, a release signed by its manager, the director's own process."""
    site, folder = production, production.server.data.parent
    host = Host(tmp_path / "device", slots=False)
    roots = []
    for name in ("director", "image"):
        (tmp_path / name).write_bytes(site.operator.devices.get(f"/tuf/DEFAULT/{name}/metadata/1.root.json").content)
        roots += [f"--{name}-root", str(tmp_path / name)]
    host.enroll(site.server.url, "--token", site.claim(), *roots, device=site.device(host))
    for version in ("2.0.0", "3.0.0"):
        (tmp_path / "app.tgz").write_bytes(archive(version))
        words = ("--name", "gateway", "--version", version, "--hardware", "gateway", "--component", "app")
        signed = ("--sign-with", str(folder / "manager.pem"), "--security-floor", version[0])
        site.server.otaru("release", "add", str(tmp_path / "app.tgz"), *words, *signed)
        rollout = site.rollout(host, f"gateway:{version}")
        host.live(lambda rollout=rollout: site.ended(host, rollout))  # type: ignore[misc]
        assert site.state(host, rollout) == "succeeded", host.said()
        assert host.running() == version
    assert host.ask("status")["counters"] == {"app": 3}


def test_a_device_with_the_root_of_another_server_takes_nothing(production: Site, tmp_path: Path, site: Site) -> None:
    host = Host(tmp_path / "device", slots=False)
    root = tmp_path / "image"
    root.write_bytes(site.operator.devices.get("/tuf/DEFAULT/image/metadata/1.root.json").content)
    host.enroll(production.server.url, "--token", production.claim(), "--image-root", str(root), device="gw-other")
    rollout = int(
        production.operator.ok(
            "POST", "/rollouts", json={"release": "gateway:3.0.0", "target": "id==gw-other", "start": True}
        )["id"]
    )
    path = f"/rollouts/{rollout}/deployments"
    host.live(lambda: production.operator.ok("GET", path)["items"][0]["state"] == "failed")
    assert host.ask("history")[0]["code"].startswith("metadata_")
    assert host.running() == ""
