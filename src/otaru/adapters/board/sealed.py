"""A few bytes that survive: two copies with a number and a digest, written in turn.

The one that was written last counts. If its bytes cannot be read (the disk lied about a sync, or rots), the one before
does: one step older, which is where a cut one moment earlier would have left it.
"""

import hashlib
import re

from otaru.adapters.board.disk import Disk, full_named, replace
from otaru.errors import JournalBrokenError

_HEAD = re.compile(rb"otaru ([0-9]{1,18}) ([0-9]{1,9}) ([0-9a-f]{64})\n")
MAX_SIZE = 32 * 1024 * 1024


class Sealed:
    """Bytes at `path`.0 and `path`.1. One process at a time."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path

    def load(self) -> bytes | None:
        """What was put last; None where nothing ever was.

        Raises:
            JournalBrokenError: something was, and neither copy is whole.
        """
        copies = self._copies()
        if copies:
            return copies[max(copies)][1]
        if any(self._disk.size(self._at(which)) is not None for which in (0, 1)):
            raise JournalBrokenError(f"neither copy of {self._path} can be read")
        return None

    def put(self, data: bytes) -> None:
        """Keep bytes: durable when this returns, the old ones until then.

        Raises:
            StorageFullError: there is no room.
        """
        copies = self._copies()
        newest = max(copies, default=0)
        which = 1 - copies[newest][0] if copies else 0
        digest = hashlib.sha256(b"%d\n" % (newest + 1) + data).hexdigest()
        head = b"otaru %d %d %s\n" % (newest + 1, len(data), digest.encode())
        with full_named(self._path):
            replace(self._disk, self._at(which), head + data)

    def _at(self, which: int) -> str:
        return f"{self._path}.{which}"

    def _copies(self) -> dict[int, tuple[int, bytes]]:
        """Whole copies by number: which file, and the bytes."""
        found = {}
        for which in (0, 1):
            path = self._at(which)
            if (size := self._disk.size(path)) is None or size > MAX_SIZE:
                continue
            raw = self._disk.read_at(path, 0, size)
            head = _HEAD.match(raw)
            if head is None:
                continue
            number, data = int(head[1]), raw[head.end() :]
            if len(data) == int(head[2]) and hashlib.sha256(b"%d\n" % number + data).hexdigest().encode() == head[3]:
                found[number] = (which, data)
        return found
