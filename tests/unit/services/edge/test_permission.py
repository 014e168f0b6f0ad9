"""What stands in an update's way on the device: locks of applications, programs that object, and what the server is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from otaru.domain import deployment
from otaru.domain.rollout import Urgency
from otaru.domain.schedule import Hours, window
from otaru.domain.update import Moment, State
from otaru.domain.update_record import Piece
from otaru.ports.board import Installer, Staged
from otaru.services.edge.parts import Parts
from tests.support.edge import OLD_APP, Device, Server, begun, rounds

NEW = b"app 2.0.0 " * 5000
Final = deployment.State


@dataclass
class Held:
    """`ports.board.Lock` as a test has it."""

    by: str = ""

    def held(self) -> str:
        return self.by


@dataclass
class Heard:
    """`ports.board.Hooks`: what was called, and who objects."""

    objects: dict[Moment, str] = field(default_factory=dict)
    calls: list[tuple[Moment, dict[str, str]]] = field(default_factory=list)

    def call(self, moment: Moment, told: Mapping[str, str]) -> str:
        self.calls.append((moment, dict(told)))
        return self.objects.get(moment, "")

    @property
    def moments(self) -> list[Moment]:
        return [moment for moment, _ in self.calls]


@pytest.fixture
def server() -> Server:
    return Server()


def device(server: Server, change: Callable[[Parts], Parts]) -> Device:
    made = Device(server).provision()
    made.changed = change
    server.direct("2.0.0", server.release("2.0.0", {"app": ("file", NEW)}))
    return made


def refusals(server: Server) -> list[tuple[str, str]]:
    return [(one.code, one.text[0]) for one in server.heard.values() if one.event is deployment.Event.REFUSE]


def test_what_is_downloaded_waits_for_a_lock(server: Server) -> None:
    lock = Held("/run/lock is there")
    made = device(server, lambda parts: replace(parts, locks=[Held(), lock]))
    agent = begun(made)
    for _ in range(4):
        made.clock.at += timedelta(minutes=1)
        assert agent.tick() == timedelta(seconds=10)
    assert agent.record.state is State.STAGED
    assert refusals(server) == [("locked", "/run/lock is there")], "said once"
    assert server.state is Final.DOWNLOADED
    lock.by = ""
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert agent.record.strikes == {}


@dataclass
class Taking:
    """An installer during whose work an application takes a lock."""

    installer: Installer
    lock: Held

    def __getattr__(self, name: str) -> object:
        return getattr(self.installer, name)

    def install(self, piece: Piece, staged: Staged) -> None:
        self.installer.install(piece, staged)
        self.lock.by = "/run/lock is there"


def test_a_lock_that_is_taken_while_it_is_written_keeps_it_from_being_switched(server: Server) -> None:
    lock = Held()

    def change(parts: Parts) -> Parts:
        app: Installer = Taking(parts.installers["app"], lock)  # type: ignore[assignment]
        return replace(parts, locks=[lock], installers={**parts.installers, "app": app})

    made = device(server, change)
    agent = begun(made)
    for _ in range(3):
        agent.tick()
    assert agent.record.state is State.INSTALLING
    assert made.app() == OLD_APP
    assert refusals(server) == [("locked", "/run/lock is there")]
    agent = begun(made)  # a restart changes nothing of that
    agent.tick()
    assert (agent.record.state, made.app()) == (State.INSTALLING, OLD_APP)
    lock.by = ""
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert made.app() == NEW


@pytest.mark.parametrize(
    ("urgency", "in_minutes", "breaks", "waits"),
    [
        (Urgency.FORCED, None, True, False),
        (Urgency.FORCED, None, False, True),
        (Urgency.SOFT, None, True, True),
        (Urgency.SOFT, -1, True, False),
        (Urgency.SOFT, 5, True, True),
        (Urgency.SOFT, -1, False, True),
    ],
)
def test_a_forced_update_breaks_locks_where_the_maker_allows_it(
    server: Server, urgency: Urgency, in_minutes: int | None, breaks: bool, waits: bool
) -> None:
    made = device(server, lambda parts: replace(parts, locks=[Held("held")], forced_breaks=breaks))
    at = None if in_minutes is None else made.clock.at + timedelta(minutes=in_minutes)
    assert server.offer is not None
    server.offer = replace(server.offer, urgency=urgency, forced_at=at)
    agent = begun(made)
    for _ in range(3):
        agent.tick()
    assert (agent.record.state is State.STAGED) == waits
    assert (server.state is Final.SUCCEEDED) != waits


def test_a_lock_gives_way_once_the_moment_has_come(server: Server) -> None:
    made = device(server, lambda parts: replace(parts, locks=[Held("held")], forced_breaks=True))
    assert server.offer is not None
    server.offer = replace(server.offer, urgency=Urgency.SOFT, forced_at=made.clock.at + timedelta(hours=1))
    agent = begun(made)
    agent.tick()
    made.clock.at += timedelta(hours=1)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def opening(made: Device, hours: float, lasts: str = "2h") -> tuple[Hours, datetime]:
    """Hours of the device that begin so much later, to the minute, and when that is."""
    at = (made.clock.at + timedelta(hours=hours)).replace(second=0, microsecond=0)
    return Hours((window(f"{at:%H:%M}/{lasts}"),)), at


def test_what_is_downloaded_waits_for_the_hours_of_the_device(server: Server) -> None:
    made = device(server, lambda parts: replace(parts, hours=hours))
    hours, opens = opening(made, 5)
    agent = begun(made)
    assert agent.tick() == timedelta(seconds=10), "it asks as often as it is told to"
    assert (agent.record.state, server.state) == (State.STAGED, Final.DOWNLOADED)
    made.clock.at = opens - timedelta(seconds=1)
    assert timedelta(seconds=1) <= agent.tick() <= timedelta(seconds=10)
    said = f"not before {opens:%Y-%m-%d %H:%M} UTC: this device is updated {opens:%H:%M}/2h UTC"
    assert refusals(server) == [("window", said)], "said once"
    made.clock.at = opens
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_it_is_awake_when_its_hours_begin_however_seldom_it_asks(server: Server) -> None:
    made = device(server, lambda parts: replace(parts, hours=hours))
    hours, opens = opening(made, 5)
    agent = begun(made)
    agent.tick()
    server.polling = timedelta(days=1)
    wait = agent.tick()
    assert opens <= made.clock.at + wait <= opens + timedelta(seconds=30)
    made.clock.at += wait
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_hours_that_end_while_it_is_written_keep_it_from_being_switched(server: Server) -> None:
    @dataclass
    class Slow:
        installer: Installer

        def __getattr__(self, name: str) -> object:
            return getattr(self.installer, name)

        def install(self, piece: Piece, staged: Staged) -> None:
            self.installer.install(piece, staged)
            made.clock.at = opens + timedelta(hours=2)

    def change(parts: Parts) -> Parts:
        app: Installer = Slow(parts.installers["app"])  # type: ignore[assignment]
        return replace(parts, hours=hours, installers={**parts.installers, "app": app})

    made = device(server, change)
    hours, opens = opening(made, 1)
    made.clock.at = opens
    agent = begun(made)
    for _ in range(3):
        agent.tick()
    assert (agent.record.state, made.app()) == (State.INSTALLING, OLD_APP)
    assert [code for code, _ in refusals(server)] == ["window"]
    made.clock.at = opens + timedelta(days=1)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


@pytest.mark.parametrize(("takes", "begins"), [(60, True), (61, False), (120, False)])
def test_what_is_said_to_take_long_begins_with_so_much_left(server: Server, takes: int, begins: bool) -> None:
    made = device(server, lambda parts: replace(parts, hours=hours))
    hours, opens = opening(made, -1)
    made.clock.at = opens + timedelta(hours=1)
    assert server.offer is not None
    server.offer = replace(server.offer, takes=timedelta(minutes=takes))
    agent = begun(made)
    for _ in range(3):
        agent.tick()
    assert (server.state is Final.SUCCEEDED) == begins


@pytest.mark.parametrize(
    ("urgency", "breaks", "waits"),
    [(Urgency.FORCED, True, False), (Urgency.FORCED, False, True), (Urgency.SOFT, True, True)],
)
def test_a_forced_update_waits_for_no_hours_where_the_maker_allows_it(
    server: Server, urgency: Urgency, breaks: bool, waits: bool
) -> None:
    made = device(server, lambda parts: replace(parts, hours=replace(opening(made, 5)[0], forced_breaks=breaks)))
    assert server.offer is not None
    server.offer = replace(server.offer, urgency=urgency)
    agent = begun(made)
    for _ in range(3):
        agent.tick()
    assert (agent.record.state is State.STAGED) == waits
    assert (server.state is Final.SUCCEEDED) != waits


def listening(server: Server, hours: Hours) -> tuple[Device, list[timedelta]]:
    """A device that has its polls held back for a minute, by a server that does so; those waits."""

    def hold(wait: timedelta) -> None:
        made.clock.passed += wait.total_seconds()
        made.clock.at += wait

    made = device(
        server, lambda parts: replace(parts, hours=hours, patience=replace(parts.patience, listen=timedelta(minutes=1)))
    )
    server.holds = hold
    server.polling = timedelta(hours=1)
    return made, server.waits


def test_who_listens_hears_at_once_that_what_it_holds_may_be_installed(server: Server) -> None:
    made, waits = listening(server, Hours())
    assert server.offer is not None
    server.offer = replace(server.offer, hold=True)
    agent = begun(made)
    assert [agent.tick() for _ in range(3)] == [timedelta(seconds=1)] * 3, "it asks again soon"
    assert agent.record.state is State.STAGED
    assert waits[-2:] == [timedelta(minutes=1)] * 2, "and is held back"
    server.offer = replace(server.offer, hold=False)
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_nobody_is_held_back_beyond_the_beginning_of_its_hours(server: Server) -> None:
    made = Device(server)
    opens = (made.clock.at + timedelta(minutes=3)).replace(second=0, microsecond=0)
    made, waits = listening(server, Hours((window(f"{opens:%H:%M}/2h"),)))
    agent = begun(made)
    while made.clock.at < opens:
        assert made.app() == OLD_APP
        assert agent.tick() == timedelta(seconds=1)
        made.clock.at += timedelta(seconds=1)
    assert made.clock.at <= opens + timedelta(seconds=32)
    assert timedelta(minutes=1) in waits
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_programs_are_called_at_each_turn(server: Server) -> None:
    hooks = Heard()
    agent = begun(device(server, lambda parts: replace(parts, hooks=hooks)))
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert hooks.moments == [Moment.BEFORE_DOWNLOAD, Moment.BEFORE_INSTALL, Moment.AFTER_COMMIT]
    assert all(told["OTARU_RELEASE"] == "app:2.0.0" and told["OTARU_ACTION"] == "1" for _, told in hooks.calls)
    assert hooks.calls[-1][1]["OTARU_OUTCOME"] == "succeeded"
    agent.roll_back("")
    assert hooks.calls[-1][0] is Moment.AFTER_FAILURE
    assert hooks.calls[-1][1]["OTARU_CODE"] == "rolled_back"


@pytest.mark.parametrize(
    ("moment", "state"), [(Moment.BEFORE_DOWNLOAD, State.IDLE), (Moment.BEFORE_INSTALL, State.STAGED)]
)
def test_a_program_that_objects_puts_it_off(
    server: Server, moment: Moment, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Heard({moment: "the press runs"})
    agent = begun(device(server, lambda parts: replace(parts, hooks=hooks)))
    for _ in range(3):
        agent.tick()
    assert agent.record.state is state
    assert (state is State.IDLE) == (server.opened == [])
    assert refusals(server) == [("hook", "the press runs")]
    assert hooks.moments.count(moment) == 3, "it is asked with every poll"
    assert [one.message for one in caplog.records] == ["1 waits: the press runs"], "and logged once"
    hooks.objects.clear()
    rounds(agent, lambda: server.state is Final.SUCCEEDED)


def test_who_objects_afterwards_changes_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    hooks = Heard({Moment.AFTER_COMMIT: "too late"})
    agent = begun(device(server, lambda parts: replace(parts, hooks=hooks)))
    rounds(agent, lambda: server.state is Final.SUCCEEDED)
    assert refusals(server) == []
    assert [one.message for one in caplog.records] == ["after_commit: too late"]


def test_a_failure_is_told_to_programs(server: Server) -> None:
    hooks = Heard()
    made = device(server, lambda parts: replace(parts, hooks=hooks))
    server.files = {name: bytes(len(data)) for name, data in server.files.items()}
    rounds(begun(made), lambda: server.state is Final.FAILED)
    assert hooks.calls[-1][0] is Moment.AFTER_FAILURE
    assert hooks.calls[-1][1]["OTARU_CODE"] == "target_digest"


def test_another_reason_within_the_same_second_is_told_too(server: Server) -> None:
    """The device's clock of this test stands still."""
    lock = Held("the pump runs")
    made = device(server, lambda parts: replace(parts, locks=[lock]))
    agent = begun(made)
    rounds(agent, lambda: len(refusals(server)) == 1)
    lock.by = "the valve is open"
    rounds(agent, lambda: len(refusals(server)) == 2)
    assert [said for _, said in refusals(server)] == ["the pump runs", "the valve is open"]
