"""The agent's rounds over a model disk, with metadata that is really signed: what it takes, turns down, waits for and tells."""

import errno
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from otaru.adapters.board.journal import FileJournal
from otaru.domain import deployment
from otaru.domain.conditions import condition
from otaru.domain.link import Note
from otaru.domain.update import MAX_STRIKES, Outcome, State
from otaru.domain.update_record import Record
from otaru.errors import NotFoundError, OverloadedError, StoppedError, UnavailableError
from otaru.services.edge.update import Updater
from tests.support.edge import OLD_APP, OLD_OS, Bytes, Device, Server, begun, rounds

NEW = b"app 2.0.0 " * 5000
Final = deployment.State


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def device(server: Server) -> Device:
    return Device(server).provision()


def release(server: Server, version: str = "2.0.0", data: bytes = NEW, **custom: object) -> None:
    server.direct(version, server.release(version, {"app": ("file", data)}, **custom))


def outcome(server: Server) -> Note:
    """What the server was told at the end."""
    (found,) = [note for note in server.heard.values() if note.event in deployment_ends()]
    return found


def deployment_ends() -> set[deployment.Event]:
    return {deployment.Event.SUCCEED, deployment.Event.FAIL, deployment.Event.REVERT, deployment.Event.REJECT}


def test_what_the_director_does_not_say_is_not_done(server: Server, device: Device) -> None:
    targets = server.release("2.0.0", {"app": ("file", NEW)})
    server.direct("2.0.0", targets)
    assert server.offer is not None
    server.offer = replace(
        server.offer, action=type(server.offer.action)(7)
    )  # the poll says another one than is signed
    agent = begun(device)
    for _ in range(3):
        agent.tick()
    assert agent.record.state is State.IDLE
    assert device.app() == OLD_APP
    server.number = 6
    server.direct("2.0.0", targets)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


@pytest.mark.parametrize(
    ("custom", "code"),
    [
        ({"hardwareIds": ["other"]}, "wrong_hardware"),
        ({"installer": "rauc"}, "installer_unknown"),
        ({"component": "nobody"}, "installer_unknown"),
        ({"prerequisites": ["boot>=2"]}, "prerequisite_missing"),
    ],
)
def test_what_is_refused_is_told_with_its_code_and_not_downloaded(
    server: Server, device: Device, custom: dict[str, object], code: str
) -> None:
    targets = server.release("2.0.0", {"app": ("file", NEW)})
    for target in targets:
        target.custom.update(custom)
    server.site.images.release(*targets)
    server.direct("2.0.0", targets)
    opened: list[str] = []
    server.open = lambda address, *_: opened.append(address)  # type: ignore[method-assign, assignment]
    rounds(begun(device), lambda: server.state is Final.FAILED)
    assert outcome(server).code == code
    assert opened == []


def test_bytes_of_others_are_never_installed(server: Server, device: Device) -> None:
    release(server)
    server.files = {name: bytes(len(data)) for name, data in server.files.items()}
    agent = begun(device)
    rounds(agent, lambda: server.state is Final.FAILED)
    assert agent.record.history[-1].outcome is Outcome.FAILED
    assert (device.app(), device.disk.names("/data/staging")) == (OLD_APP, [])


def test_a_server_that_goes_away_fails_nothing(server: Server, device: Device) -> None:
    release(server)
    agent = begun(device)
    waits = []
    answers: list[object] = [Broken(NEW, 0), UnavailableError("gone"), OverloadedError("later", retry_after_s=500)]
    real = server.open

    def flaky(address: str, first: int = 0, tag: str = "") -> Bytes:
        if not answers:
            return real(address, first, tag)
        answer = answers.pop(0)
        if isinstance(answer, Bytes):
            return answer
        raise answer  # type: ignore[misc]

    server.open = flaky  # type: ignore[method-assign]
    for _ in range(10):
        waits.append(agent.tick())
        if server.state is Final.SUCCEEDED:
            break
    assert server.state is Final.SUCCEEDED
    assert max(waits) >= timedelta(seconds=500), "Retry-After was kept"
    assert agent.record.strikes == {}


class Broken(Bytes):
    """A connection that breaks in the middle."""

    def read(self) -> bytes:
        if self.at > 20_000:
            raise UnavailableError("it broke")
        return super().read()


def test_it_goes_on_where_it_was_after_a_cut(server: Server, device: Device) -> None:
    release(server)
    firsts: list[int] = []
    real = server.open

    def watched(address: str, first: int = 0, tag: str = "") -> Bytes:
        firsts.append(first)
        found = real(address, first, tag)
        return Broken(NEW, first) if len(firsts) == 1 else found

    server.open = watched  # type: ignore[method-assign]
    begun(device).tick()
    device.disk.cut()
    rounds(begun(device), lambda: server.state is Final.SUCCEEDED)
    assert firsts[0] == 0
    assert firsts[1] > 20_000


