"""What `ports.board.Installer` promises, over the SWUpdate that Debian has: its daemon, its client, real signed .swu files."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import FileBootloader, select
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.program import LOCAL, Programs
from otaru.adapters.board.staging import FolderStaging
from otaru.adapters.board.swupdate import SwupdateInstaller
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.trust.verify.refusals import InstallerDigestError, TargetDigestError
from tests.support import swu
from tests.support.ddi import eventually
from tests.support.swupdate import PROGRAM, Swupdate, swupdate

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no swupdate here: apt-get install swupdate cpio openssl")

_SLOTS = """software = {{
  version = "{version}";
  hardware-compatibility: [ "1.0" ];
  stable = {{
    copya: {{ files: ( {{ filename = "payload.bin"; path = "{folder}/a"; sha256 = "{sha256}"; }} ); }};
    copyb: {{ files: ( {{ filename = "payload.bin"; path = "{folder}/b"; sha256 = "{sha256}"; }} ); }};
  }};
}}
"""


@dataclass
class Board:
    """Two slots that are files, SWUpdate, and who signs for it."""

    folder: Path
    device: Swupdate
    signer: swu.Signer

    def installer(self, timeout_s: float = 60, programs: Programs = LOCAL) -> SwupdateInstaller:
        """As it is after a start."""
        disk = LocalDisk()
        boot = FileBootloader(disk, str(self.folder / "boot"), select(disk, str(self.folder / "boot")))
        return SwupdateInstaller(
            "os",
            disk,
            boot,
            str(self.folder / "notes"),
            select={"a": "stable,copya", "b": "stable,copyb"},
            sockets=str(self.device.folder),
            timeout_s=timeout_s,
            programs=programs,
        )

    def built(self, payload: bytes, version: str = "2.0.0", by: swu.Signer | None = None) -> tuple[Piece, bytes]:
        built = swu.build(
            self.folder / "image",
            by or self.signer,
            version=version,
            payload=payload,
            target=self.folder,
            description=_SLOTS.format(version=version, folder=self.folder, sha256=hashlib.sha256(payload).hexdigest()),
        )
        data = built.read_bytes()
        described = hashlib.sha256((self.folder / "image/sw-description").read_bytes()).hexdigest()
        sha256 = hashlib.sha256(data).hexdigest()
        return Piece("os", version, "swupdate", f"p/os/{version}/os.swu", len(data), sha256, 0, described), data

    def install(self, piece: Piece, data: bytes) -> None:
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, data)
        partial.sync()
        self.installer().install(piece, staging.staged(piece))

    def slot(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"")
    signer = swu.signer(tmp_path)
    with swupdate("swu-installer", tmp_path) as device:
        device.configure("http://127.0.0.1:1", "token", signer.certificate)
        device.start(accept=("stable,copya", "stable,copyb"))
        yield Board(tmp_path, device, signer)


def test_an_update_each_step_twice(board: Board) -> None:
    piece, data = board.built(b"new" * 50_000)
    board.installer().check(piece)
    for _ in range(2):
        board.install(piece, data)
        assert board.installer().standing(piece) is Standing.ABSENT
    assert (board.slot("a"), board.slot("b")) == (b"old", b"new" * 50_000)
    now = board.installer()
    for _ in range(2):
        now.activate(piece)
        assert now.standing(piece) is Standing.ARMED
    now = board.installer()
    assert now.standing(piece) is Standing.RUNS
    for _ in range(2):
        now.commit(piece)
    assert board.installer().standing(piece) is Standing.RUNS


@pytest.mark.parametrize("until", ["nothing", "install", "activate", "start", "commit"])
def test_the_way_back_from_everywhere(board: Board, until: str) -> None:
    piece, data = board.built(b"new" * 1000)
    now = board.installer()
    if until != "nothing":
        board.install(piece, data)
    if until not in {"nothing", "install"}:
        now.activate(piece)
    if until in {"start", "commit"}:
        now = board.installer()
    if until == "commit":
        now.commit(piece)
    for _ in range(2):
        now.revert(piece)
    assert board.installer().standing(piece) is Standing.ABSENT
    assert select(LocalDisk(), str(board.folder / "boot")) == "a"
    assert board.slot("a") == b"old"


def test_what_nobody_it_trusts_has_signed_says_so(board: Board) -> None:
    piece, data = board.built(b"forged" * 1000, by=swu.signer(board.folder, "stranger"))
    with pytest.raises(InstallError, match="Authentication of all signatures failed"):
        board.install(piece, data)
    assert board.slot("b") == b""
    with pytest.raises(InstallError, match="in neither slot"):
        board.installer().activate(piece)
    piece, data = board.built(b"good")
    board.install(piece, data)
    assert board.slot("b") == b"good"


def test_bytes_that_changed_are_not_handed_over(board: Board) -> None:
    piece, data = board.built(b"new")
    with pytest.raises(TargetDigestError):
        board.install(piece, data[:-1] + b"x")
    with pytest.raises(InstallerDigestError):
        board.install(replace(piece, installer_digest="0" * 64), data)
    assert board.slot("b") == b""


def test_an_installation_that_goes_on_is_waited_for(board: Board) -> None:
    """Of an agent that was killed, say: its daemon was not."""
    piece, data = board.built(b"second")
    _, first = board.built(b"first", "1.5.0")
    words = ["swupdate-client", "-e", "stable,copyb", "-"]
    env = {**os.environ, "TMPDIR": str(board.device.folder)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env) as other:
        assert other.stdin is not None
        other.stdin.write(first[:512])
        other.stdin.flush()
        eventually(lambda: (told := board.installer()._state()) is not None and told.now != 0, 20, board.device.said)
        with pytest.raises(InstallError, match="busy for 1 s"):
            board.installer(1)._until_idle(0)
        other.stdin.write(first[512:])
        other.stdin.close()
        board.install(piece, data)
    assert board.slot("b") == b"second"


def test_no_daemon_is_an_error(board: Board) -> None:
    piece, data = board.built(b"new")
    board.device.stop()
    with pytest.raises(InstallError, match="did not install os"):
        board.install(piece, data)
