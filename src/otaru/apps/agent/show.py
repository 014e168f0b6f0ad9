"""What an agent is at, for people and programs: read from its journal, whether it runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from time import sleep
from typing import Any

from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.journal import FileJournal, FileVault
from otaru.adapters.board.outbox import FileOutbox
from otaru.adapters.clock import SystemClock
from otaru.apps.agent import identity, times, wiring
from otaru.apps.agent.settings import Settings
from otaru.apps.agent.wiring import Agent, Stop
from otaru.domain.link import Answer, Offer
from otaru.domain.update import State
from otaru.domain.update_record import MAX_HISTORY, Record
from otaru.errors import NothingToDoError, OtaruError
from otaru.services.edge.update import Updater


def status(settings: Settings) -> dict[str, Any]:
    """Where the device is.

    Raises:
        DataFolderError, JournalBrokenError, StateError: what it keeps cannot be read.
    """
    data, disk = Path(settings.data), LocalDisk()
    me = identity.load(data)
    record = FileJournal(disk, str(data / "journal")).load()
    trust = FileVault(disk, str(data / "trust")).load()
    plan = record.plan
    return {
        "device": me.device,
        "server": me.server,
        "state": record.state,
        "release": None if plan is None else plan.release,
        "action": None if plan is None else plan.action,
        "attempt": record.attempts,
        "installed": {one.name: one.installed for one in settings.component if one.installed} | dict(record.installed),
        "quarantined": sorted(release for release in record.strikes if record.quarantines(release)),
        "counters": dict(trust.counters),
        "trusted_time": trust.time.isoformat(),
        "untold": len(FileOutbox(disk, str(data / "outbox")).waiting()),
    } | windows(settings)


def windows(settings: Settings) -> dict[str, Any]:
    """When the device may be disturbed, in its own words."""
    hours, now = times.hours(settings), SystemClock().now()
    if not hours.windows:
        return {}
    closes, opens = hours.closes_at(now), hours.first_moment(now)
    stands: dict[str, Any] = {"open": closes is not None}
    if closes is not None:
        stands["closes_at"] = closes.isoformat()
    elif opens is not None:
        stands["opens_at"] = opens.isoformat()
    return {"windows": stands | {"timezone": hours.zone}}


def history(settings: Settings) -> list[dict[str, Any]]:
    """The last updates, the newest first. Raises as `status`."""
    data = Path(settings.data)
    identity.load(data)
    record: Record = FileJournal(LocalDisk(), str(data / "journal")).load()
    return [
        {
            "at": past.at,
            "release": past.release,
            "action": past.action,
            "outcome": past.outcome,
            "code": past.code,
            "reason": past.reason,
        }
        for past in reversed(record.history[-MAX_HISTORY:])
    ]


def check(settings: Settings) -> dict[str, Any] | None:
    """Ask the server what is due, and do nothing about it; None: nothing is.

    Raises:
        OtaruError: the server cannot be asked, or something here is not as it should be.
    """
    status(settings)
    with wiring.agent(settings, Stop(Flag())) as made:
        return due(made)


def due(made: Agent) -> dict[str, Any] | None:
    """What the server says is due; None: nothing is. Raises as `check`."""
    made.link.credential = made.door.credential()
    offer = made.link.poll().offer
    return None if offer is None else _due(offer)


def decide(
    settings: Settings, answer: Answer, until: datetime | timedelta | None = None, reason: str = ""
) -> dict[str, Any]:
    """Say what the device's owner says to the update that waits for it; what is due then. An agent may be at work.

    `until` is when a postponed one is asked about again, or after how long; `reason` why one is turned down.

    Raises:
        NothingToDoError: none waits for its owner.
        PostponedError: it may not be put off so far, or so often.
        OtaruError: the server cannot be asked, or something here is not as it should be.
    """
    with wiring.agent(settings, Stop(Flag())) as made:
        return decided(made, answer, until, reason)


def decided(made: Agent, answer: Answer, until: datetime | timedelta | None = None, reason: str = "") -> dict[str, Any]:
    """As `decide`, by an agent that is there."""
    made.link.credential = made.door.credential()
    offer = made.link.poll().offer
    if offer is None or offer.may_begin:
        raise NothingToDoError("no update waits for this device's owner")
    at = made.parts.clock.now() + until if isinstance(until, timedelta) else until
    state = made.link.decide(offer.action, answer, at, reason)
    left = made.link.poll().offer
    if left is not None and left.action == offer.action:
        return _due(left)
    return {"release": f"{offer.product}:{offer.version}", "action": offer.action, "state": state}


def _due(offer: Offer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "release": f"{offer.product}:{offer.version}",
        "action": offer.action,
        "notes": offer.notes,
    }
    if (consent := offer.consent) is not None:
        found |= {"consent": consent.state, "postponements": consent.postponements}
        moments = {"postponed_until": consent.until, "automatic_at": consent.automatic_at}
        found |= {name: at.isoformat() for name, at in moments.items() if at is not None}
    return found


def lift(settings: Settings) -> bool:
    """Try releases again that have failed here too often; False: there is none. No agent may be at work.

    Raises:
        DataFolderError: one is.
    """
    with _mine(settings) as updater:
        return updater.lift()


def roll_back(settings: Settings, reason: str) -> dict[str, Any]:
    """Go back to what ran before the last update; where the device is then. No agent may be at work.

    Where it needs a reboot that was ordered: the agent writes down how it ended after that, and reports it.

    Raises:
        DataFolderError: an agent is at work.
        NothingToDoError: there is nothing to go back to.
        RefusedError: a security counter forbids it.
        OtaruError: what is here cannot be read.
    """
    with _mine(settings) as updater:
        wait = updater.roll_back(reason)
        while updater.record.state is State.REVERTING:
            sleep(wait.total_seconds())
            wait = updater.tick()
    return status(settings)


@contextmanager
def _mine(settings: Settings) -> Iterator[Updater]:
    """The device's updates, where no agent is at work."""
    data = Path(settings.data)
    identity.load(data)
    with wiring.alone(data), wiring.agent(settings, Stop(Flag())) as made:
        with suppress(OtaruError):  # what is done here needs no server; what it is to be told waits
            made.link.credential = made.door.credential()
        updater = Updater(made.parts)
        updater.start()
        yield updater
