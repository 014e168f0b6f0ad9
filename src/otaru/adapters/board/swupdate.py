"""SWUpdate: its daemon writes a .swu into the slot that does not run; which slot is started is ours to say.

The daemon checks the .swu by its own anchor, and how it fits the hardware. The .swu leaves the bootloader alone (no
`bootenv`): otherwise it would be started before all pieces of a release are there, and without a trial.
"""

import hashlib
import re
import struct
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import LOCAL, Programs
from otaru.adapters.board.slots import TRIALS, SlotInstaller
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.images import cpio
from otaru.images.reading import BrokenImageError, Reader
from otaru.images.swu import DESCRIPTION
from otaru.ports.board import Bootloader, Slot, Staged
from otaru.trust.verify.refusals import InstallerDigestError

# SWUpdate's network_ipc.h, as of 2022.12: magic, type, then a union whose part for states is three numbers and a text.
_MAGIC, _GET_STATUS, _SIZE = 0x14052001, 3, 3120
_STATE = struct.Struct("=iiiii2048s")
_IDLE, _SUCCESS, _FAILURE = 0, 3, 4
_LINE = re.compile(r"^Status: (\d) message: (.*)$", re.MULTILINE)
"""As its client prints it."""
_MOST = 500
_AGAIN_S = 0.1
_BEGINS_S = 5


class _Told(NamedTuple):
    """What the daemon does, how the last installation ended, and the next line of its log."""

    now: int
    last: int
    line: str


class SwupdateInstaller(SlotInstaller):
    """`ports.board.Installer` by a running SWUpdate.

    Args:
        component: what it is for
        disk: where the file and the notes are
        bootloader: what starts slots
        notes: where what is in the slots is noted
        trials: starts that a new image has
        select: the selection (`stable,copy2`) that writes a slot; none: the daemon knows by itself
        sockets: the folder of the daemon's sockets (its TMPDIR)
        timeout_s: how long an installation may take
        programs: where its client and its daemon are
    """

    kinds = frozenset({"swupdate"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        bootloader: Bootloader,
        notes: str,
        trials: int = TRIALS,
        *,
        select: Mapping[Slot, str] | None = None,
        sockets: str = "/tmp",  # noqa: S108 - where SWUpdate has them
        timeout_s: float = 1800,
        programs: Programs = LOCAL,
    ) -> None:
        super().__init__(component, disk, bootloader, notes, trials)
        self._select = select or {}
        self._sockets = sockets
        self._timeout_s = timeout_s
        self._programs = programs

    def check(self, piece: Piece) -> None:
        """Nothing can be said before the bytes are here: the daemon reads what hardware they are for."""

    def _write(self, slot: Slot, piece: Piece, staged: Staged) -> None:
        for _ in staged.chunks():
            pass  # the daemon is given the file: it has to be what was verified
        if piece.installer_digest and _described(self._disk, staged) != piece.installer_digest:
            raise InstallerDigestError(f"{piece.path} is described otherwise than was signed")
        until = time.monotonic() + self._timeout_s
        self._until_idle(until)
        select = ["-e", self._select[slot]] if slot in self._select else []
        log, said = self._handed_over(["swupdate-client", *select, staged.path], until)
        # A line is told to one listener: another one may have been given that of the success.
        ends = self._state() if log else None
        went_well = ends is not None and (ends.now, ends.last) == (_IDLE, _SUCCESS)
        if not went_well and not any(state == _SUCCESS for state, _ in log):
            why = "; ".join(text.rpartition(" : ")[2] for state, text in log if state == _FAILURE and text)
            why = (why or said)[-300:] or "it does not say why"
            raise InstallError(f"SWUpdate did not install {piece.component} {piece.version}: {why}")
        self._programs.settle()  # whatever its handlers have written to
        if self._boot.primary() == slot:
            raise InstallError(f"{piece.path} has told the bootloader to start it: it must not have a bootenv")

    def _handed_over(self, words: Sequence[str], until: float) -> tuple[list[tuple[int, str]], str]:
        """Install a file; the daemon's log of that, and the end of what the client said.

        The client's exit code says nothing: it looks whether the daemon is idle, which it may be still, and then tells how the
        installation before this one ended. The log is of this one: the daemon empties it when it accepts a file.
        """
        done = self._programs.ended(words, max(until - time.monotonic(), 1), {"TMPDIR": self._sockets})
        log = deque([(int(state), text) for state, text in _LINE.findall(done.said)], _MOST)
        if not log and "swupdate_async_start" in done.said:
            return [], f"{done.end}: not reached, or it does not accept the selection"
        begins = time.monotonic() + _BEGINS_S
        while not (log and log[-1][0] == _IDLE) and (state := self._state()) is not None:
            if time.monotonic() > until:
                raise InstallError(f"SWUpdate took longer than {self._timeout_s:g} s")
            if state.line:
                log.append((state.now, state.line))
            elif state.now == _IDLE and (log or time.monotonic() > begins):
                break
            else:
                self._programs.pause(_AGAIN_S)
        return list(log), done.end

    def _until_idle(self, until: float) -> None:
        """Wait for the end of an installation that goes on since before a cut of this process alone."""
        while (state := self._state()) is not None and state.now != _IDLE:
            if time.monotonic() > until:
                raise InstallError(f"SWUpdate has been busy for {self._timeout_s:g} s")
            self._programs.pause(_AGAIN_S)

    def _state(self) -> "_Told | None":
        """What the daemon says of itself; None: it does not say, or in another form than is known here."""
        asked = struct.pack("=ii", _MAGIC, _GET_STATUS).ljust(_SIZE, b"\0")
        answer = self._programs.answer(f"{self._sockets}/sockinstctrl", asked, _SIZE)
        if answer is None:
            return None
        _, _, now, last, _, text = _STATE.unpack_from(answer)
        return _Told(now, last, text.partition(b"\0")[0].decode(errors="replace"))


class _File:
    """`images.reading.Source`."""

    def __init__(self, disk: Disk, staged: Staged) -> None:
        self._disk = disk
        self._path = staged.path
        self.size = staged.size

    def read_at(self, offset: int, n: int) -> bytes:
        return self._disk.read_at(self._path, offset, n)


def _described(disk: Disk, staged: Staged) -> str:
    """The SHA-256 of a .swu's description."""
    reader = Reader(_File(disk, staged))
    try:
        first = next(cpio.members(reader), None)
        if first is None or first.name != DESCRIPTION:
            raise InstallError(f"a .swu begins with {DESCRIPTION}")
        return hashlib.sha256(reader.head(first.offset, first.size, DESCRIPTION)).hexdigest()
    except BrokenImageError as error:
        raise InstallError(f"it is no .swu: {error}") from None
