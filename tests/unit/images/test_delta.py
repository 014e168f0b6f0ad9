"""Patches: what is made leads back to the result, within the memory it says; what is hostile ends in an error."""

import dataclasses
import hashlib
import random
import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otaru.images.delta import container, heatshrink, patch, sequential, zstd_patch
from otaru.images.delta.container import HEAD_SIZE, WINDOW_SIZE, BrokenPatchError, PatchMemoryError, WrongSourceError
from otaru.images.delta.feed import Feed
from otaru.images.delta.patch import Codec
from otaru.images.delta.sequential import Packing
from otaru.images.reading import BLOCK
from tests.support.images import Watched

MUCH = 1 << 30

# Made by detools 0.53.0: create_patch(OLD, NEW, compression=…), its own defaults.
OLD, NEW = b"hello world " * 10, b"hello World " * 10 + b"new"
BY_DETOOLS = {
    Packing.LZMA: "01bb015d00008000ffffffffffffffff00002e8f630f76deba19ef0dc749a628dcc6b964fffff5a1c000",
    Packing.HEATSHRINK: "04bb0144806e202070be0098a05e581dbacb77a300",
}


def made(codec: Codec, source: bytes, result: bytes, window: int | None = None) -> bytes:
    return b"".join(patch.make(codec, Watched(source), Watched(result), window))


def applied(raw: bytes, source: bytes, memory: int = MUCH, size: int = MUCH) -> bytes:
    return b"".join(patch.apply(Watched(raw), Watched(source), memory, size))


