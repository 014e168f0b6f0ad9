"""What `ports.board.Installer` promises, over the RAUC that Debian has: its service on a bus of its own, real bundles.

Debian's 1.8 does not know `require-manifest-hash`: what is asked of those that do is looked at by a double.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.bootloaders import FileBootloader, ScriptBootloader
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.program import Ended, LocalPrograms
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.staging import FolderStaging
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError
from otaru.ports.board import Staged
from otaru.trust.verify.refusals import InstallerDigestError, TargetDigestError
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
        self.installer.install(piece, self.staged(piece, data))
        return piece

    def staged(self, piece: Piece, data: bytes) -> Staged:
        return staged(self.folder, piece, data)

    def slot(self, name: str) -> bytes:
        return (self.folder / name).read_bytes().rstrip(b"\0")


def staged(folder: Path, piece: Piece, data: bytes) -> Staged:
    staging = FolderStaging(LocalDisk(), str(folder / "staging"))
    partial = staging.partial(piece)
    partial.append(0, data)
    partial.sync()
    return staging.staged(piece)


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


@dataclass
class Heard(LocalPrograms):
    """What RAUC is asked."""

    asked: list[str] = field(default_factory=list)

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:
        self.asked.append(" ".join(words))
        return super().ended(words, timeout_s, more)


@needs_rauc
def test_an_older_rauc_installs_what_was_signed_by_all_its_bytes(board: Board) -> None:
    """The real 1.8 cannot inspect bundles, and is not asked for a manifest's hash."""
    bundle, heard = board.device.bundle(b"new", "2.0.0"), Heard()
    piece = a_piece(bundle, "ab" * 32)
    loader, notes = ScriptBootloader([str(board.folder / "loader")]), str(board.folder / "notes")
    made = RaucInstaller("os", LocalDisk(), loader, notes, timeout_s=60, programs=heard)
    made.install(piece, board.staged(piece, bundle))
    assert board.slot("b") == b"new"
    assert any("InstallBundle" in one for one in heard.asked)
    assert not any("require-manifest-hash" in one or "InspectBundle" in one for one in heard.asked)


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


@dataclass
class Double(LocalPrograms):
    """A double of busctl and of RAUCs that Debian does not have: it notes what it is asked, and says what it is told to."""

    inspects: object
    """What it finds in a bundle; None: it does not take it."""
    unknown: bool = False
    """It is older than 1.14."""
    asked: list[str] = field(default_factory=list)

    def settle(self) -> None: ...

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:  # noqa: ARG002
        self.asked.append(" ".join(words))
        match self.asked[-1].split(" de.pengutronix.rauc", 1)[-1]:
            case asked if "Introspect" in asked:
                return said(['<interface><method name="InspectBundle"></method></interface>'])
            case asked if "GetSlotStatus" in asked:
                slots = [("r.0", "a", "booted"), ("r.1", "b", "inactive")]
                return said([[[name, {"bootname": v(slot), "state": v(state)}] for name, slot, state in slots]])
            case asked if "InspectBundle" in asked:
                return Ended(1, "Call failed: not for us") if self.inspects is None else said([self.inspects])
            case asked if "InstallBundle" in asked:
                refused = self.unknown and "require-manifest-hash" in asked
                return Ended(1, "Call failed: Unsupported key: require-manifest-hash") if refused else Ended(0, "")
        return Ended(0, "\n".join(json.dumps(v(value)) for value in ("idle", "")) + "\n")

    @property
    def orders(self) -> list[str]:
        return [one.partition("InstallBundle ")[2] for one in self.asked if "InstallBundle" in one]


def v(value: str) -> dict[str, str]:
    return {"type": "s", "data": value}


def said(value: object) -> Ended:
    return Ended(0, json.dumps({"data": value}))


HASH = "ab" * 32


def found(form: str = "verity", digest: str = "") -> dict[str, object]:
    inner = {"type": "a{sv}", "data": {"format": v(form)}}
    told = {"manifest-hash": v(digest)} if digest else {}
    return {"bundle": {"type": "v", "data": inner}, **told}


def by_double(folder: Path, double: Double) -> str:
    """Install a bundle by it; where the bundle's bytes lie."""
    piece = a_piece(b"bundle", HASH)
    made = RaucInstaller(
        "os",
        LocalDisk(),
        FileBootloader(LocalDisk(), str(folder / "boot"), "a"),
        str(folder / "notes"),
        programs=double,
    )
    kept = staged(folder, piece, b"bundle")
    made.install(piece, kept)
    return kept.path


@pytest.mark.parametrize(
    ("double", "orders"),
    [
        (Double(found(digest=HASH)), [f"1 require-manifest-hash s {HASH}"]),
        (Double(found()), [f"1 require-manifest-hash s {HASH}"]),
        (Double(found(), unknown=True), [f"1 require-manifest-hash s {HASH}", "0"]),
        (Double(found("plain", HASH)), ["0"]),
    ],
    ids=["1.14", "1.14-says-no-hash", "1.10", "plain"],
)
def test_by_a_double_the_manifests_hash_is_asked_for(tmp_path: Path, double: Double, orders: list[str]) -> None:
    path = by_double(tmp_path, double)
    assert double.orders == [f"sa{{sv}} {path} {order}" for order in orders]


@pytest.mark.parametrize(
    ("inspects", "refusal", "why"),
    [
        (found(digest="cd" * 32), InstallerDigestError, "another manifest"),
        (None, InstallError, "not for us"),
    ],
)
def test_by_a_double_another_manifest_is_not_installed(
    tmp_path: Path, inspects: object, refusal: type[Exception], why: str
) -> None:
    double = Double(inspects)
    with pytest.raises(refusal, match=why):
        by_double(tmp_path, double)
    assert double.orders == []
