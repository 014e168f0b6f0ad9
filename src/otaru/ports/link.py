"""A device's side of a road: what it asks of its server, and what it tells it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from otaru.domain.deployment import State
from otaru.domain.device import Merge
from otaru.domain.errand import State as ErrandState
from otaru.domain.errand import Went
from otaru.domain.health import Told as HealthTold
from otaru.domain.ids import ActionId
from otaru.domain.link import Answer, Batch, Heard, Taking, Told
from otaru.trust.verify.steps import Want


class Download(Protocol):
    """The bytes of a file as they come over one connection. Close it: it may be in the middle."""

    @property
    def first(self) -> int:
        """Which byte of the file comes first; a server that does not continue where it was asked to begins at 0."""
        ...

    @property
    def total(self) -> int | None:
        """The length of the whole file, where the server says it."""
        ...

    @property
    def tag(self) -> str:
        """What names these bytes and no others (a strong ETag), to be shown when going on; empty where there is none."""
        ...

    def read(self) -> bytes:
        """The next bytes, some 64 KiB at most; none at the end.

        Raises:
            UnavailableError: the connection broke, was silent for too long, or ended before what was announced.
            StoppedError: it was closed meanwhile.
        """
        ...

    def close(self) -> None:
        """End it at once, in the thread that reads it. May be called twice. From another thread: `Link.close`."""
        ...


class Shelf(Protocol):
    """Where files are."""

    def open(self, address: str, first: int = 0, tag: str = "") -> Download:
        """Open a file at an address of an offer, from a byte on, if it is still the one with this tag; else from 0.

        The credential goes to the server alone, whatever the address.

        Raises:
            NotFoundError: there is no such file (any more).
            RangeNotSatisfiableError: it has no such byte; `facts["size"]` where the server says how many it has.
        """
        ...


class Link(Shelf, Protocol):
    """One device's side of a road: for one thread, but for `close`.

    It never waits of itself and never tries again: it raises, and the device knows how patient it is. What was said is
    durable at the server when a call returns.

    Every method raises
        UnauthenticatedError, ForbiddenError: the credential is not good (enough).
        OverloadedError: not now; `facts["retry_after_s"]` where the server says when.
        UnavailableError: no server answers, or it fails.
        StoppedError: the link was closed.
        InvalidInputError: the server answers something else than this road, or refuses what was said for its form.
    """

    def poll(self, wait: timedelta = timedelta(0), taking: Taking | None = None) -> Told:
        """Ask what is due. With `wait` the server may hold the answer back so long, until something changes.

        Only with `taking` the offer's files have patches.

        What has not changed since the last call is told again from memory.
        """
        ...

    def report(self, said: Batch) -> list[Heard]:
        """Say how it goes; what became of each note, in their order. The same again changes nothing."""
        ...

    def decide(self, action: ActionId, answer: Answer, until: datetime | None = None, reason: str = "") -> State:
        """Say what the owner says to an offer that waits; where the action is after it. The same again changes nothing.

        Raises:
            NotFoundError: there is no such action now.
            InvalidStateError: it does not wait, or nothing may begin now.
            PostponedError: it may not be put off so far, or so often.
        """
        ...

    def describe(self, attributes: Mapping[str, str], mode: Merge = Merge.MERGE) -> None:
        """Say what the device is."""
        ...

    def tell(self, events: Sequence[HealthTold]) -> None:
        """Say how the device fares (docs/health.md). What is known by its id changes nothing.

        Raises:
            RateLimitedError: it told too much; `facts["retry_after_s"]` says when it may go on.
        """
        ...

    def errands(self, said: Sequence[Went]) -> dict[int, ErrandState | None]:
        """Say how errands go; where each stands then. None: the server knows no such errand. The same again changes nothing."""
        ...

    def received(self, errand: int) -> int:
        """How many bytes of an errand's diagnostics the server has.

        Raises:
            NotFoundError: it waits for none.
        """
        ...

    def send(self, errand: int, first: int, content: bytes, size: int, sha256: str) -> int:
        """Send a part of diagnostics that have so many bytes in all, with this digest; how many the server has then.

        A part that does not continue what it has changes nothing.

        Raises:
            NotFoundError: it waits for none.
            InvalidInputError: all are there, and they are others: it has forgotten them.
        """
        ...

    def metadata(self, want: Want) -> bytes | None:
        """A file that verification asks for: at most `want.max_length` bytes and one; None where there is none."""
        ...

    def close(self) -> None:
        """End what is under way at once, from whatever thread; afterwards every call raises StoppedError."""
        ...


class BackupRoad(Protocol):
    """Where a device brings its backups. Raises as `Link`."""

    def backed_up(self, sha256: str) -> int:
        """How many bytes of a backup the server has."""
        ...

    def back_up(self, name: str, first: int, content: bytes, size: int, sha256: str) -> int:
        """Send a part of a backup of so many bytes in all, with this digest; how many the server has then.

        A part that does not continue what it has changes nothing.

        Raises:
            TooLargeError: there is no room for it.
            InvalidInputError: all are there, and they are others.
        """
        ...
