"""RAUC: its service writes a bundle into the slot that does not run; which slot is started is ours to say.

The service checks the bundle by its own keyring, and whom it is for (`compatible`). Its system.conf has `activate-installed=false`:
otherwise a bundle would be started before all pieces of a release are there. It is asked over D-Bus by `busctl`.
"""

import json
import time
from typing import Any

from otaru.adapters.board.bootloaders import other
from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import LOCAL, Ended, Programs
from otaru.adapters.board.slots import TRIALS, SlotInstaller
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.ports.board import Bootloader, Slot, Staged
from otaru.trust.verify.refusals import InstallerDigestError

_BUS = ("busctl", "--system", "--json=short")
_WHO = ("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer")
_CALL_S = 30
_AGAIN_S = 0.2
_INSPECT_S = 300
"""Of a plain bundle all bytes are hashed for that."""
_HASH = "require-manifest-hash"
_INSPECTS = '<method name="InspectBundle">'


class RaucInstaller(SlotInstaller):
    """`ports.board.Installer` by RAUC's service. Its slots' `bootname`s are those of the bootloader: `a` and `b`."""

    kinds = frozenset({"rauc"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        bootloader: Bootloader,
        notes: str,
        trials: int = TRIALS,
        *,
        timeout_s: float = 1800,
        programs: Programs = LOCAL,
    ) -> None:
        super().__init__(component, disk, bootloader, notes, trials)
        self._timeout_s = timeout_s
        self._programs = programs

    def check(self, piece: Piece) -> None:  # noqa: ARG002 - of any
        """RAUC is there, and takes for running what runs: it would write the other one."""
        told = _data(self._asked("call", *_WHO, "GetSlotStatus"))
        slots = [{key: value.get("data") for key, value in facts.items()} for _, facts in told[0]]
        booted = {slot.get("bootname") for slot in slots if slot.get("state") == "booted"}
        runs = self._boot.current()
        if runs not in booted or other(runs) not in {slot.get("bootname") for slot in slots}:
            raise InstallError(
                f"slot {runs} runs, and RAUC says that it is {sorted(map(str, booted))}",
                hint="The bootnames in RAUC's system.conf have to be a and b.",
            )

    def _write(self, slot: Slot, piece: Piece, staged: Staged) -> None:
        for _ in staged.chunks():
            pass  # RAUC opens the file itself: it has to be what was verified
        until = time.monotonic() + self._timeout_s
        self._until_idle(until)  # an installation may go on since before a cut of this process alone
        self._begin(piece, staged)
        why = self._until_idle(until)
        if why:
            raise InstallError(f"RAUC did not install {piece.component} {piece.version}: {why[-300:]}")
        self._programs.settle()
        if self._boot.primary() == slot:
            raise InstallError("RAUC has told the bootloader to start it: activate-installed has to be false")

    def _begin(self, piece: Piece, staged: Staged) -> None:
        """Order the installation: of what was signed alone, where RAUC can tell.

        Where it cannot, all bytes of the bundle are those that were signed, which says more than its manifest's hash.
        """
        plain = ("call", *_WHO, "InstallBundle", "sa{sv}", staged.path)
        if piece.installer_digest and self._inspected(piece, staged):
            done = self._done(*plain, "1", _HASH, "s", piece.installer_digest)
            if done.code == 0:
                return
            # RAUC has no number on the bus: before 1.14 it refuses the key by its name, and has done nothing (service.c).
            if f"Unsupported key: {_HASH}" not in done.said:
                raise InstallError(f"RAUC does not install {piece.component} {piece.version}: {done.end}")
        self._asked(*plain, "0")

    def _inspected(self, piece: Piece, staged: Staged) -> bool:
        """Whether RAUC may be held to the manifest's hash: not before 1.9, and not where the bundle is plain.

        Raises:
            InstallerDigestError: it finds another manifest than was signed.
            InstallError: it does not take the bundle.
        """
        told = _data(self._asked("call", *_WHO[:2], "org.freedesktop.DBus.Introspectable", "Introspect"))
        if _INSPECTS not in str(told):
            return False
        words = (f"--timeout={_INSPECT_S}", "call", *_WHO, "InspectBundle", "sa{sv}", staged.path, "0")
        done = self._programs.ended([*_BUS, *words], _INSPECT_S + _CALL_S)
        if done.code != 0:
            raise InstallError(f"RAUC does not take {piece.component} {piece.version}: {done.end}")
        info = _plain(_data(done.said))[0]
        if info.get("manifest-hash", piece.installer_digest) != piece.installer_digest:  # it says it since 1.10
            raise InstallerDigestError(f"RAUC finds another manifest in {piece.path} than was signed")
        return bool(info.get("bundle", {}).get("format") != "plain")

    def _until_idle(self, until: float) -> str:
        """Wait until RAUC installs nothing; the last error."""
        while True:
            lines = self._asked("get-property", *_WHO, "Operation", "LastError").splitlines()
            if len(lines) != 2:
                raise InstallError("RAUC does not say what it does")
            operation, error = (_data(line) for line in lines)
            if operation == "idle":
                return str(error)
            if time.monotonic() > until:
                raise InstallError(f"RAUC took longer than {self._timeout_s:g} s")
            self._programs.pause(_AGAIN_S)

    def _asked(self, *words: str) -> str:
        done = self._done(*words)
        if done.code != 0:
            raise InstallError(f"RAUC cannot be asked: {done.end}")
        return done.said

    def _done(self, *words: str) -> Ended:
        return self._programs.ended([*_BUS, *words], _CALL_S)


def _plain(told: Any) -> Any:
    """What is in variants, without their types."""
    if isinstance(told, dict):
        if told.keys() == {"type", "data"}:
            return _plain(told["data"])
        return {key: _plain(value) for key, value in told.items()}
    return [_plain(one) for one in told] if isinstance(told, list) else told


def _data(said: str) -> Any:
    """A value, as busctl prints it."""
    try:
        return json.loads(said)["data"]
    except (ValueError, KeyError, TypeError):
        raise InstallError(f"RAUC said {said[:100]!r}") from None
