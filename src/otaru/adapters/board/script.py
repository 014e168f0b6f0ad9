"""Whatever a program can install: each step of the port is a command of the device's maker.

A command learns of the piece by its environment:

    OTARU_COMPONENT, OTARU_VERSION, OTARU_SIZE      as they are signed
    OTARU_SHA256                                    of the bytes: names a piece where two have one version
    OTARU_FILE                                      `install` only: where the verified bytes lie

It ends with 0 where it did what it was asked. `standing` prints `runs`, `armed` or `absent`. All that was written while a command
ran is on the disks before the next one is called, so that nobody has to think of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from otaru.adapters.board.program import LOCAL, Programs, run
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.ports.board import Staged


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Programs and their arguments; no shell. Those that may be empty have nothing to do then."""

    install: Sequence[str]
    activate: Sequence[str]
    standing: Sequence[str]
    revert: Sequence[str]
    check: Sequence[str] = ()
    commit: Sequence[str] = ()


class ScriptInstaller:
    """`ports.board.Installer` by commands. What the port asks of a call (again, with the same effect), it asks of them."""

    def __init__(
        self,
        component: str,
        commands: Commands,
        kinds: frozenset[str] = frozenset({"file"}),
        timeout_s: float = 600,
        programs: Programs = LOCAL,
    ) -> None:
        self.components = frozenset({component})
        self.kinds = kinds
        self._commands = commands
        self._timeout_s = timeout_s
        self._programs = programs

    def check(self, piece: Piece) -> None:
        if not self._commands.check:
            return
        done = self._programs.ended(self._commands.check, self._timeout_s, _told(piece))
        if done.code != 0:
            raise UnsuitableError(f"{piece.component} {piece.version} is not for this device: {done.end}")

    def install(self, piece: Piece, staged: Staged) -> None:
        for _ in staged.chunks():
            pass  # the command reads the file itself: it has to be what was verified before it is told of it
        self._act(self._commands.install, piece, {"OTARU_FILE": staged.path})

    def activate(self, piece: Piece) -> None:
        self._act(self._commands.activate, piece)

    def standing(self, piece: Piece) -> Standing:
        said = self._run(self._commands.standing, piece).strip()
        if said not in set(Standing):
            raise InstallError(f"{self._commands.standing[0]} said {said[:100]!r}, not runs, armed or absent")
        return Standing(said)

    def commit(self, piece: Piece) -> None:
        if self.standing(piece) is not Standing.RUNS:
            raise InstallError(f"{piece.component} {piece.version} does not run")
        if self._commands.commit:
            self._act(self._commands.commit, piece)

    def revert(self, piece: Piece) -> None:
        self._act(self._commands.revert, piece)

    def _act(self, words: Sequence[str], piece: Piece, more: Mapping[str, str] | None = None) -> None:
        self._run(words, piece, more)
        self._programs.settle()

    def _run(self, words: Sequence[str], piece: Piece, more: Mapping[str, str] | None = None) -> str:
        return run(words, self._timeout_s, {**_told(piece), **(more or {})}, self._programs)


def _told(piece: Piece) -> dict[str, str]:
    return {
        "OTARU_COMPONENT": piece.component,
        "OTARU_VERSION": piece.version,
        "OTARU_SIZE": str(piece.size),
        "OTARU_SHA256": piece.sha256,
    }