def changed(source: bytes, seed: int) -> bytes:
    """As a new version of a program: stretches moved, some bytes everywhere, something new."""
    chance = random.Random(seed)
    out = bytearray(source)
    for _ in range(len(out) // 500):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    at = chance.randrange(len(out) + 1)
    return bytes(out[:at] + chance.randbytes(chance.randrange(300)) + out[at:])


def program(seed: int, size: int = 20_000) -> bytes:
    chance = random.Random(seed)
    return b"".join(chance.choice((b"\0" * 40, b"push {r4, lr}", chance.randbytes(30))) for _ in range(size // 30))


@pytest.mark.parametrize("codec", Codec)
@given(source=st.binary(max_size=400), result=st.binary(max_size=400))
@example(source=b"", result=b"")
@example(source=b"a" * 300, result=b"")
@example(source=b"", result=b"b" * 300)
@settings(max_examples=60, deadline=None)
def test_a_patch_makes_its_result_of_any_bytes(codec: Codec, source: bytes, result: bytes) -> None:
    assert applied(made(codec, source, result), source) == result


@pytest.mark.parametrize("codec", Codec)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_a_patch_of_a_new_version_is_small_and_makes_it(codec: Codec, seed: int) -> None:
    source = program(seed)
    result = changed(source, seed)
    raw = made(codec, source, result)
    assert applied(raw, source) == result
    assert len(raw) < len(result) / 2
    head = patch.read_head(Watched(raw))
    assert (head.source.sha256, head.result.sha256) == (
        hashlib.sha256(source).digest(),
        hashlib.sha256(result).digest(),
    )


def test_windows_bound_what_is_read_and_follow_what_has_moved() -> None:
    source = random.Random(3).randbytes(5 * BLOCK + 17)
    result = source[:BLOCK] + b"a few more" + source[BLOCK:]
    raw = made(Codec.ZSTD, source, result, BLOCK)
    watched = Watched(source)
    assert b"".join(patch.apply(Watched(raw), watched, MUCH, MUCH)) == result
    assert watched.largest == 2 * BLOCK
    assert len(raw) < BLOCK // 10
    assert patch.memory(Watched(raw)) < patch.memory(Watched(made(Codec.ZSTD, source, result)))


def test_the_stretch_of_a_window_lies_in_the_source() -> None:
    for size in (0, 1, 2 * BLOCK, 2 * BLOCK + 1, 40 * BLOCK):
        for at in range(0, 50 * BLOCK, BLOCK):
            begin, length = zstd_patch.stretch(size, BLOCK, at)
            assert 0 <= begin <= begin + length <= size
            assert length == min(size, 2 * BLOCK)


@pytest.mark.parametrize("window", [0, BLOCK - 1, zstd_patch.LARGEST_WINDOW + 1])
def test_a_window_has_bounds(window: int) -> None:
    asked = window or 1
    with pytest.raises(ValueError, match="a window has"):
        made(Codec.ZSTD, b"a", b"b", asked)


class Huge:
    """More bytes than are compared; they are never asked for."""

    size = sequential.LARGEST + 1

    def read_at(self, offset: int, n: int) -> bytes:
        raise AssertionError((offset, n))


def test_programs_that_are_too_large_are_not_compared() -> None:
    with pytest.raises(ValueError, match=f"at most {sequential.LARGEST} bytes"):
        next(patch.make(Codec.LZMA, Huge(), Watched(b"")))


@pytest.mark.parametrize("packing", BY_DETOOLS)
def test_what_detools_wrote_is_read(packing: Packing) -> None:
    theirs = bytes.fromhex(BY_DETOOLS[packing])
    codec = Codec.HEATSHRINK if packing is Packing.HEATSHRINK else Codec.LZMA
    raw = made(codec, OLD, NEW)
    window = next(container.read_windows(Watched(raw), patch.read_head(Watched(raw))))
    own = raw[:HEAD_SIZE] + container.write_window(dataclasses.replace(window, payload_size=len(theirs))) + theirs
    assert applied(own, OLD) == NEW


@given(st.integers(-(1 << 60), 1 << 60))
def test_a_size_is_read_as_it_was_written(value: int) -> None:
    assert sequential.read_size(Feed([sequential.write_size(value)])) == value


@given(st.binary(max_size=3000), st.integers(1, 50))
def test_heatshrink_unpacks_what_it_packed(data: bytes, pieces: int) -> None:
    packed = heatshrink.pack(data)
    split = [packed[at : at + pieces] for at in range(0, len(packed), pieces)]
    assert b"".join(heatshrink.unpack(split)) == data


@given(st.integers(0, 40_000), st.integers(1, 256))
def test_heatshrink_packs_runs(length: int, period: int) -> None:
    data = (bytes(range(period)) * (length // period + 1))[:length]
    assert b"".join(heatshrink.unpack([heatshrink.pack(data)])) == data
    assert len(heatshrink.pack(data)) <= 300 + length // 16


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_bytes_are_added_each_by_itself(a: bytes, b: bytes) -> None:
    n = min(len(a), len(b))
    summed = bytes((x + y) & 0xFF for x, y in zip(a[:n], b[:n], strict=True))
    assert sequential._sum(a[:n], b[:n]) == summed


# --- hostile -----------------------------------------------------------------------------------------------------------


SOURCE = program(1, 3000)
RESULT = changed(SOURCE, 2)
PATCHES = {codec: made(codec, SOURCE, RESULT) for codec in Codec}


def outcome(raw: bytes, memory: int = 64 << 20, size: int = 1 << 20) -> bytes | None:
    """What a patch makes, or None where it is refused. Anything else is a finding."""
    source = Watched(SOURCE)
    found = bytearray()
    try:
        for piece in patch.apply(Watched(raw), source, memory, size):
            found += piece
            assert len(piece) <= BLOCK
            assert len(found) <= size
    except BrokenPatchError:
        return None
    return bytes(found)


@pytest.mark.parametrize("codec", Codec)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_patch_that_was_changed_makes_the_result_or_nothing(codec: Codec, data: st.DataObject) -> None:
    raw = bytearray(PATCHES[codec])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    assert outcome(bytes(raw)) in {None, RESULT}


@pytest.mark.parametrize("codec", Codec)
def test_a_patch_cut_anywhere_makes_nothing(codec: Codec) -> None:
    raw = PATCHES[codec]
    for end in [*range(HEAD_SIZE + WINDOW_SIZE + 20), *range(HEAD_SIZE + WINDOW_SIZE + 20, len(raw), 29)]:
        assert outcome(raw[:end]) is None
    assert outcome(raw + b"\0") is None


@given(st.binary(max_size=300))
def test_anything_else_is_no_patch(raw: bytes) -> None:
    assert outcome(raw) is None
    assert outcome(container.MAGIC + raw) is None


def one(codec: Codec, payload: bytes, result_size: int, *, source: tuple[int, int] = (0, len(SOURCE))) -> bytes:
    """A patch of one window around any payload."""
    ends = container.End(len(SOURCE), bytes(32)), container.End(result_size, bytes(32))
    head = container.write_head(container.Head(codec.value, *ends, 1))
    return head + container.write_window(container.Window(*source, result_size, len(payload))) + payload


def records(*parts: tuple[int, bytes, bytes, int]) -> bytes:
    size = sequential.write_size
    return size(0) + b"".join(
        size(added) + difference + size(len(new)) + new + size(on) for added, difference, new, on in parts
    )


def heat(result_size: int, body: bytes) -> bytes:
    return bytes([Packing.HEATSHRINK]) + sequential.write_size(result_size) + heatshrink.pack(body)


def refused(raw: bytes, words: str, **bounds: int) -> None:
    with pytest.raises(BrokenPatchError, match=words):
        for _ in patch.apply(
            Watched(raw), Watched(SOURCE), bounds.get("memory", 64 << 20), bounds.get("size", 1 << 20)
        ):
            pass


def test_a_record_that_reads_outside_of_the_source_is_refused() -> None:
    n = len(SOURCE)
    far = records((0, b"", b"x", n), (1, b"\0", b"", 0))
    before = records((0, b"", b"x", -1), (1, b"\0", b"", 0))
    for body in (far, before):
        refused(one(Codec.HEATSHRINK, heat(2, body), 2), "outside of its source")
    inside = heat(2, records((2, b"\0\0", b"", 0)))
    refused(one(Codec.HEATSHRINK, inside, 2, source=(0, 1)), "outside of its source")
    refused(one(Codec.ZSTD, b"", 2, source=(n - 1, 2)), "outside of the source")
    refused(one(Codec.ZSTD, b"", 2, source=((1 << 64) - 1, 1)), "outside of the source")


def test_a_patch_that_makes_more_than_it_says_is_refused() -> None:
    refused(one(Codec.HEATSHRINK, heat(2, records((0, b"", b"abc", 0))), 2), "more than its result")
    refused(one(Codec.HEATSHRINK, heat(2, records((-1, b"", b"ab", 0))), 2), "more than its result")
    refused(one(Codec.HEATSHRINK, heat(2, records((0, b"", b"ab", 0)) + b"more"), 2), "does not end where")
    refused(one(Codec.ZSTD, zstd_patch.encode(SOURCE, bytes(1 << 20), 1), 1000), "packed wrongly|more than")
    refused(one(Codec.LZMA, PATCHES[Codec.LZMA][HEAD_SIZE + WINDOW_SIZE :], 5), "another form or size")


def test_a_patch_that_makes_nothing_for_ever_is_refused() -> None:
    nothing = records(*[(0, b"", b"", 0)] * 1000)
    refused(one(Codec.HEATSHRINK, heat(2, nothing), 2), "makes nothing")
    refused(one(Codec.HEATSHRINK, heat(5000, nothing), 5000), "makes nothing")


def test_a_result_that_is_too_long_is_refused_before_a_byte_is_made() -> None:
    refused(PATCHES[Codec.ZSTD], "longer than 10 bytes", size=10)


def test_a_patch_that_takes_too_much_memory_is_refused_before_it_is_taken() -> None:
    for raw in PATCHES.values():
        needed = patch.memory(Watched(raw))
        assert applied(raw, SOURCE, needed) == RESULT
        with pytest.raises(PatchMemoryError):
            applied(raw, SOURCE, needed - 1)
    greedy = bytearray(PATCHES[Codec.LZMA])
    at = HEAD_SIZE + WINDOW_SIZE + 1 + len(sequential.write_size(len(RESULT))) + 1
    struct.pack_into("<I", greedy, at, 1 << 30)  # the dictionary that LZMA is told to take
    refused(bytes(greedy), "bytes of memory")


def test_a_patch_leads_from_its_source_alone() -> None:
    raw = Watched(PATCHES[Codec.LZMA])
    patch.check_source(raw, Watched(SOURCE))
    other = bytes([SOURCE[0] ^ 1]) + SOURCE[1:]
    with pytest.raises(WrongSourceError):
        patch.check_source(raw, Watched(other))
    with pytest.raises(WrongSourceError):
        applied(PATCHES[Codec.LZMA], SOURCE + b"\0")
    with pytest.raises(BrokenPatchError, match="not what it announces"):
        applied(PATCHES[Codec.LZMA], other)


def heads() -> Iterator[bytes]:
    raw = PATCHES[Codec.ZSTD]
    yield raw[:8] + b"none".ljust(24, b"\0") + raw[32:]
    yield raw[:8] + b"\xff" * 24 + raw[32:]
    yield raw[: HEAD_SIZE - 12] + struct.pack("<I", container.MAX_WINDOWS + 1) + raw[HEAD_SIZE - 8 :]
    yield raw[: HEAD_SIZE - 12] + struct.pack("<I", 0) + raw[HEAD_SIZE - 8 :]
    yield raw[: HEAD_SIZE - 12] + struct.pack("<I", 2) + raw[HEAD_SIZE - 8 :]
    yield raw[: HEAD_SIZE - 8] + b"\1" + raw[HEAD_SIZE - 7 :]


@pytest.mark.parametrize("raw", list(heads()))
def test_a_head_that_is_wrong_is_refused(raw: bytes) -> None:
    refused(raw, ".")
