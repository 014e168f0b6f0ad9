"""Archives that are kept for deltas to lead from: wherever the power goes, what runs has its own archive or none."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import pytest

from otaru.adapters.board.disk import make_folders
from otaru.adapters.board.files import FilesInstaller
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from tests.support.modeldisk import Fate, ModelDisk, PowerCut


def archive(text: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("app")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


@dataclass(frozen=True)
class Bytes:
    """`ports.board.Staged` in memory."""

    data: bytes
    path: str = "/data/staged"

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 4096):
            yield self.data[at : at + 4096]


OLD, NEW = archive(b"old" * 2000), archive(b"new" * 3000)


def installer(disk: ModelDisk) -> FilesInstaller:
    return FilesInstaller("app", disk, "/opt/app", unpack=True, keep_archive=True)


def piece(data: bytes, version: str) -> Piece:
    return Piece("app", version, "file", f"p/c/{version}/app.tar", len(data), sha256(data).hexdigest())


def update(disk: ModelDisk, data: bytes, version: str) -> None:
    files, wanted = installer(disk), piece(data, version)
    files.install(wanted, Bytes(data))
    files.activate(wanted)


@pytest.mark.parametrize("fate", Fate)
def test_wherever_the_power_goes_what_runs_has_its_own_archive(fate: Fate) -> None:
    ready = ModelDisk()
    make_folders(ready, "/opt/app")
    update(ready, OLD, "1.0")
    whole = ready.copy()
    update(whole, NEW, "2.0")
    assert whole.points > 20
    for point in range(whole.points):
        disk = ready.copy()
        disk.cuts, disk.fate, disk.seed = frozenset({point}), fate, point
        with pytest.raises(PowerCut):
            update(disk, NEW, "2.0")
        disk.cut()
        disk.cuts = frozenset()
        for _ in range(2):
            files = installer(disk)
            runs = NEW if files.standing(piece(NEW, "2.0")) is Standing.RUNS else OLD
            source = files.source(len(runs))
            assert source is not None
            assert (files.digest(), source.read_at(0, len(runs))) == (sha256(runs).hexdigest(), runs)
            if runs is OLD:
                update(disk, NEW, "2.0")
        assert len(disk.names("/opt/app/archives")) == 2
