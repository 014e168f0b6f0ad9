"""One Debian package, by dpkg: the file is kept, so that what ran before can be installed again.

There is one place for a package, so nothing of it is written aside but the file. What is installed stands in dpkg's own
database, and which file that came from in a folder as `files` keeps it (STORE/current, STORE/before). While dpkg works
STORE/moving is there: a cut leaves the package in between, and whoever comes next moves it to one end or the other.
"""

import time
from collections.abc import Sequence

from otaru.adapters.board.disk import Disk, Part, replace
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.program import LOCAL, Programs, run
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.ports.board import Staged

_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_LOCKED = "locked by another process"
_AGAIN_S = 1
_NO_QUESTIONS = ("--force-confdef", "--force-confold")


class DebInstaller:
    """`ports.board.Installer` by dpkg.

    Args:
        component: what it is for
        disk: where the files are kept
        store: the folder of the kept files
        package: the package's name: others are refused
        root: the system that it is installed in
        factory: the file of the package that is installed from the factory; without it there is a way back only where
            the package was not installed before
        timeout_s: how long dpkg may take
        programs: where dpkg is
    """

    kinds = frozenset({"file", "deb"})

    def __init__(
        self,
        component: str,
        disk: Disk,
        store: str,
        package: str,
        *,
        root: str = "/",
        factory: str | None = None,
        timeout_s: float = 600,
        programs: Programs = LOCAL,
    ) -> None:
        self.components = frozenset({component})
        self._disk = disk
        self._files = FilesInstaller(component, disk, store)
        self._store = store
        self._package = package
        self._root = root
        self._factory = factory
        self._timeout_s = timeout_s
        self._programs = programs

    def check(self, piece: Piece) -> None:  # noqa: ARG002 - of any
        if self._current() is None and self._factory is None and self._version() is not None:
            raise UnsuitableError(
                f"there is no way back: the file that {self._package} was installed from is not kept",
                hint="Name it as the component's factory.",
            )
        if self._factory is not None and self._disk.size(self._factory) is None:
            raise InstallError(f"there is no {self._factory}")

    def install(self, piece: Piece, staged: Staged) -> None:
        self.check(piece)
        for _ in staged.chunks():
            pass  # dpkg-deb reads the file: it has to be what was verified
        found = self._field(staged.path, "Package")
        if found != self._package:
            raise UnsuitableError(f"it is the package {found[:100]!r}, not {self._package}")
        self._files.install(piece, staged)

    def activate(self, piece: Piece) -> None:
        if self.standing(piece) is Standing.RUNS:
            return
        self._files.check_there(piece)
        self._move()
        self._files.activate(piece)
        self._settle()

    def standing(self, piece: Piece) -> Standing:
        if self._moving() or self._files.standing(piece) is not Standing.RUNS:
            return Standing.ABSENT
        path = self._current()
        installed = path is not None and self._version() == self._field(path, "Version")
        return Standing.RUNS if installed else Standing.ABSENT

    def commit(self, piece: Piece) -> None:
        if self.standing(piece) is not Standing.RUNS:
            raise InstallError(f"{piece.component} {piece.version} does not run")

    def revert(self, piece: Piece) -> None:
        if self._files.standing(piece) is Standing.RUNS:
            self._move()
            self._files.revert(piece)
        if self._moving():
            self._settle()

    def digest(self) -> str | None:
        return self._files.digest()

    def source(self, size: int) -> Part | None:
        return self._files.source(size)

    def _moving(self) -> bool:
        return self._disk.size(f"{self._store}/moving") is not None

    def _move(self) -> None:
        """Say, durably, that what is installed is about to be something else."""
        if not self._moving():
            replace(self._disk, f"{self._store}/moving", b"")

    def _settle(self) -> None:
        """Let what is installed be what `current` leads to; else the factory's; else nothing."""
        path = self._current() or self._factory
        if path is not None:
            self._dpkg("--install", path)
        elif self._version() is not None:
            self._dpkg("--force-remove-reinstreq", "--remove", self._package)
        self._programs.settle()  # dpkg syncs its database and bytes, not the names of files, nor what its scripts write
        self._disk.remove(f"{self._store}/moving")
        self._disk.sync_folder(self._store)

    def _dpkg(self, *what: str) -> None:
        words = [*self._words("dpkg"), *_NO_QUESTIONS, *what]
        until = time.monotonic() + self._timeout_s
        while (done := self._programs.ended(words, self._timeout_s, _QUIET)).code != 0:
            # A person's apt, or the dpkg of an agent that was killed: it comes to its end.
            if _LOCKED not in done.said or time.monotonic() > until:
                raise InstallError(f"{' '.join(words)[:200]} {done.how}")
            self._programs.pause(_AGAIN_S)

    def _current(self) -> str | None:
        """The file that was installed last."""
        names = self._disk.names(f"{self._store}/current")
        return f"{self._store}/current/{names[0]}" if names else None

    def _version(self) -> str | None:
        """What dpkg says is installed; None: nothing. A package that is half installed has no version."""
        form = "${db:Status-Status} ${Version}"
        words = [*self._words("dpkg-query"), "-W", "-f", form, self._package]
        done = self._programs.ended(words, self._timeout_s, _QUIET)
        if done.code == 1:
            return None
        if done.code != 0:
            raise InstallError(f"dpkg-query ended with {done.code}: {done.end}")
        status, _, version = done.said.strip().partition(" ")
        return None if status in {"not-installed", "config-files"} else version if status == "installed" else ""

    def _field(self, path: str, name: str) -> str:
        return run(["dpkg-deb", "--field", path, name], self._timeout_s, _QUIET, self._programs).strip()

    def _words(self, program: str) -> Sequence[str]:
        return [program] if self._root == "/" else [program, f"--root={self._root}"]
