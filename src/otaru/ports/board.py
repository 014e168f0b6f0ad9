"""The device under an update: where it keeps what it knows, what starts it, and who installs.

One rule holds for everything here: **power may go at any moment, also in the middle of a call**. So each call is one that
may be made again, from its beginning, with the same effect as if it had been made once; and when it returns, what it did
is on the disk, names of files included. Nobody here remembers in memory what a next call needs.

The order of calls is that of `domain.update`; `services/edge/update` makes them. All of it blocks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from otaru.domain.link import Note
from otaru.domain.update import Moment, Standing
from otaru.domain.update_record import Piece, Record
from otaru.images.reading import Source
from otaru.ports.partial import Partial
from otaru.trust.verify.state import State

Slot = str
"""A slot's name: `a` or `b`."""


class Journal(Protocol):
    """The record of updates; see `domain.update` for why it is written before what it says is done."""

    def load(self) -> Record:
        """What was put last; a new device's record where nothing ever was.

        After a cut in `put` it is the record before or the one that was put, never something else.

        Raises:
            JournalBrokenError: something was put, and no copy of it can be read.
        """
        ...

    def put(self, record: Record) -> None:
        """Keep a record; durable when this returns. It takes no more room the more often it is called.

        Raises:
            StorageFullError: there is no room; what was put before is still there.
            OSError: the disk fails; what was put before is still there.
        """
        ...


class Vault(Protocol):
    """What the device keeps of its trust: as durable as the journal, and never cleared by a factory reset."""

    def load(self) -> State:
        """What was put last.

        Raises:
            StateError: there is none that can be read: nothing is trusted until the device is provisioned again.
        """
        ...

    def put(self, state: State) -> None:
        """Keep it; durable when this returns. Raises as `Journal.put`."""
        ...


class Bootloader(Protocol):
    """What starts one of two slots. It decides alone which; this only reads and writes what it decides by.

    Each call is one atomic change of its environment. Errors: `InstallError` where it cannot be asked or set.
    """

    def current(self) -> Slot:
        """The slot that this system was started from. It does not change before the next start."""
        ...

    def primary(self) -> Slot:
        """The slot that it would start now; never one that is condemned or has used up its trials."""
        ...

    def arm(self, slot: Slot, trials: int) -> None:
        """Start `slot` next, but no more than `trials` times: after that the other one again, until it is confirmed.

        Each start counts, before the slot's own software runs: so one that never gets that far is counted, too.
        """
        ...

    def confirm(self, slot: Slot) -> None:
        """Start `slot` from now on without counting. Also the way back: what was armed is armed no more."""
        ...

    def condemn(self, slot: Slot) -> None:
        """Do not start `slot`, until it is armed or confirmed: it is about to be written. Never the current one."""
        ...


class Staged(Protocol):
    """A piece's bytes, as they lie on the disk after they were verified."""

    @property
    def size(self) -> int: ...

    @property
    def path(self) -> str:
        """Where they lie, for programs that want a file. The folder is the agent's alone."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All of them in order, 64 KiB at most at a time, hashed on their way: who writes them needs no second look.

        Raises:
            TargetTooLongError, TargetTooShortError, TargetDigestError: they are no longer what was verified. It comes
                with the end at the latest, so nothing is made to run before the iterator has ended.
        """
        ...


class Staging(Protocol):
    """Where bytes lie that are being downloaded, until they are installed. By what they have to be: `Piece.sha256`."""

    def partial(self, piece: Piece) -> Partial:
        """A piece's bytes while they come."""
        ...

    def keep_only(self, pieces: Iterable[Piece]) -> None:
        """Forget what belongs to none of these."""
        ...

    def staged(self, piece: Piece) -> Staged: ...


class Outbox(Protocol):
    """What the server is still to be told, in its order. Bounded: the oldest progress goes first, an outcome never."""

    def put(self, note: Note) -> None:
        """Keep a note; durable when this returns. One with the same id is there already: nothing changes."""
        ...

    def waiting(self) -> tuple[Note, ...]:
        """The oldest notes, as many as go into one batch."""
        ...

    def told(self, ids: Collection[str]) -> None:
        """The server has these. When a cut undoes this they are sent again, which changes nothing there."""
        ...


