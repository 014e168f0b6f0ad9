"""Telemetry on the device: in batches, bounded, kept while nobody hears it, and off where somebody with a say says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from otaru.adapters.board.disk import make_folders
from otaru.adapters.board.ledger import FileSpool
from otaru.domain.errand import Monitoring
from otaru.domain.health import Kind, Told
from otaru.errors import InvalidInputError, RateLimitedError, UnavailableError
from otaru.ports.remote import Boot, Sharing
from otaru.services.edge.monitor import BATCH, MAX_WAITING, Monitor, Rhythm
from tests.support.edge import Clock, Server
from tests.support.modeldisk import ModelDisk

RHYTHM = Rhythm(period=timedelta(minutes=1), every=timedelta(minutes=10), off=("load",))


@dataclass
class Hearing(Server):
    """What a server heard."""

    batches: list[list[Told]] = field(default_factory=list)
    refuses: Exception | None = None

    def tell(self, events: Sequence[Told]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.batches.append(list(events))

    @property
    def told(self) -> list[Told]:
        return [one for batch in self.batches for one in batch]


@dataclass
class Device:
    """A device that measures."""

    disk: ModelDisk
    server: Hearing = field(default_factory=Hearing)
    clock: Clock = field(default_factory=Clock)
    started_as: Boot = field(default_factory=lambda: Boot("boot-1"))
    sharing: Sharing = field(default_factory=Sharing)
    asked: list[Sequence[str]] = field(default_factory=list)

    def read(self, off: Sequence[str]) -> dict[str, float]:
        self.asked.append(off)
        return {name: 1.5 for name in ("battery", "load", "memory") if name not in off}

    def boot(self) -> Boot:
        return self.started_as

    def uptime_s(self) -> float:
        return 1

    def now(self) -> Sharing:
        return self.sharing

    def started(self, rhythm: Rhythm = RHYTHM) -> Monitor:
        made = Monitor(self, FileSpool(self.disk, "/data/telemetry"), self.server, self.clock, self, rhythm)
        made.start()
        return made

    def live(self, monitor: Monitor, minutes: int) -> None:
        for _ in range(minutes):
            monitor.work()
            self.clock.passed += 60


@pytest.fixture
def device() -> Device:
    disk = ModelDisk()
    make_folders(disk, "/data")
    return Device(disk)


def test_many_samples_go_at_once(device: Device) -> None:
    monitor = device.started()
    monitor.hear(None)
    device.live(monitor, 21)
    assert [len(batch) for batch in device.server.batches] == [2, 20, 20]
    assert {one.name for one in device.server.told} == {"battery", "memory"}
    assert len({one.id for one in device.server.told}) == 42
    writes = device.disk.points
    device.live(monitor, 30)
    assert device.disk.points == writes, "who is heard writes nothing"


def test_nothing_is_told_before_the_server_was_heard(device: Device) -> None:
    monitor = device.started()
    device.live(monitor, 15)
    assert device.server.batches == []
    monitor.hear(Monitoring(off=("memory",)))
    monitor.work()
    assert {one.name for one in device.server.told} == {"battery"}, "also what was measured before"


def test_what_is_not_heard_is_kept_over_a_restart_and_bounded(device: Device) -> None:
    monitor = device.started()
    device.started_as = Boot("boot-2", Kind.WATCHDOG, "it hung")
    monitor = device.started()
    monitor.hear(None)
    device.server.refuses = UnavailableError("no network")
    device.live(monitor, 600)
    device.started_as = Boot("boot-3")
    monitor = device.started()
    device.server.refuses = None
    monitor.hear(None)
    monitor.work()
    assert all(len(batch) <= BATCH for batch in device.server.batches)
    told = device.server.told
    assert len(told) <= MAX_WAITING
    events = [one for one in told if one.kind is not Kind.SAMPLE]
    assert [(one.kind, one.text) for one in events] == [(Kind.WATCHDOG, "it hung"), (Kind.REBOOT, "")]
    again = device.started()
    again.hear(None)
    before = len(device.server.told)
    again.work()
    assert {one.kind for one in device.server.told[before:]} == {Kind.SAMPLE}, "a start is told once"


def test_the_server_says_how_often_within_bounds(device: Device) -> None:
    monitor = device.started()
    monitor.hear(Monitoring(period=timedelta(minutes=5)))
    device.live(monitor, 20)
    assert len(device.asked) == 4
    monitor.hear(Monitoring(period=timedelta(seconds=1)))
    device.live(monitor, 10)
    assert len(device.asked) == 14, "no more than once a minute"


@pytest.mark.parametrize("who", ["owner", "maker", "server"])
def test_nobody_is_told_where_somebody_says_no(device: Device, who: str) -> None:
    monitor = device.started(Rhythm(on=who != "maker", period=timedelta(minutes=1)))
    monitor.hear(None)
    device.server.refuses = UnavailableError("no network")
    device.live(monitor, 120)
    device.server.refuses = None
    device.sharing = Sharing(telemetry=who != "owner")
    monitor.hear(Monitoring(off=("*",) if who == "server" else ()))
    measured = len(device.asked)
    device.live(monitor, 120)
    assert device.server.batches == []
    assert len(device.asked) == measured
    assert FileSpool(device.disk, "/data/telemetry").load().told == (), "what waited is forgotten"
    device.sharing = Sharing()
    monitor.hear(None)
    device.live(monitor, 120)
    assert bool(device.server.batches) == (who != "maker")


def test_a_server_that_is_told_too_much_is_left_alone_so_long(device: Device) -> None:
    monitor = device.started()
    monitor.hear(None)
    device.server.refuses = RateLimitedError("too much", retry_after_s=1800)
    monitor.work()
    device.server.refuses = None
    device.live(monitor, 29)
    assert device.server.batches == []
    device.live(monitor, 3)
    assert len(device.server.batches) == 1


def test_what_is_never_taken_does_not_stand_in_the_way(device: Device) -> None:
    monitor = device.started()
    monitor.hear(None)
    device.server.refuses = InvalidInputError("no such form")
    monitor.work()
    device.server.refuses = None
    device.live(monitor, 12)
    assert device.server.told
