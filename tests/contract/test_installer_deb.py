"""What `ports.board.Installer` promises, over real dpkg in a root of its own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.deb import DebInstaller
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.staging import FolderStaging
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.trust.verify.refusals import TargetDigestError

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg") is None or os.geteuid() != 0, reason="dpkg changes a root's files as root only"
)


@dataclass
class Board:
    """A root with a package database, and where packages are kept."""

    folder: Path
    factory: str | None = None

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        for name in ("info", "updates"):
            (self.root / "var/lib/dpkg" / name).mkdir(parents=True, exist_ok=True)
        for name in ("status", "available"):
            (self.root / "var/lib/dpkg" / name).touch()
        self.installer = DebInstaller(
            "app", LocalDisk(), str(self.folder / "store"), "hello-app", root=str(self.root), factory=self.factory
        )

    def built(self, version: str, content: str = "", package: str = "hello-app", more: str = "") -> Path:
        tree = self.folder / f"tree-{package}-{version}"
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (tree / "usr/share/hello").mkdir(parents=True, exist_ok=True)
        (tree / "usr/share/hello/version").write_text(content or version)
        (tree / "DEBIAN/control").write_text(
            f"Package: {package}\nVersion: {version}\nArchitecture: all\nMaintainer: Tests <t@example>\n"
            f"Description: a test\n{more}"
        )
        made = self.folder / f"{package}_{version}.deb"
        words = ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(made)]
        always = {**os.environ, "SOURCE_DATE_EPOCH": "0"}  # the same bytes in the next second, too
        subprocess.run(words, check=True, capture_output=True, env=always)
        return made

    def piece(self, deb: Path, version: str) -> Piece:
        data = deb.read_bytes()
        return Piece("app", version, "file", f"p/app/{version}/{deb.name}", len(data), sha256(data).hexdigest())

    def install(self, deb: Path, version: str, data: bytes | None = None) -> Piece:
        piece = self.piece(deb, version)
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, deb.read_bytes() if data is None else data)
        partial.sync()
        self.installer.install(piece, staging.staged(piece))
        return piece

    def update(self, version: str, content: str = "") -> Piece:
        piece = self.install(self.built(version, content), version)
        self.installer.activate(piece)
        self.installer.commit(piece)
        return piece

    def dpkg(self, *words: str) -> None:
        subprocess.run(["dpkg", f"--root={self.root}", *words], check=True, capture_output=True)

    def runs(self) -> str:
        """What the package's own file says."""
        path = self.root / "usr/share/hello/version"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_an_update_each_step_twice(board: Board) -> None:
    deb = board.built("2.0.0-1")
    piece = board.piece(deb, "2.0.0")
    assert board.installer.standing(piece) is Standing.ABSENT
    for _ in range(2):
        board.install(deb, "2.0.0")
        assert (board.installer.standing(piece), board.runs()) == (Standing.ABSENT, "")
    for _ in range(2):
        board.installer.activate(piece)
        assert (board.installer.standing(piece), board.runs()) == (Standing.RUNS, "2.0.0-1")
    for _ in range(2):
        board.installer.commit(piece)


@pytest.mark.parametrize("until", ["nothing", "install", "activate", "commit"])
@pytest.mark.parametrize("same", [False, True], ids=["newer", "same-version"])
def test_the_way_back_from_everywhere(board: Board, until: str, same: bool) -> None:
    first = board.update("1.5.0", "first")
    version = "1.5.0" if same else "2.0.0"
    deb = board.built(version, "second")
    piece = board.piece(deb, version)
    if until != "nothing":
        board.install(deb, version)
    if until in {"activate", "commit"}:
        board.installer.activate(piece)
        assert board.runs() == "second"
    if until == "commit":
        board.installer.commit(piece)
    for _ in range(2):
        board.installer.revert(piece)
    assert (board.installer.standing(piece), board.installer.standing(first)) == (Standing.ABSENT, Standing.RUNS)
    assert board.runs() == "first"
    board.installer.activate(board.install(deb, version))
    assert board.runs() == "second"


