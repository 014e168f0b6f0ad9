"""Real programs that are killed while they install: the examples' scripts at each of their commands, dpkg, SWUpdate, RAUC.

Whatever they leave, what ran before runs until the agent's next call, and both ways from there come to their end.
"""

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import ScriptBootloader, select
from otaru.adapters.board.deb import DebInstaller
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.program import Ended, LocalPrograms
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.script import Commands, ScriptInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.ports.board import Staged
from tests.contract import test_installer_deb as deb
from tests.contract import test_installer_rauc as rauc
from tests.contract import test_installer_swupdate as swupdate
from tests.contract import test_installers as scripts
from tests.contract.test_installer_rauc import board as rauc_board
from tests.contract.test_installer_swupdate import board as swupdate_board
from tests.support import installer_examples
from tests.support.swupdate import PROGRAM

__all__ = ["rauc_board", "swupdate_board"]


class Killed(LocalPrograms):
    """A program is killed, and no power goes: nothing has to be on a disk."""

    def settle(self) -> None: ...


# Scripts

TRAP = """set -T
trap '{ read n < "$OTARU_TEST_AT" && echo $((n - 1)) > "$OTARU_TEST_AT" && [ $n -eq 1 ] && kill -KILL 0; } || true' DEBUG
"""
"""Counts the commands of a script down, those of its functions and subshells, too; at the last one all of it is killed.

Two halves of a pipe count at once: one of them may not be counted.
"""
STEPS = ("install", "activate", "commit", "revert")
EXAMPLES = {
    "container": (installer_examples.container, "running"),
    "kernel-module": (installer_examples.kernel_module, ""),
    "child-device": (installer_examples.child_device, ""),
}


@dataclass
class Script:
    """An example on a new device that has had one update already, and then gets another."""

    bench: scripts.Bench
    at: Path
    first: Piece
    second: Piece
    staged: Staged

    def step(self, name: str, cut: int = 0) -> bool:
        """Take a step, killed before so many commands of it; whether it was."""
        self.at.write_text(f"{cut}\n")
        act: Callable[..., None] = getattr(self.bench.installer, name)
        try:
            act(self.second, self.staged) if name == "install" else act(self.second)
        except InstallError as error:
            if "ended with -9" in error.message:
                return True
            raise
        return False


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    trap, at = tmp_path / "trap", tmp_path / "at"
    trap.write_text(TRAP)
    at.write_text("0\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sync").symlink_to("/bin/true")  # no power goes
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("BASH_ENV", str(trap))
    monkeypatch.setenv("OTARU_TEST_AT", str(at))
    return at


def scripted(name: str, folder: Path, at: Path) -> Script:
    folder.mkdir(parents=True)
    at.write_text("0\n")
    program = EXAMPLES[name][0](folder)
    names = ("check", "install", "activate", "standing", "revert", "commit")
    commands = Commands(**{step: ("bash", "-e", program, step) for step in names})
    made = ScriptInstaller("part", commands, programs=Killed())
    bench = scripts.Bench(folder, made, reboots=False)
    first = bench.install(b"first", "1.5.0")
    made.activate(first)
    made.commit(first)
    second = bench.piece(b"second")
    return Script(bench, at, first, second, bench.staged(second, b"second"))


def killed(name: str, folder: Path, at: Path, every: int) -> int:
    """Each step killed before each of its commands, and both ways from there; how many that were."""
    number = 0
    for step in STEPS:
        for cut in range(1, 200):
            if (cut + len(step)) % every:
                continue
            for ends in ("on", "back"):
                made = scripted(name, folder / f"{step}-{cut}-{ends}", at)
                for before in STEPS[: STEPS.index(step)]:
                    assert not made.step(before)
                if not made.step(step, cut):
                    break
                number += 1
                finished(name, made, step, ends)
            else:
                continue
            break
    return number


