"""What the agent does for who stands beside the device: it says how things are, goes back, takes a no."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.journal import FileVault
from otaru.apps.agent.wiring import alone
from otaru.errors import DataFolderError
from otaru.trust.verify.update import burnt
from tests.support.agent_site import Site, archive, served
from tests.support.ddi import eventually
from tests.support.host import OLD, Host
from tests.support.server import otaru


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("keeper") / "server") as site:
        yield site


def agent(host: Host, *words: str) -> tuple[int, str]:
    """`otaru agent …`: its exit code, and what it said to people."""
    done = otaru("agent", *words, "--config", str(host.config), check=False)
    return done.returncode, done.stderr or done.stdout


def update(site: Site, host: Host, parts: dict[str, bytes], version: str, **policy: Any) -> int:
    body = {"release": site.release(parts, version), "target": f"id=={site.device(host)}", "start": True, **policy}
    return int(site.operator.ok("POST", "/rollouts", json=body)["id"])


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("history",),
        ("check",),
        ("approve",),
        ("reject",),
        ("postpone", "--for", "1h"),
        ("lift",),
        ("rollback",),
        ("run",),
        ("install", "/media"),
        ("restore",),
    ],
    ids=" ".join,
)
def test_who_was_never_enrolled_is_told_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, said = agent(Host(tmp_path / "device"), *words)
    assert code == 1
    assert "never enrolled" in said
    assert "otaru agent enroll" in said
    assert len(said.splitlines()) <= 2


def test_a_technician_goes_back_and_the_server_hears_of_it(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path)
    assert agent(host, "rollback")[0] == 3, "nothing to go back to"
    rollout = update(site, host, {"os": b"os 2.0.0 " * 4000}, "2.0.0")
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    with host.process():
        eventually(lambda: is_at_work(host))
        code, said = agent(host, "rollback")
        assert (code, "another agent is at work" in said) == (1, True)
    done = otaru("agent", "rollback", "--reason", "it rattles", "--config", str(host.config), "--json")
    assert json.loads(done.stdout)["state"] == "returning"
    assert host.marker.exists(), "a slot needs a reboot"
    seen = f"/devices/{site.device(host)}"
    host.live(lambda: installed(site.operator.ok("GET", seen)) == {"os": "1.0.0"})
    assert host.os() == OLD
    assert host.ask("history")[0]["code"] == "rolled_back"
    reports = site.operator.ok("GET", f"{seen}/actions/1/reports")["items"]
    assert "it rattles" in str(reports)
    assert site.state(host, rollout) == "succeeded", "it had ended"


def is_at_work(host: Host) -> bool:
    try:
        with alone(host.data):
            return False
    except DataFolderError:
        return True


def installed(device: dict[str, Any]) -> dict[str, str]:
    return {one["component"]: one["version"] for one in device["installed"]}


def test_nobody_goes_behind_a_counter_by_hand(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    rollout = update(site, host, {"app": archive("2.0.0")}, "2.0.0")
    host.live(lambda: site.ended(host, rollout))
    burn(host.data)
    code, said = agent(host, "rollback")
    assert (code, "security counter of app has risen to 7" in said) == (4, True)
    assert host.running() == "2.0.0"


def burn(data: Path) -> None:
    """As an update with a counter does."""
    vault = FileVault(LocalDisk(), str(data / "trust"))
    vault.put(burnt(vault.load(), {"app": 7}))


def test_an_owner_says_no(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    assert agent(host, "reject")[0] == 3
    rollout = update(site, host, {"app": archive("2.0.0")}, "2.0.0", consent=True)
    host.live(lambda: site.state(host, rollout) == "awaiting_consent")
    code, said = agent(host, "reject", "--reason", "not on my watch")
    assert code == 0, said
    assert site.state(host, rollout) == "rejected"
    assert "not on my watch" in str(site.operator.ok("GET", f"/rollouts/{rollout}/deployments"))
    assert agent(host, "reject")[0] == 3


def findings(host: Host) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """What the doctor says, by what it is of."""
    done = otaru("agent", "doctor", "--config", str(host.config), "--json", check=False)
    found: dict[str, list[tuple[str, str]]] = {}
    told = json.loads(done.stdout)
    assert told["good"] == (done.returncode == 0)
    for one in told["findings"]:
        found.setdefault(one["what"], []).append((one["grade"], one["said"]))
    return done.returncode, found


def test_a_doctor_finds_nothing_wrong_with_a_good_device(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, health='commands = [["true"]]\n[conditions]\nrequire = ["free>=1MB", "idle"]\n')
    code, found = findings(host)
    assert code == 0, str(found)
    assert site.device(host) in found["identity"][0][1]
    assert found["server"][0][1].endswith("nothing is due")
    assert found["boot"] == [("good", "slot a runs")]
    assert found["deltas"] == [
        ("good", "in 40.0 MB; os: from what runs; app: none, its archive is not kept (keep_archive)")
    ]
    assert [grade for grade, _ in found["metadata"]] == ["good"] * 4
    assert found["certificate"][0][0] == "remark", "no TLS here"
    assert found["agent"] == [("remark", "no agent is at work")]
    assert found["conditions"] == [("remark", "it does not know whether idle")]
    with host.process():
        update(site, host, {"app": archive("2.0.0")}, "2.0.0", consent=True)
        eventually(lambda: is_at_work(host))
        assert findings(host)[1]["agent"] == [("good", "it is at work")]
    text = agent(host, "doctor")[1]
    assert "slot a runs" in text


def test_a_doctor_finds_what_keeps_updates_away(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, health='commands = [["/nowhere/check"]]\n')
    (host.folder / "b").unlink()
    for copy in host.data.glob("journal.*"):
        copy.write_bytes(b"rotten")
    (host.data / "journal.0").write_bytes(b"rotten")
    code, found = findings(host)
    assert code == 1
    assert ("bad", "health.commands: there is no program /nowhere/check") in found["programs"]
    assert any(grade == "bad" and "slot b" in said for grade, said in found["os"])
    assert found["record"][0][0] == "bad"
    assert found["server"][0][0] == "good", "what is broken keeps no other question from being asked"


def test_a_doctor_says_that_nobody_was_ever_enrolled(tmp_path: Path) -> None:
    code, found = findings(Host(tmp_path / "device"))
    assert code == 1
    assert "never enrolled" in found["identity"][0][1]


def test_an_application_and_a_program_put_an_update_off(site: Site, tmp_path: Path) -> None:
    lock, free, said = tmp_path / "lock", tmp_path / "free", tmp_path / "said"
    lock.touch()
    hook = f'["sh", "-c", "test -e {free} || {{ echo the press runs; exit 75; }}"]'
    after = f'["sh", "-c", "echo $OTARU_RELEASE $OTARU_OUTCOME >> {said}"]'
    more = f'[locks]\nfiles = ["{lock}"]\n[hooks]\nbefore_install = {hook}\nafter_commit = {after}\n'
    host = site.host(tmp_path, slots=False, health=more)
    rollout = update(site, host, {"app": archive("2.0.0")}, "2.0.0")
    path = f"/rollouts/{rollout}/deployments"
    host.live(lambda: f"{lock} is there" in site.operator.ok("GET", path)["items"][0]["reason"])
    assert site.state(host, rollout) == "downloaded"
    lock.unlink()
    host.live(lambda: "the press runs" in site.operator.ok("GET", path)["items"][0]["reason"])
    assert host.running() == ""
    free.touch()
    host.live(lambda: site.ended(host, rollout))
    assert site.state(host, rollout) == "succeeded", host.said()
    assert said.read_text().split()[1:] == ["succeeded"]


def test_an_agent_that_was_at_an_update_begins_anew(site: Site, tmp_path: Path) -> None:
    host = site.host(tmp_path, slots=False)
    host.config.write_text("renew_after_s = 0.5\n" + host.config.read_text())
    rollout = update(site, host, {"app": archive("2.0.0")}, "2.0.0")
    with host.process() as process:
        eventually(lambda: site.ended(host, rollout))
        eventually(lambda: host.said().count("asks http") == 2)
        assert process.poll() is None, "it is the same process"
        again = update(site, host, {"app": archive("3.0.0")}, "3.0.0")
        eventually(lambda: site.ended(host, again))
    assert [site.state(host, one) for one in (rollout, again)] == ["succeeded"] * 2, host.said()
