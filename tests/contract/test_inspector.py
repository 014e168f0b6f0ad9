"""The contract of `ports.inspector`: images are read, and a reader that goes wrong harms nobody."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otaru.adapters.inspector.process import Bounds, ProcessInspector
from otaru.images.facts import Format, Verdict
from otaru.images.reading import BrokenImageError
from otaru.ports.inspector import Inspector
from tests.support import images
from tests.support.images import signer

pytestmark = pytest.mark.anyio


class Kept:
    """An open blob: in a file, or only in memory."""

    def __init__(self, path: Path, data: bytes, *, local: bool = True) -> None:
        path.write_bytes(data)
        self._file = path.open("rb")
        self._local = local
        self._data = data
        self.size = len(data)

    def fileno(self) -> int | None:
        return self._file.fileno() if self._local else None

    async def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        self._file.close()


Keep = Callable[..., Kept]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    kept: list[Kept] = []

    def keep(data: bytes, *, local: bool = True) -> Kept:
        kept.append(Kept(tmp_path / f"image{len(kept)}", data, local=local))
        return kept[-1]

    yield keep
    for one in kept:
        one.close()


@pytest.fixture
async def inspector() -> Inspector:
    return ProcessInspector()


@pytest.mark.parametrize("local", [True, False])
async def test_images_are_read(inspector: Inspector, keep: Keep, local: bool) -> None:
    sample = images.swu_sample()
    trust = {Format.SWU: (images.public(signer().key),)}
    found = await inspector.inspect(keep(sample.data, local=local), trust)
    assert found.verdict is Verdict.VALID
    assert found.version == "1.1.0"
    unsure = await inspector.inspect(keep(sample.data, local=local), {})
    assert unsure.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("make", [images.rauc_sample, images.suit_sample, images.mender_sample])
async def test_facts_come_across_whole(inspector: Inspector, keep: Keep, make: Callable[[], images.Sample]) -> None:
    sample = make()
    texts = {sample.format: (images.public(signer().key),)}
    found = await inspector.inspect(keep(sample.data), texts)
    own = sample.look()
    assert (found.payloads, found.hardware, found.warnings) == (own.payloads, own.hardware, own.warnings)
    assert found.digest == own.digest


async def test_broken_images_are_told(inspector: Inspector, keep: Keep) -> None:
    with pytest.raises(BrokenImageError, match="ends within"):
        await inspector.inspect(keep(images.swu_sample().data[:500]), {})


async def test_anchors_that_are_none_are_told(inspector: Inspector, keep: Keep) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        await inspector.inspect(keep(b"x"), {Format.SWU: (b"nonsense",)})


BAD = {
    "memory": "more than 512 MiB of memory",
    "loop": "too much processor time",
    "sleep": "longer than 5 s",
    "crash": "SIGSEGV",
    "exit": "ended the reader",
    "raise": "ended the reader",
    "noise": "ended the reader",
    "flood": "too long",
    "write": "ended the reader",
}


@pytest.mark.parametrize("how", BAD)
async def test_a_reader_that_goes_wrong_is_told_and_the_next_image_is_read(keep: Keep, how: str) -> None:
    bounds = Bounds(memory=512 << 20, cpu_s=1, deadline_s=5 if how == "sleep" else 120, workers=1)
    inspector = ProcessInspector(bounds, "tests.support.bad_worker")
    with pytest.raises(BrokenImageError, match=BAD[how]):
        await inspector.inspect(keep(how.encode()), {})
    assert (await inspector.inspect(keep(b"fine"), {})).format is Format.PLAIN