def finished(name: str, made: Script, step: str, ends: str) -> None:
    """The agent goes on, or gives it up; twice, since the first may have been killed at its very end."""
    installer = made.bench.installer
    if ends == "on" and step != "revert":
        for after in STEPS[STEPS.index(step) : -1]:
            made.step(after)
        runs, other = made.second, made.first
    else:
        made.step("revert")
        made.step("revert")
        runs, other = made.first, made.second
    if installer.standing(runs) is Standing.ARMED:  # the agent reboots: what is loaded is what is started then
        (made.bench.folder / "loaded").unlink()
    assert (installer.standing(runs), installer.standing(other)) == (Standing.RUNS, Standing.ABSENT), (step, ends)
    if told := EXAMPLES[name][1]:  # what the service was started with is what is to run
        assert runs.sha256 in (made.bench.folder / told).read_text(), (step, ends)


@pytest.mark.parametrize("name", ["container"])
def test_an_examples_script_is_killed_at_some_commands(name: str, tmp_path: Path, at: Path) -> None:
    assert killed(name, tmp_path / "boards", at, 11)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_examples_script_is_killed_at_every_command(name: str, tmp_path: Path, at: Path) -> None:
    """Of the child's, whose double is slow, at each fifth."""
    kills = killed(name, tmp_path / "boards", at, 5 if name == "child-device" else 1)
    sys.stdout.write(f"\n{name}: {kills} kills\n")
    assert kills


@dataclass
class Killing(Killed):
    """Kills a program, or what it works with, in its midst: the next one that has this word."""

    word: str
    kill: "Callable[[], None] | float | None" = None
    """Called when the program begins; or the seconds after which it is killed. Once."""

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:
        if self.word not in words or self.kill is None:
            return super().ended(words, timeout_s, more)
        kill, self.kill = self.kill, None
        if callable(kill):
            kill()
            return super().ended(words, timeout_s, more)
        return super().ended(words, kill, more)


# dpkg


def installer(board: deb.Board, programs: LocalPrograms, timeout_s: float = 60) -> DebInstaller:
    folder, root = str(board.folder / "store"), str(board.root)
    return DebInstaller("app", LocalDisk(), folder, "hello-app", root=root, timeout_s=timeout_s, programs=programs)


@deb.pytestmark
@pytest.mark.slow
@pytest.mark.parametrize("step", ["activate", "revert"])
@pytest.mark.parametrize("onward", [True, False], ids=["on", "back"])
def test_dpkg_is_killed(tmp_path: Path, step: str, onward: bool) -> None:
    """After 2 to 240 ms: what a moment meets differs from run to run, how it ends does not."""
    board = deb.Board(tmp_path)
    first = board.update("1.0.0", "1.0.0" * 20_000)
    package = board.built("2.0.0", "2.0.0" * 20_000)
    kills = 0
    for moment in range(30):
        killing = Killing("dpkg")
        made = installer(board, killing)
        piece = board.install(package, "2.0.0")
        if step == "revert":
            made.activate(piece)
        killing.kill = 0.002 * 1.18**moment
        try:
            getattr(made, step)(piece)
        except InstallError as error:
            if "took longer" not in error.message:
                raise
            kills += 1
            assert made.standing(piece) is Standing.ABSENT
        if onward and step == "activate":
            made.activate(piece)
            assert board.runs() == "2.0.0" * 20_000
        made.revert(piece)
        assert (made.standing(first), made.standing(piece)) == (Standing.RUNS, Standing.ABSENT)
        assert board.runs() == "1.0.0" * 20_000
    sys.stdout.write(f"\ndpkg, {step}: {kills} kills\n")
    assert kills


class Meanwhile(Killed):
    """Somebody else's apt holds dpkg's lock, and is done when it was waited for."""

    def __init__(self, path: Path) -> None:
        self.held = path.open("a")
        fcntl.lockf(self.held, fcntl.LOCK_EX)

    def pause(self, seconds: float) -> None:  # noqa: ARG002
        self.held.close()


