"""The agent's process: one round after the other until it is told to end."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from types import FrameType

from otaru.apps.agent import identity, wiring
from otaru.apps.agent.manager import Manager
from otaru.apps.agent.settings import Settings, longest_s
from otaru.apps.agent.wiring import Agent, Stop
from otaru.errors import OtaruError, StoppedError
from otaru.services.edge.update import Updater

AGAIN = timedelta(seconds=30)
"""After a round that failed of itself: the disk is full, say."""
_log = logging.getLogger("otaru.agent")


def run(settings: Settings, ready: Callable[[str], None]) -> None:
    """Work until SIGTERM or SIGINT. `ready` is told who the device is once it begins.

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
        updater = Updater(made.parts)
        _until_it_goes(stop, updater.start)
        while not stop.flag.is_set():
            wait = _round(made, updater)
            made.watch.look(updater.record)
            stop.rest(wait.total_seconds())
        stop.manager.stopping()


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