class Installer(Protocol):
    """Whoever brings pieces of one kind to one place: a slot, a folder, a package store, another program (RAUC, SWUpdate).

    One update calls, for every piece and each of them once or more often:

    1. `check`, before anything is downloaded;
    2. `install`, piece by piece in the plan's order; when all are installed:
    3. `activate`, in the plan's order;
    4. a reboot, where some piece's `standing` is then only ARMED;
    5. `commit`, in the plan's order, once all pieces run and are healthy.

    From 2 on the update may be given up at any point, after a cut or not: then `revert` is called for **every** piece, in
    the opposite order, also for those that were never installed; and a reboot follows if some piece still runs. It is
    possible until the next update's `install`, also after `commit`: of several pieces some may be committed already
    when the bootloader goes back.

    Bytes come verified (`Staged`). An installer that finds signatures or hashes in them checks these, too: by an anchor of
    its own, and by `Piece.installer_digest` where one was signed (`trust.verify.payload.check_installer`).

    Errors: `InstallError` with a reason that a person can do something with; `UnsuitableError`; `StorageFullError`;
    `OSError`. Whoever starts programs bounds their time and what is read of their output.
    """

    @property
    def components(self) -> frozenset[str]:
        """The components that it is for."""
        ...

    @property
    def kinds(self) -> frozenset[str]:
        """The installers' names in signed metadata that it is (`Piece.installer`): `file`, `raw`, `swupdate`, `rauc`."""
        ...

    def check(self, piece: Piece) -> None:
        """Whether it could be installed, as far as that can be said before its bytes are here. Changes nothing.

        Raises:
            UnsuitableError: it could not: it is too long, say.
        """
        ...

    def install(self, piece: Piece, staged: Staged) -> None:
        """Write it aside. What runs, and what the next start would start, is not touched.

        After a cut it is called again: from the start, or it goes on where it was if it can tell. Where a piece cannot
        be written aside (packages, one place only) this does what can be done beforehand, and `activate` the rest.
        """
        ...

    def activate(self, piece: Piece) -> None:
        """Switch to it: it runs when this returns, or from the next start on (`standing` says which).

        After a cut it is called again, also when it already runs. What starts it tries it only so often, where it can
        count: nothing is permanent before `commit`.
        """
        ...

    def standing(self, piece: Piece) -> Standing:
        """What is so now, from what is there. ABSENT also for a piece that was installed, but not activated."""
        ...

    def commit(self, piece: Piece) -> None:
        """Make it what is started from now on. Called only while it runs."""
        ...

    def revert(self, piece: Piece) -> None:
        """Back to what ran before, at once or with the next start; nothing to do where that runs."""
        ...


@runtime_checkable
class Origin(Protocol):
    """The bytes of what runs in a component, for patches to lead from: of installers that keep them as they came."""

    def digest(self) -> str | None:
        """SHA-256 that they had when they were installed; empty: it is not known; None: there are none to lead from.

        Cheap, and only a hint: whoever reads them hashes them.
        """
        ...

    def source(self, size: int) -> Source | None:
        """The first `size` of them; None: there are not so many."""
        ...


@dataclass(frozen=True, slots=True)
class Drift:
    """What of a component is no longer as it was installed: names, in their order."""

    changed: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    """Those of them that were put back."""


class Desired(Protocol):
    """What was installed in a component, to be compared with what is there now: of installers that keep it."""

    def drift(self) -> Drift | None:
        """What differs; None: nothing was ever installed. Whatever it puts back is durable when this returns.

        Raises:
            InstallError: it was put back, and the application could not be told.
            StorageFullError, OSError: it cannot be read or put back.
        """
        ...


class Safe(Protocol):
    """Where the data that a new version may spoil are saved before it is switched to, and put back after it was given up."""

    def save(self, components: Collection[str], release: str) -> str:
        """Save what belongs to these components; the name of the backup, empty where nothing belongs to any of them.

        Durable when this returns; what is saved is not touched. Again, it makes another one, and old ones make room.

        Raises:
            BackupError: it cannot be saved as it should be.
            StorageFullError, OSError: there is no room, or the disk fails.
        """
        ...

    def names(self) -> list[str]:
        """Those that are here, the oldest first."""
        ...

    def restore(self, name: str) -> None:
        """Put back all that a backup holds: byte for byte when this returns, also where it was begun before a cut.

        Nothing is touched before all of the backup was read and found whole.

        Raises:
            BackupError: there is none of this name, it is not whole, or this device cannot open it.
            StorageFullError, OSError: there is no room, or the disk fails.
        """
        ...


class Senses(Protocol):
    """What the device knows of itself when conditions ask."""

    def facts(self, names: Collection[str]) -> Mapping[str, str]:
        """Of these attributes (`domain.conditions.names`) those that are known now. Each ends within a time of its own."""
        ...


SERVER_CHECK = "server"
"""The name of the health check that asks the server: what came by a medium is tried without it."""


class HealthCheck(Protocol):
    """One thing that has to be so before a new version is kept. It ends within a time of its own."""

    @property
    def name(self) -> str: ...

    def wrong(self) -> str:
        """What is not as it should be, in one line; empty: it is healthy."""
        ...


class Lock(Protocol):
    """A lock by which an application keeps updates away."""

    def held(self) -> str:
        """That it is held, in one line; empty: it is not. Never blocks. What cannot be seen is held."""
        ...


class Hooks(Protocol):
    """What the device's maker has called at the turns of an update. Each call ends within a time of its own."""

    def call(self, moment: Moment, told: Mapping[str, str]) -> str:
        """Call what there is for a moment; why it should not be now, in one line; empty: nobody objects.

        Called again whenever it is asked anew, and after a power cut: it is harmless when it is called twice.
        """
        ...


class Power(Protocol):
    """Reboots the device."""

    def reboot(self) -> None:
        """Order it. It may happen after this returns, at once, or not at all: nobody counts on anything but a new start.

        Raises:
            InstallError: it cannot be ordered.
        """
        ...


Installers = Mapping[str, Installer]
"""By component."""
