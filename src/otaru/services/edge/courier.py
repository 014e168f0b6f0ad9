"""Brings backups to the server, part by part, while nothing else is under way: the newest one, once."""

import hashlib
import logging
from typing import Protocol

from otaru.domain.backup import MAX_PART
from otaru.domain.update import RESTING
from otaru.domain.update_record import Record
from otaru.errors import InvalidInputError, NotFoundError, OtaruError, StoppedError, TooLargeError
from otaru.ports.link import BackupRoad

PARTS = 16
"""In one round: polls are not kept waiting for long."""
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


class Courier:
    """One device's. One thread."""

    def __init__(self, shelf: Shelf, road: BackupRoad) -> None:
        self._shelf = shelf
        self._road = road
        self._digests: dict[str, str] = {}

    def carry(self, record: Record) -> bool:
        """Bring some parts; whether there is more to bring right away."""
        if record.state not in RESTING:
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
            return False

    def _carry(self, name: str) -> bool:
        size, digest = self._shelf.size_of(name), self._digest(name)
        here = self._road.backed_up(digest)
        for _ in range(PARTS):
            if here >= size:
                self._shelf.sent(name)
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