def test_a_package_that_was_never_there_is_removed_again(board: Board) -> None:
    piece = board.install(board.built("1.0.0"), "1.0.0")
    board.installer.activate(piece)
    for _ in range(2):
        board.installer.revert(piece)
    assert (board.runs(), board.installer.standing(piece)) == ("", Standing.ABSENT)


def test_without_the_factorys_file_there_is_no_way_back_and_no_update(board: Board, tmp_path: Path) -> None:
    old = board.built("1.0.0", "factory")
    board.dpkg("--install", str(old))
    piece = board.piece(board.built("2.0.0"), "2.0.0")
    with pytest.raises(UnsuitableError, match="no way back"):
        board.installer.check(piece)
    with pytest.raises(InstallError, match="there is no"):
        Board(tmp_path, str(tmp_path / "none.deb")).installer.check(piece)
    board = Board(tmp_path, str(old))
    board.update("2.0.0")
    assert board.runs() == "2.0.0"
    board.installer.revert(piece)
    assert board.runs() == "factory"


def test_a_package_that_does_not_install_leaves_the_old_one(board: Board) -> None:
    """It unpacks over the old one, and what it depends on is not there."""
    first = board.update("1.0.0")
    bad = board.install(board.built("2.0.0", more="Depends: no-such-package\n"), "2.0.0")
    with pytest.raises(InstallError, match="no-such-package"):
        board.installer.activate(bad)
    assert (board.runs(), board.installer.standing(bad)) == ("2.0.0", Standing.ABSENT)
    for _ in range(2):
        board.installer.revert(bad)
    assert (board.runs(), board.installer.standing(first)) == ("1.0.0", Standing.RUNS)


@pytest.mark.parametrize("onward", [True, False], ids=["on", "back"])
@pytest.mark.parametrize("cut", ["before", "unpacked", "after"])
def test_a_cut_while_dpkg_works(board: Board, cut: str, onward: bool) -> None:
    """`moving` is there, and dpkg has done nothing, half of it, or all of it."""
    board.update("1.0.0")
    deb = board.built("2.0.0")
    piece = board.install(deb, "2.0.0")
    (board.folder / "store/moving").touch()
    board.installer._files.activate(piece)
    if cut != "before":
        board.dpkg("--unpack" if cut == "unpacked" else "--install", str(deb))
    assert board.installer.standing(piece) is Standing.ABSENT
    if onward:
        board.installer.activate(piece)
        assert (board.runs(), board.installer.standing(piece)) == ("2.0.0", Standing.RUNS)
    board.installer.revert(piece)
    assert (board.runs(), board.installer.standing(piece)) == ("1.0.0", Standing.ABSENT)


def test_a_cut_while_the_first_one_is_installed(board: Board) -> None:
    deb = board.built("1.0.0")
    piece = board.install(deb, "1.0.0")
    (board.folder / "store/moving").touch()
    board.installer._files.activate(piece)
    board.dpkg("--unpack", str(deb))
    status = board.root / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("install ok unpacked", "install reinstreq half-installed"))
    for _ in range(2):
        board.installer.revert(piece)
    assert (board.runs(), board.installer.standing(piece)) == ("", Standing.ABSENT)


def test_what_is_no_package_or_another_one_is_refused(board: Board) -> None:
    deb = board.built("1.0.0", package="other-app")
    with pytest.raises(UnsuitableError, match="'other-app', not hello-app"):
        board.install(deb, "1.0.0")
    with pytest.raises(TargetDigestError):
        board.install(deb, "1.0.0", deb.read_bytes()[:-1] + b"x")
    junk = board.folder / "junk.deb"
    junk.write_bytes(b"no package at all" * 100)
    with pytest.raises(InstallError, match="dpkg-deb"):
        board.install(junk, "1.0.0")
    with pytest.raises(InstallError, match="is not there"):
        board.installer.activate(board.piece(deb, "1.0.0"))
    assert board.runs() == ""