def test_an_order_to_cancel_ends_a_download_in_the_middle(server: Server, device: Device) -> None:
    release(server)
    agent = begun(device)
    real = server.open

    class Slow(Bytes):
        def read(self) -> bytes:
            device.clock.passed += 120
            if server.offer is not None and self.at > 0:
                server.state, server.cancel = Final.CANCELLING, server.offer.action
            return super().read()

    server.open = lambda address, first=0, tag="": Slow(real(address, first, tag).data, first, 8000)  # type: ignore[method-assign]
    rounds(agent, lambda: server.state is Final.CANCELLED)
    assert agent.record.history[-1].outcome is Outcome.CANCELLED
    assert device.app() == OLD_APP


def test_an_order_to_cancel_what_was_never_begun_is_answered(server: Server, device: Device) -> None:
    release(server)
    assert server.offer is not None
    server.state, server.cancel = Final.CANCELLING, server.offer.action
    rounds(begun(device), lambda: server.state is Final.CANCELLED)


@dataclass
class Known:
    """`Senses` of a test."""

    all: dict[str, str] = field(default_factory=dict)

    def facts(self, names: Collection[str]) -> dict[str, str]:
        return {name: said for name, said in self.all.items() if name in names}


def refusals(server: Server) -> list[str]:
    return [note.text[0] for note in server.heard.values() if note.event is deployment.Event.REFUSE]


def under(device: Device, *require: str, **known: str) -> Known:
    """What has to hold here, and what the device knows."""
    senses = Known(known)
    device.changed = lambda parts: replace(parts, senses=senses, require=[condition(text) for text in require])
    return senses


def test_an_update_waits_until_what_its_rollout_asks_for_holds(server: Server, device: Device) -> None:
    release(server)
    assert server.offer is not None
    server.offer = replace(server.offer, conditions=("battery>=30%",))
    senses = under(device, battery="29")
    agent = begun(device)
    for level in ("29", "29", "28", "28"):
        senses.all["battery"] = level
        device.clock.at += timedelta(minutes=1)
        assert agent.tick() == timedelta(seconds=10)
    assert agent.record.state is State.IDLE
    assert server.opened == []
    said = [f"its battery is at {level} %, at least 30 % or charging is asked for" for level in (29, 28)]
    assert refusals(server) == said, "each reason once"
    senses.all["charging"] = "true"
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_it_looks_again_before_it_installs(server: Server, device: Device) -> None:
    release(server)
    senses = under(device, "idle", idle="yes")
    real = server.open

    def busy(address: str, first: int = 0, tag: str = "") -> Bytes:
        senses.all["idle"] = "no"
        return real(address, first, tag)

    server.open = busy  # type: ignore[method-assign]
    agent = begun(device)
    for _ in range(3):
        agent.tick()
    assert agent.record.state is State.STAGED
    assert refusals(server) == ["it is not idle"]
    senses.all["idle"] = "yes"
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("battery>=30%", "it does not know whether battery>=30%"),
        ("unmetered", "it does not know whether unmetered"),
        ("(attr.site==depot)", "it does not know whether (attr.site==depot)"),
        ("moon==full", "it does not know the condition 'moon==full'"),
    ],
)
def test_what_is_not_known_does_not_hold(server: Server, device: Device, asked: str, said: str) -> None:
    release(server)
    assert server.offer is not None
    server.offer = replace(server.offer, conditions=(asked,))
    agent = begun(device)
    for _ in range(3):
        agent.tick()
    assert (agent.record.state, refusals(server)) == (State.IDLE, [said])


def test_what_runs_already_is_left_alone(server: Server, device: Device) -> None:
    release(server)
    agent = begun(device)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    server.outcomes.clear()
    release(server, "2.0.0")
    server.files.clear()
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert device.app() == NEW


def test_an_outcome_that_was_lost_at_the_server_is_told_again(server: Server, device: Device) -> None:
    release(server)
    agent = begun(device)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    before = outcome(server)
    server.heard.clear()
    server.outcomes.clear()
    server.state = Final.OFFERED  # it was put back to an earlier day
    number = agent.record.number
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert outcome(server).id == before.id
    assert agent.record.number == number, "nothing was done again"


def test_a_release_that_failed_too_often_is_tried_again_once_it_is_lifted(server: Server, device: Device) -> None:
    release(server)
    record = Record(State.QUARANTINED, strikes={"app:2.0.0": MAX_STRIKES})
    FileJournal(device.disk, "/data/journal").put(record)
    agent = begun(device)
    rounds(agent, lambda: server.state is Final.REJECTED)
    assert outcome(server).code == "release_quarantined"
    assert agent.record.state is State.QUARANTINED
    assert agent.lift()
    assert not agent.lift()
    release(server)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_it_works_without_a_server_until_the_end(server: Server, device: Device) -> None:
    """What is switched is watched, kept and written down; the server hears of it when it is back."""
    release(server)
    agent = begun(device)
    real = server.open

    def last(address: str, first: int = 0, tag: str = "") -> Bytes:
        found = real(address, first, tag)
        server.down = True
        return found

    server.open = last  # type: ignore[method-assign]
    agent.tick()
    assert agent.record.state is State.IDLE
    assert agent.record.history[-1].outcome is Outcome.SUCCEEDED
    assert server.heard.keys() <= {"1-1-1-download"}
    server.down = False
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_a_journal_that_cannot_be_read_begins_anew(server: Server, device: Device) -> None:
    release(server)
    for which in (0, 1):
        device.disk.write_at(f"/data/journal.{which}", 0, b"rotten")
    agent = begun(device)
    assert agent.record == Record()
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_trust_that_cannot_be_read_installs_nothing(server: Server, device: Device) -> None:
    release(server)
    for which in (0, 1):
        device.disk.remove(f"/data/trust.{which}")
    rounds(begun(device), lambda: server.state is Final.FAILED)
    assert outcome(server).code == "state_broken"
    assert device.app() == OLD_APP