@deb.pytestmark
def test_another_dpkg_is_waited_for(tmp_path: Path) -> None:
    board = deb.Board(tmp_path)
    first = board.update("1.0.0")
    piece = board.install(board.built("2.0.0"), "2.0.0")
    for name in ("lock-frontend", "lock"):
        board.installer.revert(piece)
        meanwhile = Meanwhile(board.root / "var/lib/dpkg" / name)
        installer(board, meanwhile).activate(piece)
        assert meanwhile.held.closed
        assert board.runs() == "2.0.0"
    board.installer.revert(piece)
    assert board.installer.standing(first) is Standing.RUNS


# Services

PARTS = (0, 0.2, 0.5, 0.8, 1)
"""How much of the slot is written when a service is killed; 1: all of it."""
IMAGE = os.urandom(1 << 20)


@dataclass
class Killer:
    """Kills a service as soon as it has written so much, or when all is over."""

    slot: Path
    part: float
    kill: Callable[[], None]
    over: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def begin(self) -> None:
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def end(self) -> None:
        self.over.set()
        assert self.thread is not None
        self.thread.join()

    def _watch(self) -> None:
        while not self._written() and not self.over.is_set():
            pass
        self.kill()

    def _written(self) -> bool:
        end = int(len(IMAGE) * self.part)
        with self.slot.open("rb") as slot:
            return os.pread(slot.fileno(), 64, max(end - 64, 0)) == IMAGE[max(end - 64, 0) : max(end, 64)]


def staged(folder: Path, piece: Piece, data: bytes) -> Staged:
    staging = FolderStaging(LocalDisk(), str(folder / "staging"))
    partial = staging.partial(piece)
    partial.append(0, data)
    partial.sync()
    return staging.staged(piece)


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no swupdate here: apt-get install swupdate cpio openssl")
@pytest.mark.parametrize("part", PARTS)
def test_swupdate_is_killed(swupdate_board: swupdate.Board, part: float) -> None:
    board = swupdate_board
    piece, data = board.built(IMAGE)
    bytes_ = staged(board.folder, piece, data)

    def kill() -> None:
        process = board.device.process
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    killer = Killer(board.folder / "b", part, kill)
    made = board.installer(20, Killing("swupdate-client", killer.begin))
    with suppress(InstallError):  # it may have been too late
        made.install(piece, bytes_)
    killer.end()
    assert made.standing(piece) is Standing.ABSENT
    assert (select(LocalDisk(), str(board.folder / "boot")), board.slot("a")) == ("a", b"old")
    board.device.process = None
    board.device.start(accept=("stable,copya", "stable,copyb"))
    made = board.installer()
    made.install(piece, bytes_)
    made.activate(piece)
    assert board.slot("b") == IMAGE
    assert board.installer().standing(piece) is Standing.RUNS


@pytest.mark.slow
@rauc.needs_rauc
@pytest.mark.parametrize("part", PARTS)
def test_rauc_is_killed(rauc_board: rauc.Board, part: float) -> None:
    board = rauc_board
    data = board.device.bundle(IMAGE, "2.0.0")
    piece = rauc.a_piece(data)
    bytes_ = staged(board.folder, piece, data)

    def kill() -> None:
        service = board.device._running[-1]
        service.kill()
        service.wait()

    killer = Killer(board.folder / "b", part, kill)
    loader, notes = ScriptBootloader([str(board.folder / "loader")]), str(board.folder / "notes")
    made = RaucInstaller(
        "os", LocalDisk(), loader, notes, timeout_s=60, programs=Killing("InstallBundle", killer.begin)
    )
    with suppress(InstallError):
        made.install(piece, bytes_)
    killer.end()
    assert made.standing(piece) is Standing.ABSENT
    assert ((board.folder / "first").read_text(), board.slot("a")) == ("a\n", b"old")
    board.reboot()
    made = board.installer
    made.install(piece, bytes_)
    made.activate(piece)
    board.reboot()
    assert board.slot("b") == IMAGE
    assert board.installer.standing(piece) is Standing.RUNS
