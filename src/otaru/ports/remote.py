"""What a device can say and do of itself when it is asked from afar: measure, collect, run what its maker allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from otaru.domain.errand_book import Book
from otaru.domain.health import Kind, Told


@dataclass(frozen=True, slots=True)
class Boot:
    """One start of the device: a name that no other has, and why it came about as far as the device knows."""

    id: str
    kind: Kind = Kind.REBOOT
    reason: str = ""


class Gauges(Protocol):
    """What the device measures of itself."""

    def read(self, off: Sequence[str]) -> Mapping[str, float]:
        """What is known now, without what is `off`. Each ends within a time of its own."""
        ...

    def boot(self) -> Boot:
        """This start."""
        ...

    def uptime_s(self) -> float:
        """For how long the device is up, by a clock that nobody sets."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What waits to be told, and the last start that was."""

    boot: str = ""
    told: tuple[Told, ...] = ()


class Spool(Protocol):
    """What the server is still to be told of the device's health, while it cannot be. Bounded by whoever puts it."""

    def load(self) -> Kept:
        """What was put last; nothing where it cannot be read: telemetry may be lost."""
        ...

    def put(self, kept: Kept) -> None:
        """Keep it; durable when this returns. Raises as `Journal.put`."""
        ...


class Ledger(Protocol):
    """The book of errands: as durable as the journal."""

    def load(self) -> Book:
        """What was put last.

        Raises:
            JournalBrokenError: something was, and no copy of it can be read: then no errand may be begun.
        """
        ...

    def put(self, book: Book) -> None:
        """Keep it; durable when this returns. Raises as `Journal.put`."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and the end of what it printed, without secrets."""

    code: int
    said: str


class Commands(Protocol):
    """The commands that the device's maker allows, by name. Nothing of them comes from the server."""

    @property
    def names(self) -> frozenset[str]: ...

    def run(self, name: str) -> Ran:
        """Run one within its limits.

        Raises:
            InstallError: it is not there, or took too long.
        """
        ...


class Diagnoser(Protocol):
    """Collects diagnostics: a packed archive by the errand's number, bounded, without secrets."""

    def collect(self, number: int) -> tuple[int, str]:
        """Collect them anew; how many bytes they have, and their SHA-256. Durable when this returns.

        Raises:
            StorageFullError, OSError: they cannot be kept.
        """
        ...

    def part(self, number: int, first: int, length: int) -> bytes:
        """Some of them."""
        ...

    def forget(self, number: int) -> None:
        """Remove them; nothing where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the device's owner lets it share and do from afar; it comes before what anybody else says."""

    telemetry: bool = True
    diagnostics: bool = True
    commands: bool = True


class Consent(Protocol):
    """The owner's word."""

    def now(self) -> Sharing:
        """As it stands. What cannot be read is a no."""
        ...
