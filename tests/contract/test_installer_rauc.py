"""What `ports.board.Installer` promises, over the RAUC that Debian has: its service on a bus of its own, real bundles.

Debian's 1.8 does not know `require-manifest-hash`: what is asked of one that does is looked at by a double of busctl.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import ScriptBootloader
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.trust.verify.refusals import TargetDigestError
from tests.support import swu
from tests.support.rauc import Rauc, missing, rauc

needs_rauc = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass
class Board:
    """A device, and its installer."""

    folder: Path
    device: Rauc

    @property
    def installer(self) -> RaucInstaller:
        loader = ScriptBootloader([str(self.folder / "loader")])
        return RaucInstaller("os", LocalDisk(), loader, str(self.folder / "notes"), timeout_s=60)

    def reboot(self) -> None:
        self.device.stop()
        self.device.start()

    def install(self, data: bytes, piece: Piece | None = None) -> Piece:
        piece = piece or a_piece(data)
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, data)
        partial.sync()
        self.installer.install(piece, staging.staged(piece))
        return piece

    def slot(self, name: str) -> bytes:
        return (self.folder / name).read_bytes().rstrip(b"\0")


def a_piece(data: bytes, digest: str = "") -> Piece:
    return Piece("os", "2.0.0", "rauc", "p/os/2.0.0/os.raucb", len(data), sha256(data).hexdigest(), 0, digest)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    with rauc(tmp_path) as device:
        for name, value in device.environment.items():
            monkeypatch.setenv(name, value)
        device.start()
        yield Board(tmp_path, device)


@needs_rauc
def test_an_update_each_step_twice(board: Board) -> None:
    bundle = board.device.bundle(b"new" * 20_000, "2.0.0")
    piece = a_piece(bundle)
    board.installer.check(piece)
    for _ in range(2):
        board.install(bundle)
        assert board.installer.standing(piece) is Standing.ABSENT
    assert (board.slot("a"), board.slot("b")) == (b"old", b"new" * 20_000)
    for _ in range(2):
        board.installer.activate(piece)
        assert board.installer.standing(piece) is Standing.ARMED
    board.reboot()
    assert board.installer.standing(piece) is Standing.RUNS
    for _ in range(2):
        board.installer.commit(piece)
    second = board.device.bundle(b"third", "3.0.0")
    board.install(second)
    assert (board.slot("a"), board.slot("b")) == (b"third", b"new" * 20_000)


@needs_rauc
@pytest.mark.parametrize("until", ["nothing", "install", "activate", "start", "commit"])
def test_the_way_back_from_everywhere(board: Board, until: str) -> None:
    bundle = board.device.bundle(b"new", "2.0.0")
    piece = a_piece(bundle)
    if until != "nothing":
        board.install(bundle)
    if until not in {"nothing", "install"}:
        board.installer.activate(piece)
    if until in {"start", "commit"}:
        board.reboot()
    if until == "commit":
        board.installer.commit(piece)
    for _ in range(2):
        board.installer.revert(piece)
    board.reboot()
    assert board.installer.standing(piece) is Standing.ABSENT
    assert (board.folder / "current").read_text() == "a\n"
    assert board.slot("a") == b"old"


@needs_rauc
def test_what_nobody_it_trusts_has_signed_says_so(board: Board) -> None:
    forged = board.device.bundle(b"forged", "2.0.0", by=swu.signer(board.folder, "stranger"))
    with pytest.raises(InstallError, match="signature verification failed"):
        board.install(forged)
    assert board.slot("b") == b"old"
    with pytest.raises(InstallError, match="in neither slot"):
        board.installer.activate(a_piece(forged))
    board.install(board.device.bundle(b"good", "2.0.0"))
    assert board.slot("b") == b"good"


@needs_rauc
def test_bytes_that_changed_are_not_handed_over(board: Board) -> None:
    bundle = board.device.bundle(b"new", "2.0.0")
    with pytest.raises(TargetDigestError):
        board.install(bundle[:-1] + b"x", a_piece(bundle))
    assert board.slot("b") == b"old"


@needs_rauc
def test_an_older_rauc_installs_what_was_signed_by_all_its_bytes(board: Board) -> None:
    """The real 1.8 refuses the key, and is asked without it."""
    bundle = board.device.bundle(b"new", "2.0.0")
    board.install(bundle, a_piece(bundle, "ab" * 32))
    assert board.slot("b") == b"new"


@needs_rauc
def test_a_rauc_that_switches_by_itself_or_takes_another_slot_for_running_is_refused(board: Board) -> None:
    bundle = board.device.bundle(b"new", "2.0.0")
    (board.folder / "current").write_text("b\n")
    with pytest.raises(InstallError, match=r"slot b runs, and RAUC says that it is \['a'\]"):
        board.installer.check(a_piece(bundle))
    board.device.configure(activate=True)
    board.reboot()
    with pytest.raises(InstallError, match="activate-installed has to be false"):
        board.install(bundle)


@needs_rauc
def test_no_service_is_an_error_before_the_download(board: Board) -> None:
    board.device.stop()
    with pytest.raises(InstallError, match="RAUC cannot be asked"):
        board.installer.check(a_piece(b"any"))


DOUBLE = """#!/bin/sh
# A double of busctl and of a RAUC that knows require-manifest-hash: it notes what it is asked, and says what it is told to.
cd "$(dirname "$0")" || exit 1
echo "$@" >> asked
case "$*" in
*GetSlotStatus*) echo '{"type":"a(sa{sv})","data":[[
["r.0",{"bootname":{"type":"s","data":"a"},"state":{"type":"s","data":"booted"}}],
["r.1",{"bootname":{"type":"s","data":"b"},"state":{"type":"s","data":"inactive"}}]]]}';;
*InstallBundle*) cat answer; exit "$(cat code)";;
*get-property*) echo '{"type":"s","data":"idle"}'; echo '{"type":"s","data":""}';;
esac
"""


@pytest.mark.parametrize(("code", "answer"), [(0, ""), (1, "Call failed: manifest hash is another")])
def test_by_a_double_the_manifests_hash_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, answer: str
) -> None:
    for name, text in (("busctl", DOUBLE), ("answer", answer), ("code", str(code))):
        (tmp_path / name).write_text(text)
    (tmp_path / "busctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with rauc(tmp_path) as device:
        board = Board(tmp_path, device)
        piece = a_piece(b"bundle", "ab" * 32)
        if code:
            with pytest.raises(InstallError, match="manifest hash is another"):
                board.install(b"bundle", piece)
        else:
            board.install(b"bundle", piece)
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if "InstallBundle" in line]
    assert len(asked) == 1
    assert asked[0].endswith(
        f"InstallBundle sa{{sv}} {tmp_path}/staging/{piece.sha256} 1 require-manifest-hash s {'ab' * 32}"
    )
