"""Patches in librsync's form: what is copied is found wherever it went, memory stays small, hostile commands end in an error."""

import random
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.images.delta import container, patch, rdiff
from otaru.images.delta.container import MAX_WINDOW, BrokenPatchError
from otaru.images.delta.patch import Codec
from otaru.images.reading import BLOCK
from tests.support.images import Watched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SOURCE = random.Random(1).randbytes(3000)
PIECE = 64 << 10


def patch_of(
    body: bytes, result_size: int, *, source: tuple[int, int] = (0, len(SOURCE)), packed: bool = False
) -> bytes:
    """A patch of one window around any commands."""
    ends = container.End(len(SOURCE), bytes(32)), container.End(result_size, bytes(32))
    payload = body if packed else zstd.compress(body, options={zstd.CompressionParameter.window_log: 19})
    head = container.write_head(container.Head(Codec.RDIFF.value, *ends, 1))
    return head + container.write_window(container.Window(*source, result_size, len(payload))) + payload


def refused(raw: bytes, words: str, source: bytes = SOURCE) -> None:
    with pytest.raises(BrokenPatchError, match=words):
        for _ in patch.apply(Watched(raw), Watched(source), rdiff.MEMORY, 1 << 30):
            pass


def rebuilt(source: bytes, commands: bytes) -> bytes:
    """What `rdiff patch` makes, written down a second time as its documentation says it."""
    assert commands[:4] == b"rs\x026"
    out, at = bytearray(), 4

    def number(width: int) -> int:
        nonlocal at
        at += width
        return int.from_bytes(commands[at - width : at])

    while command := commands[at]:
        at += 1
        assert command <= 84
        if command <= 68:
            length = command if command <= 64 else number(1 << command - 65)
            out += commands[at : at + length]
            at += length
        else:
            place = number(1 << (command - 69) // 4)
            length = number(1 << (command - 69) % 4)
            assert length > 0
            assert place + length <= len(source)
            out += source[place : place + length]
    assert at == len(commands) - 1
    return bytes(out)


CUTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.binary(max_size=90)), max_size=12)


@given(CUTS, st.integers(0, 3000))
@settings(deadline=None)
def test_commands_make_the_result_of_any_cuts(cuts: list[tuple[int, int, bytes]], size: int) -> None:
    source = SOURCE[:size]
    result = b"".join(source[start : start + length] + new for start, length, new in cuts)
    commands = b"".join(rdiff.commands(source, result))
    assert rebuilt(source, commands) == result


@given(st.lists(st.sampled_from([b"\0" * 9, b"ab", b"abcabcabcabcd", b"\xff" * 40]), max_size=200), st.data())
@settings(deadline=None)
def test_what_repeats_itself_is_made_too(parts: list[bytes], data: st.DataObject) -> None:
    source = b"".join(parts)
    result = b"".join(data.draw(st.permutations(parts)))
    assert rebuilt(source, b"".join(rdiff.commands(source, result))) == result


def test_what_moved_by_any_number_of_bytes_is_copied() -> None:
    source = random.Random(2).randbytes(200_000)
    result = b"new" + source[100_001:] + b"between" + source[:100_001]
    assert len(b"".join(rdiff.commands(source, result))) < 60


def test_what_changed_here_and_there_is_copied_between() -> None:
    source = random.Random(3).randbytes(100_000)
    result = bytearray(source)
    for at in range(0, len(result), 500):
        result[at] ^= 1
    assert len(b"".join(rdiff.commands(source, bytes(result)))) < 200 * 12


def test_nothing_in_common_is_one_literal() -> None:
    result = random.Random(4).randbytes(70_000)
    assert b"".join(rdiff.commands(SOURCE, result)) == b"rs\x026" + b"\x43" + (70_000).to_bytes(4) + result + b"\0"


def test_applying_holds_small_pieces_only() -> None:
    source = random.Random(5).randbytes(4 * BLOCK)
    result = source[BLOCK:] + random.Random(6).randbytes(BLOCK) + source[:BLOCK]
    raw, watched = b"".join(patch.make(Codec.RDIFF, Watched(source), Watched(result))), Watched(source)
    pieces = list(patch.apply(Watched(raw), watched, rdiff.MEMORY, len(result)))
    assert b"".join(pieces) == result
    assert max(map(len, pieces)) <= PIECE
    assert watched.largest <= PIECE
    assert patch.memory(Watched(raw)) == rdiff.MEMORY < 2 * BLOCK


