"""Diagnostics of a Linux device: an archive of what it says of itself, bounded in bytes and time, without secrets."""

import hashlib
import io
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from otaru.adapters.board.blotting import WITHHELD
from otaru.adapters.board.disk import Disk, full_named, make_folders, replace
from otaru.adapters.board.program import ended
from otaru.domain.errand import MAX_BUNDLE, MAX_OUTPUT
from otaru.domain.redaction import redacted
from otaru.errors import InstallError, OtaruError, StorageFullError
from otaru.ports.remote import Ran

MAX_LINES = 500
"""Of the agent's own log, kept in memory."""
_SYSTEM = ("/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/version", "/proc/mounts", "/etc/os-release")
_MAX_SYSTEM = 32 * 1024
COLLECTING_S = 300.0
"""After so long no more commands are begun: the device has other things to do."""
_TRIES = 3
"""So many texts are withheld before no other one is looked through: each of them took its time."""


class LastLines(logging.Handler):
    """The last lines of the agent's own log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.lines: deque[str] = deque(maxlen=MAX_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        with suppress(Exception):  # a record that cannot be written is no reason to fail
            self.lines.append(self.format(record)[:2000])


@dataclass(frozen=True, slots=True)
class Collected:
    """What a device's maker wants in its diagnostics, and how much of it."""

    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Sequence[str] = ()
    """Of each the end."""
    most_bytes: int = 1_000_000
    """In all, before it is packed."""
    timeout_s: float = 30
    """For each command."""


class FolderDiagnoser:
    """`ports.remote.Diagnoser` in a folder."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        wanted: Collected,
        says: Mapping[str, Callable[[], str]],
        secrets: Callable[[], Collection[str]] = tuple,
        blotted: Callable[[str], str] = str,
        collecting_s: float = COLLECTING_S,
    ) -> None:
        """Take a folder of its own, what else to ask by file name (`status.json`), and what is secret.

        `blotted` takes out what the device's maker named, of what looks like no secret any more.
        """
        self._disk = disk
        self._folder = folder
        self._wanted = wanted
        self._says = dict(says)
        self._secrets = secrets
        self._blotted = blotted
        self._collecting_s = collecting_s

    def collect(self, number: int) -> tuple[int, str]:
        packed = self._packed()
        if len(packed) > MAX_BUNDLE:
            raise StorageFullError(f"the diagnostics have {len(packed)} bytes, {MAX_BUNDLE} are allowed")
        with full_named(self._folder):
            make_folders(self._disk, self._folder)
            for name in self._disk.names(self._folder):  # of errands that nobody asks for any more
                self._disk.remove(f"{self._folder}/{name}")
            replace(self._disk, self._path(number), packed)
        return len(packed), hashlib.sha256(packed).hexdigest()

    def part(self, number: int, first: int, length: int) -> bytes:
        return self._disk.read_at(self._path(number), first, length)

    def forget(self, number: int) -> None:
        with suppress(OSError):
            self._disk.remove(self._path(number))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number}.tar.gz"

    def _packed(self) -> bytes:
        import gzip  # noqa: PLC0415 - rarely needed
        import tarfile  # noqa: PLC0415

        made, secrets, left, in_vain = io.BytesIO(), self._secrets(), self._wanted.most_bytes, 0
        with gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
            for name, text in self._texts():
                text = redacted(text, secrets)  # noqa: PLW2901 - nothing may see the other one any more
                text = self._blotted(text) if in_vain < _TRIES else WITHHELD  # noqa: PLW2901 - as above
                in_vain += text == WITHHELD
                data = text.encode(errors="replace")
                if len(data) > left:
                    data = b"(the beginning is left out: too long)\n" + data[len(data) - left :] if left > 0 else b""
                left -= len(data)
                info = tarfile.TarInfo(f"diagnostics/{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return made.getvalue()

    def _texts(self) -> Iterator[tuple[str, str]]:
        """What there is to say, what matters most first."""
        for name, say in self._says.items():
            try:
                yield name, say()
            except (OtaruError, OSError) as error:
                yield name, f"(it cannot be said: {error})\n"
        for path in _SYSTEM:
            with suppress(OSError):
                yield f"system{path}", self._end(path, _MAX_SYSTEM)
        until = time.monotonic() + self._collecting_s
        for name, words in self._wanted.commands.items():
            if time.monotonic() >= until:
                yield f"commands/{name}", "(left out: those before it took too long)\n"
                continue
            try:
                done = ended(words, self._wanted.timeout_s)
                yield f"commands/{name}", f"{done.said}\n(ended with {done.code})\n"
            except InstallError as error:
                yield f"commands/{name}", f"({error.message})\n"
        for path in self._wanted.files:
            try:
                yield f"files{path}", self._end(path, self._wanted.most_bytes)
            except OSError as error:
                yield f"files{path}", f"(it cannot be read: {error.strerror})\n"

    def _end(self, path: str, most: int) -> str:
        size = os.stat(path).st_size
        first = max(0, size - most)
        return self._disk.read_at(path, first, most).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Allowed:
    """A command that a device's maker allows."""

    words: Sequence[str]
    timeout_s: float = 60
    output: int = MAX_OUTPUT
    """Characters of what it printed that are told: the end."""


class AllowedCommands:
    """`ports.remote.Commands`."""

    def __init__(
        self,
        allowed: Mapping[str, Allowed],
        secrets: Callable[[], Collection[str]] = tuple,
        blotted: Callable[[str], str] = str,
    ) -> None:
        self._allowed = dict(allowed)
        self._secrets = secrets
        self._blotted = blotted
        self.names = frozenset(self._allowed)

    def run(self, name: str) -> Ran:
        """See the port."""
        allowed = self._allowed[name]
        done = ended(allowed.words, allowed.timeout_s)
        said = self._blotted(redacted(done.said, self._secrets()))
        return Ran(done.code, said[-allowed.output :] if allowed.output else "")
