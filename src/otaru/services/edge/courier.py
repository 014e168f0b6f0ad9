"""Brings backups to the server, part by part, while nothing else is under way: the newest one, once."""

import hashlib
import logging
from typing import Protocol

from otaru.domain.backup import MAX_PART
from otaru.domain.update import RESTING
from otaru.domain.update_record import Record
from otaru.errors import BackupsOffError, InvalidInputError, NotFoundError, OtaruError, StoppedError, TooLargeError
from otaru.ports.clock import Clock
from otaru.ports.link import BackupRoad

PARTS = 16
"""In one round: polls are not kept waiting for long."""
OFF_S = 3600.0
"""A server that takes no backups is asked again after so long."""
_log = logging.getLogger("otaru.agent")


class Shelf(Protocol):
    """The backups on the device, and which of them the server has."""

    def newest(self) -> str | None:
        """The newest one that the server does not have."""
        ...

    def size_of(self, name: str) -> int:
        """Its bytes."""
        ...

    def read(self, name: str, first: int, length: int) -> bytes:
        """Some of them."""
        ...

    def sent(self, name: str) -> None:
        """The server has it, or takes it never: it is not offered again."""
        ...

    def withheld(self, why: str) -> None:
        """Why the newest one is not at the server, for people; empty: it is, or nothing is in its way."""
        ...


class Courier:
    """One device's. One thread."""

    def __init__(self, shelf: Shelf, road: BackupRoad, clock: Clock) -> None:
        self._shelf = shelf
        self._road = road
        self._clock = clock
        self._off_until = 0.0
        self._digests: dict[str, str] = {}

    def carry(self, record: Record) -> bool:
        """Bring some parts; whether there is more to bring right away."""
        if record.state not in RESTING or self._clock.monotonic() < self._off_until:
            return False
        try:
            name = self._shelf.newest()
            return name is not None and self._brought(name)
        except StoppedError:
            return False  # the agent ends
        except (OtaruError, OSError) as error:
            _log.warning("the backup is not at the server yet: %s", error)
            return False

    def _brought(self, name: str) -> bool:
        try:
            return self._carry(name)
        except (InvalidInputError, NotFoundError, TooLargeError) as error:  # no room, or a server that knows no backups
            _log.warning("the server does not take backup %s: %s", name, error)
            self._shelf.sent(name)
            self._shelf.withheld(error.message)
            return False
        except BackupsOffError as error:  # until the tenant thinks otherwise: it stays the next one to be brought
            _log.warning("backup %s stays on the device: %s", name, error.message)
            self._shelf.withheld(error.message)
            self._off_until = self._clock.monotonic() + OFF_S
            return False

    def _carry(self, name: str) -> bool:
        size, digest = self._shelf.size_of(name), self._digest(name)
        here = self._road.backed_up(digest)
        for _ in range(PARTS):
            if here >= size:
                self._shelf.sent(name)
                self._shelf.withheld("")
                _log.info("backup %s is at the server, %s bytes", name, size)
                return False
            part = self._shelf.read(name, here, min(MAX_PART, size - here))
            there = self._road.back_up(name, here, part, size, digest)
            if there <= here:
                return False  # somebody else was faster, or it begins anew: with the next round
            here = there
        return True

    def _digest(self, name: str) -> str:
        """Of the file; read once while this process lives."""
        if name not in self._digests:
            size, at, running = self._shelf.size_of(name), 0, hashlib.sha256()
            while at < size and (chunk := self._shelf.read(name, at, MAX_PART)):
                running.update(chunk)
                at += len(chunk)
            self._digests = {name: running.hexdigest()}
        return self._digests[name]