def test_a_patch_of_several_windows_follows_the_source() -> None:
    source = random.Random(7).randbytes(5 * BLOCK + 17)
    result = source[:BLOCK] + b"a few more" + source[BLOCK:]
    raw = b"".join(patch.make(Codec.RDIFF, Watched(source), Watched(result), BLOCK))
    assert patch.read_head(Watched(raw)).windows == 6
    assert b"".join(patch.apply(Watched(raw), Watched(source), rdiff.MEMORY, len(result))) == result
    assert len(raw) < 600


class Zeros:
    """A large file that takes no room."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, n: int) -> bytes:
        assert 0 <= offset <= offset + n <= self.size
        return bytes(n)


def test_one_window_copies_from_all_of_a_large_source() -> None:
    far, n = MAX_WINDOW + (8 << 20), 1000
    body = zstd.compress(rdiff.MAGIC + bytes([78]) + (far).to_bytes(4) + n.to_bytes(2) + b"\0")
    ends = container.End(far + n, bytes(32)), container.End(n, bytes(32))
    window = container.write_window(container.Window(0, far + n, n, len(body)))

    def told(codec: Codec) -> bytes:
        return container.write_head(container.Head(codec.value, *ends, 1)) + window + body

    with pytest.raises(BrokenPatchError, match="not what it announces"):
        list(patch.apply(Watched(told(Codec.RDIFF)), Zeros(far + n), rdiff.MEMORY, n))
    with pytest.raises(BrokenPatchError, match="larger than"):
        list(patch.apply(Watched(told(Codec.ZSTD)), Zeros(far + n), 1 << 30, n))


def copy(place: int, length: int) -> bytes:
    return bytes([84]) + place.to_bytes(8) + length.to_bytes(8)


@pytest.mark.parametrize(
    ("body", "size", "words"),
    [
        (b"rs\x016" + b"\1a\0", 1, "not librsync's"),
        (b"", 1, "too early"),
        (rdiff.MAGIC + b"\1a", 1, "too early"),
        (rdiff.MAGIC + b"\5ab\0", 5, "too early"),
        (rdiff.MAGIC + bytes([68]) + b"\xff" * 8 + b"a\0", 5, "more than its result"),
        (rdiff.MAGIC + b"\2ab\0", 1, "more than its result"),
        (rdiff.MAGIC + b"\1a\0", 2, "does not end where"),
        (rdiff.MAGIC + b"\1a\0\0", 1, "does not end where"),
        (rdiff.MAGIC + bytes([85]), 1, "85, which is none"),
        (rdiff.MAGIC + bytes([255]), 1, "255, which is none"),
        (rdiff.MAGIC + bytes([65, 0]) + b"\1a\0", 1, "makes nothing"),
        (rdiff.MAGIC + copy(0, 0) + b"\1a\0", 1, "makes nothing"),
        (rdiff.MAGIC + copy(len(SOURCE), 1) + b"\0", 1, "outside of its source"),
        (rdiff.MAGIC + copy((1 << 64) - 1, 2) + b"\0", 2, "outside of its source"),
        (rdiff.MAGIC + copy(0, len(SOURCE) + 1) + b"\0", len(SOURCE) + 1, "outside of its source"),
        (rdiff.MAGIC + b"\1a" * 1000 + b"\0", 1000, "next to nothing"),
    ],
)
def test_commands_that_are_not_what_they_should_be_are_refused(body: bytes, size: int, words: str) -> None:
    refused(patch_of(body, size), words)


def test_a_window_that_says_less_of_the_source_reads_no_more() -> None:
    refused(patch_of(rdiff.MAGIC + copy(10, 1) + b"\0", 1, source=(0, 10)), "outside of its source")


def test_packing_that_takes_more_memory_is_refused() -> None:
    greedy = zstd.compress(
        rdiff.MAGIC + b"\1a\0" + bytes(1 << 22),
        options={zstd.CompressionParameter.window_log: 22, zstd.CompressionParameter.content_size_flag: 0},
    )
    refused(patch_of(greedy, 1, packed=True), "packed wrongly")


@pytest.mark.parametrize(
    "change", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: b"\0" * len(raw), lambda _: b""]
)
def test_packing_that_is_broken_is_refused(change: Callable[[bytes], bytes]) -> None:
    refused(
        patch_of(change(zstd.compress(rdiff.MAGIC + b"\1a\0")), 1, packed=True), "packed wrongly|does not end|too early"
    )


def test_a_bomb_makes_no_more_than_it_may() -> None:
    body = rdiff.MAGIC + bytes([67]) + (1 << 30).to_bytes(4) + bytes(1 << 24)
    with pytest.raises(BrokenPatchError, match="longer than"):
        list(patch.apply(Watched(patch_of(body, 1 << 30)), Watched(SOURCE), rdiff.MEMORY, 1 << 20))
    refused(patch_of(body, 1 << 20), "more than its result")
