"""The contract of `ports.differ`: deltas are made and tried, and a maker that goes wrong harms nobody."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otaru.adapters.differ.process import Bounds, ProcessDiffer
from otaru.images.delta import patch
from otaru.images.delta.choice import Way
from otaru.images.delta.patch import Codec
from otaru.images.facts import Format
from otaru.images.reading import BLOCK
from otaru.ports.differ import Differ, MadePatch, PatchFailedError, UselessPatchError
from tests.support.images import Watched

pytestmark = pytest.mark.anyio

OLD = random.Random(1).randbytes(40_000) + bytes(10_000)
NEW = OLD[:20_000] + b"new" + OLD[20_000:]
LZMA = Way(Codec.LZMA)


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
        kept.append(Kept(tmp_path / f"blob{len(kept)}", data, local=local))
        return kept[-1]

    yield keep
    for one in kept:
        one.close()


async def bytes_of(made: MadePatch) -> bytes:
    return b"".join([chunk async for chunk in made.chunks()])


@pytest.mark.parametrize("way", [LZMA, Way(Codec.HEATSHRINK), Way(Codec.ZSTD, BLOCK), Way(Codec.RDIFF)])
@pytest.mark.parametrize("local", [True, False])
async def test_a_delta_is_made_and_says_what_it_takes(keep: Keep, way: Way, local: bool) -> None:
    async with ProcessDiffer().make(way, Format.PLAIN, keep(OLD, local=local), keep(NEW, local=local)) as made:
        raw = await bytes_of(made)
        assert made.size == len(raw) < 0.6 * made.full
        assert made.memory == patch.memory(Watched(raw))
        assert b"".join(patch.apply(Watched(raw), Watched(OLD), made.memory, len(NEW))) == NEW


async def refused(differ: Differ, how: type[Exception], words: str, source: Kept, target: Kept) -> None:
    with pytest.raises(how, match=words):
        async with differ.make(LZMA, Format.PLAIN, source, target):
            pass


async def test_what_does_not_help_is_not_made(keep: Keep) -> None:
    differ = ProcessDiffer()
    other = random.Random(2).randbytes(30_000)
    await refused(differ, UselessPatchError, "60 %", keep(OLD), keep(other))
    await refused(differ, UselessPatchError, "gzip", keep(OLD), keep(b"\x1f\x8b" + other))
    await refused(differ, UselessPatchError, "60 %", keep(OLD), keep(b""))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (b"memory", "more than 256 MiB"),
        (b"loop", "processor time"),
        (b"sleep", "longer than 3 s"),
        (b"crash", "SIGSEGV"),
        (b"exit", "ended its maker"),
        (b"noise", "ended its maker"),
        (b"flood", "says too much"),
        (b"disk", "too large|SIGXFSZ"),
        (b"lie", "cannot be applied|something else"),
    ],
)
async def test_a_maker_that_goes_wrong_makes_nothing(keep: Keep, what: bytes, words: str) -> None:
    bounds = Bounds(memory=256 << 20, cpu_s=1, deadline_s=3 if what == b"sleep" else 60)
    differ = ProcessDiffer(bounds, "tests.support.bad_differ")
    await refused(differ, PatchFailedError, words, keep(OLD), keep(what))
    async with ProcessDiffer().make(LZMA, Format.PLAIN, keep(OLD), keep(NEW)) as made:
        assert made.size


async def test_programs_that_are_too_large_to_compare_fail(keep: Keep) -> None:
    bounds = Bounds(memory=128 << 20)
    with pytest.raises(PatchFailedError):
        async with ProcessDiffer(bounds).make(LZMA, Format.PLAIN, keep(bytes(12 << 20)), keep(NEW * 400)):
            pass