def test_a_file_that_nobody_has_fails_the_update(server: Server, device: Device) -> None:
    release(server)

    def gone(address: str, first: int = 0, tag: str = "") -> Bytes:
        raise NotFoundError(f"{address} {first} {tag}")

    server.open = gone  # type: ignore[method-assign]
    rounds(begun(device), lambda: server.state is Final.FAILED)
    assert outcome(server).code == "not_found"


def test_an_agent_that_is_told_to_end_ends(server: Server, device: Device) -> None:
    release(server)

    def stopped(address: str, first: int = 0, tag: str = "") -> Bytes:
        raise StoppedError(f"{address} {first} {tag}")

    server.open = stopped  # type: ignore[method-assign]
    agent = begun(device)
    with pytest.raises(StoppedError):
        agent.tick()
    assert agent.record.state is State.FETCHING


def test_an_armed_slot_that_the_bootloader_lost_is_given_up(server: Server, device: Device) -> None:
    server.direct("2.0.0", server.release("2.0.0", {"os": ("raw", b"os 2" * 999)}))
    record = Record()
    journal = FileJournal(device.disk, "/data/journal")
    seen: set[State] = set()

    def until(_: Device) -> bool:
        nonlocal record
        record = journal.load()
        if record.state is State.IDLE and server.state is Final.REVERTED:
            return True
        seen.add(record.state)
        return False

    original = device.boot

    def boot() -> tuple[Updater, str]:
        # Before each start the bootloader's environment is as on the first day.
        for which in (0, 1):
            device.disk.remove(f"/data/boot.{which}")
        return original()

    device.boot = boot  # type: ignore[method-assign]
    device.live(until)
    assert device.os("a") == OLD_OS


def full(server: Server, device: Device, code: int, count: int) -> tuple[Updater, list[timedelta]]:
    """An agent on a disk that fails so often while an update is looked at; how long it waited round by round."""
    release(server)
    other = Device(replace(server, heard={}, outcomes=[]), device.disk.copy())
    rounds(begun(other), lambda: other.server.state is Final.SUCCEEDED)
    first = next(n for n, what in enumerate(other.disk.trace) if what.startswith("verifying: write"))
    first += device.disk.points
    device.disk.cuts, device.disk.fault = frozenset(range(first, first + count)), code
    agent, waits = begun(device), []
    for _ in range(60):
        waits.append(agent.tick())
        device.clock.passed += waits[-1].total_seconds()
        if server.state in deployment.FINAL:
            return agent, waits
    raise AssertionError(agent.record)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_nothing_for_a_while_fails_no_update_that_has_not_begun(
    server: Server, device: Device, code: int
) -> None:
    _, waits = full(server, device, code, 8)
    assert server.state is Final.SUCCEEDED
    assert [wait.total_seconds() for wait in waits[:5]] == [5, 5, 10, 20, 40]


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "storage_full"), (errno.EIO, "io_error")])
def test_a_disk_that_goes_on_taking_nothing_fails_it(server: Server, device: Device, code: int, said: str) -> None:
    agent, waits = full(server, device, code, 12)
    assert server.state is Final.FAILED
    assert outcome(server).code == said
    assert sum(waits, timedelta(0)) >= timedelta(hours=1)
    assert device.app() == OLD_APP
    assert agent.record.state is State.IDLE


def test_what_was_half_put_is_put_straight_before_anything_is_said(server: Server, device: Device) -> None:
    """The name changed and the disk failed before it was sure: what the record says must not be what was not done."""
    release(server)
    synced = device.disk.points + 3  # the folder, after the rename
    device.disk.cuts, device.disk.fault = frozenset({synced, synced + 1}), errno.EIO
    agent = begun(device)
    with pytest.raises(OSError, match=r"sync /data"):
        agent.tick()
    assert agent.record.state is State.IDLE
    assert FileJournal(device.disk, "/data/journal").load().state is State.VERIFYING
    asked = server.polls
    with pytest.raises(OSError, match=r"write /data/journal"):
        agent.tick()
    assert server.polls == asked
    server.offer = None
    agent.tick()
    assert FileJournal(device.disk, "/data/journal").load() == Record()
