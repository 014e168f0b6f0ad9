"""The agent's process: one round after the other until it is told to end."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event as Flag
from types import FrameType

from otaru.adapters.board.disk import LocalDisk
from otaru.apps.agent import identity, local, wiring
from otaru.apps.agent.local import Desk
from otaru.apps.agent.manager import Manager
from otaru.apps.agent.remote import Means, Remote
from otaru.apps.agent.settings import Settings, longest_s
from otaru.apps.agent.wiring import Agent, Stop
from otaru.domain.update import RESTING
from otaru.errors import OtaruError, StoppedError
from otaru.ports.clock import Clock
from otaru.services.edge.update import Updater

AGAIN = timedelta(seconds=30)
"""After a round that failed of itself: the disk is full, say."""
_log = logging.getLogger("otaru.agent")


def run(settings: Settings, ready: Callable[[str], None]) -> bool:
    """Work until SIGTERM or SIGINT; whether it should be started anew. `ready` is told who the device is once it begins.

    What verifies an update stays in memory: so does twice of what an idle agent takes. A process that was at that and has
    nothing to do any more gives it back by beginning anew.

    Raises:
        DataFolderError: it was never enrolled, or another agent is at work.
        InvalidInputError: the configuration does not fit the device.
    """
    stop = Stop(Flag(), manager=Manager())
    identity.load(Path(settings.data))
    with wiring.alone(Path(settings.data)), wiring.agent(settings, stop) as made, ended_by_signals(stop):
        status = f"{made.me.device} asks {made.me.server}"
        ready(status)
        stop.manager.ready(status, longest_s(settings))
        parts, clock = made.parts, made.parts.clock
        began = clock.monotonic()
        senses = wiring.senses(settings, LocalDisk())
        remote = Remote(Means(made.me.server, settings, made.link, clock, senses, parts.power, parts.safe))
        updater = Updater(replace(parts, aside=lambda told, resting: remote.hear(told, resting=resting)))
        _until_it_goes(stop, updater.start)
        _until_it_goes(stop, lambda: remote.start(resting=updater.record.state in RESTING))
        with local.open_to(settings, Desk(settings, made, updater, stop)) as desk:
            while not stop.flag.is_set():
                wait = _round(made, updater)  # may last longer than it says: the desk has its turn all the same
                next_round = clock.monotonic() + wait.total_seconds()
                made.watch.look(updater.record)
                if made.courier is not None and made.courier.carry(updater.record):
                    next_round = clock.monotonic() + 1
                if 0 < settings.renew_after_s < clock.monotonic() - began and _has_grown(made, updater):
                    return True
                _rest(stop, desk, _Pastime(remote, made, updater), partial(_left, clock, next_round))
        stop.manager.stopping()
    return False


def _has_grown(made: Agent, updater: Updater) -> bool:
    """Whether it has looked at an update, and nothing is left to be done or told of it."""
    looked = "otaru.services.edge.planning" in sys.modules
    return looked and updater.record.state in RESTING and not made.parts.outbox.waiting()


def _round(made: Agent, updater: Updater) -> timedelta:
    try:
        made.link.credential = made.door.credential()
    except StoppedError:
        return timedelta(0)
    except OtaruError as error:
        _log.warning("%s", error.message)  # what needs no server goes on all the same
    try:
        return updater.tick()
    except StoppedError:
        return timedelta(0)
    except (OtaruError, OSError) as error:
        _log.error("%s", error)
        return AGAIN


def _left(clock: Clock, until: float) -> float:
    return until - clock.monotonic()


@dataclass(frozen=True, slots=True)
class _Pastime:
    """What has its own times, between two rounds: measuring, and looking for drift."""

    remote: Remote
    made: Agent
    updater: Updater

    def due_in_s(self) -> float:
        return min(self.remote.monitor.due_in_s(), self.made.watch.due_in_s())

    def work(self) -> None:
        with suppress(StoppedError):  # the agent ends
            self.remote.monitor.work()
        self.made.watch.work(self.updater.record)


def _rest(stop: Stop, desk: Desk, pastime: _Pastime, left: Callable[[], float]) -> None:
    """Until the next round, or until somebody at the desk has asked for something: there may be something to do."""
    while not stop.flag.is_set() and (seconds := left()) > 0:
        asked = desk.rest(min(seconds, pastime.due_in_s(), stop.manager.beat_s))
        pastime.work()
        if asked:
            return


def _until_it_goes(stop: Stop, act: Callable[[], None]) -> None:
    while not stop.flag.is_set():
        try:
            return act()
        except (OtaruError, OSError) as error:
            _log.error("%s", error)
            stop.rest(AGAIN.total_seconds())
    return None


@contextmanager
def ended_by_signals(stop: Stop) -> Iterator[None]:
    """SIGTERM and SIGINT end what goes on, in the middle of whatever it waits for."""

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.now()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
