"""The contract of `ports.blobs`, over every adapter."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otaru.adapters.blobs.local import LocalBlobs
from otaru.domain.ids import Sha256
from otaru.domain.release import Blob
from otaru.errors import (
    ChecksumMismatchError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    OtaruError,
    TooLargeError,
)
from otaru.ports.blobs import Blobs
from tests.support.blobs import chunks, content, descriptors, digest, get, in_pieces, put

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024

Reopen = Callable[[], Blobs]
"""Another process's view of the same store, as far as one process can have it."""


@pytest.fixture(params=["local"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    adapters: dict[str, Reopen] = {"local": lambda: LocalBlobs(tmp_path / "store")}
    return adapters[request.param]


@pytest.fixture
def blobs(reopen: Reopen) -> Blobs:
    return reopen()


def blob_of(data: bytes) -> Blob:
    sha1, md5 = hashlib.sha1(data).hexdigest(), hashlib.md5(data).hexdigest()
    return Blob(digest(data), sha1, md5, len(data))


@pytest.mark.parametrize("size", [0, 1, 65_536, MIB - 1, MIB, 3 * MIB + 5])
async def test_what_was_written_is_read(blobs: Blobs, size: int) -> None:
    data = content(size, size)
    await blobs.begin("a", size)
    assert await blobs.append("a", 0, in_pieces(data)) == size
    assert await blobs.finish("a", digest(data)) == blob_of(data)
    assert await get(blobs, digest(data)) == data
    assert [(sha, stored) for sha, stored, _ in blobs.stored()] == [(digest(data), size)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.tuples(st.binary(max_size=200), st.booleans()), max_size=8))
def test_a_blob_is_the_sum_of_its_appends_whoever_made_them(reopen: Reopen, parts: list[tuple[bytes, bool]]) -> None:
    async def upload() -> None:
        blobs, done = reopen(), b""
        await blobs.begin("a", 10_000)
        for data, restart in parts:
            if restart:
                blobs = reopen()
            assert await blobs.offset("a") == len(done)
            done += data
            assert await blobs.append("a", len(done) - len(data), chunks(data)) == len(done)
        assert await blobs.finish("a") == blob_of(done)
        assert await get(blobs, digest(done)) == done

    asyncio.run(upload())


async def test_large_chunks_are_one_append_like_small_ones(blobs: Blobs) -> None:
    data = content(1, 5 * MIB)
    await blobs.begin("a", len(data))
    await blobs.append("a", 0, chunks(data[:10], data[10 : 4 * MIB], b"", data[4 * MIB :]))
    assert await blobs.finish("a") == blob_of(data)


async def test_beginning_twice_changes_nothing(blobs: Blobs) -> None:
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"12345"))
    await blobs.begin("a", 99)
    assert await blobs.offset("a") == 5
    with pytest.raises(TooLargeError):
        await blobs.append("a", 5, chunks(b"123456"))


async def test_same_bytes_are_stored_once(blobs: Blobs) -> None:
    first, second = await put(blobs, "a", b"same"), await put(blobs, "b", b"same")
    assert first == second
    assert len(list(blobs.stored())) == 1
    assert await get(blobs, first) == b"same"


async def test_a_reader_keeps_its_bytes_when_they_are_stored_again_or_removed(blobs: Blobs) -> None:
    sha256 = await put(blobs, "a", b"same")
    with blobs.open(sha256) as blob:
        await put(blobs, "b", b"same")
        await blobs.remove(sha256)
        assert await blob.read_at(0, 10) == b"same"
        assert blob.size == 4
    with pytest.raises(NotFoundError), blobs.open(sha256):
        pass


async def test_reading_at_and_past_the_end(blobs: Blobs) -> None:
    sha256 = await put(blobs, "a", b"0123456789")
    with blobs.open(sha256) as blob:
        assert await blob.read_at(8, 10) == b"89"
        assert await blob.read_at(10, 10) == b""
        assert await blob.read_at(99, 10) == b""


async def test_wrong_checksum_removes_the_upload(blobs: Blobs) -> None:
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"data"))
    with pytest.raises(ChecksumMismatchError):
        await blobs.finish("a", digest(b"other"))
    with pytest.raises(NotFoundError):
        await blobs.offset("a")
    assert list(blobs.stored()) == []


async def test_too_large_keeps_what_fitted(blobs: Blobs) -> None:
    await blobs.begin("a", 10)
    with pytest.raises(TooLargeError) as caught:
        await blobs.append("a", 0, chunks(b"12345", b"12345", b"6"))
    assert caught.value.facts["limit"] == 10
    assert await blobs.offset("a") == 10
    assert await blobs.finish("a") == blob_of(b"1234512345")


async def test_wrong_offset_says_the_right_one(blobs: Blobs) -> None:
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"123"))
    for wrong in (0, 2, 4):
        with pytest.raises(InvalidStateError) as caught:
            await blobs.append("a", wrong, chunks(b"x"))
        assert caught.value.facts["offset"] == 3
    assert await blobs.offset("a") == 3


async def test_a_sender_that_goes_away_loses_nothing(reopen: Reopen) -> None:
    data = content(2, 2 * MIB + 77)

    async def cut() -> AsyncIterator[bytes]:
        yield data[: MIB + 50]
        yield data[MIB + 50 : MIB + 99]
        raise ConnectionResetError

    blobs = reopen()
    await blobs.begin("a", len(data))
    with pytest.raises(ConnectionResetError):
        await blobs.append("a", 0, cut())
    assert await blobs.offset("a") == MIB + 99
    blobs = reopen()
    await blobs.append("a", MIB + 99, chunks(data[MIB + 99 :]))
    assert await blobs.finish("a") == blob_of(data)


async def test_a_cancelled_append_keeps_what_came_and_lets_go(blobs: Blobs) -> None:
    came, never = asyncio.Event(), asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * (MIB + 5)
        came.set()
        await never.wait()

    await blobs.begin("a", 2 * MIB)
    appending = asyncio.create_task(blobs.append("a", 0, stuck()))
    await came.wait()
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert await blobs.append("a", MIB + 5, chunks(b"y")) == MIB + 6


async def test_cancelling_at_any_moment_leaves_the_upload_usable(blobs: Blobs) -> None:
    data = content(3, 4 * MIB)
    await blobs.begin("a", len(data))
    for turns in range(60):
        offset = await blobs.offset("a")
        appending = asyncio.create_task(blobs.append("a", offset, in_pieces(data[offset:])))
        for _ in range(turns):
            await asyncio.sleep(0)
        appending.cancel()
        try:
            await appending
            break
        except asyncio.CancelledError:
            continue
    offset = await blobs.offset("a")
    await blobs.append("a", offset, in_pieces(data[offset:]))
    assert await blobs.finish("a") == blob_of(data)


async def test_one_append_at_a_time(reopen: Reopen) -> None:
    blobs, other = reopen(), reopen()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"1"
        begun.set()
        await go_on.wait()
        yield b"2"

    await blobs.begin("a", 10)
    appending = asyncio.create_task(blobs.append("a", 0, slow()))
    await begun.wait()
    for second in (blobs, other):
        with pytest.raises(InvalidStateError):
            await second.append("a", 0, chunks(b"x"))
        with pytest.raises(InvalidStateError):
            await second.finish("a")
        await second.begin("a", 5)
        assert await second.sweep(datetime.now(UTC) + timedelta(days=1)) == (0, 0)  # noqa: TID251
    go_on.set()
    assert await appending == 2
    assert await other.finish("a") == blob_of(b"12")


async def test_many_uploads_at_once(blobs: Blobs) -> None:
    pieces = [content(n, 300_000 + n) for n in range(20)]
    found = await asyncio.gather(*(put(blobs, f"u{n}", data) for n, data in enumerate(pieces)))
    assert found == [digest(data) for data in pieces]
    assert {sha for sha, _, _ in blobs.stored()} == set(found)


async def test_unknown_uploads(blobs: Blobs) -> None:
    for call in (blobs.offset("a"), blobs.append("a", 0, chunks(b"x")), blobs.finish("a")):
        with pytest.raises(NotFoundError):
            await call
    await blobs.abort("a")
    await blobs.remove(digest(b"nothing"))
    assert blobs.path(digest(b"nothing")) is None


async def test_an_aborted_upload_is_gone_and_its_name_free(blobs: Blobs) -> None:
    await blobs.begin("a", 10)
    await blobs.append("a", 0, chunks(b"old"))
    await blobs.abort("a")
    with pytest.raises(NotFoundError):
        await blobs.finish("a")
    assert await put(blobs, "a", b"new") == digest(b"new")


async def test_a_finished_upload_takes_no_more(blobs: Blobs) -> None:
    sha256 = await put(blobs, "a", b"done")
    for call in (blobs.append("a", 4, chunks(b"x")), blobs.finish("a")):
        with pytest.raises(NotFoundError):
            await call
    assert await get(blobs, sha256) == b"done"


@pytest.mark.parametrize("upload", ["", ".", "..", "../x", "a/b", "a.state", "a\x00b", "x" * 65, "ä"])
async def test_no_upload_leads_out_of_the_store(blobs: Blobs, upload: str) -> None:
    calls: list[Awaitable[object]] = [blobs.begin(upload, 1), blobs.offset(upload), blobs.finish(upload)]
    for call in [*calls, blobs.append(upload, 0, chunks(b"x")), blobs.abort(upload)]:
        with pytest.raises(InvalidInputError):
            await call


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "/" * 64]
)
async def test_no_digest_leads_out_of_the_store(blobs: Blobs, name: str) -> None:
    with pytest.raises(OtaruError), blobs.open(Sha256(name)):
        pass
    with pytest.raises(OtaruError):
        blobs.path(Sha256(name))
    with pytest.raises(OtaruError):
        await blobs.remove(Sha256(name))


async def test_sweep_removes_what_nobody_touched(blobs: Blobs) -> None:
    await blobs.begin("old", 10)
    await blobs.append("old", 0, chunks(b"12345"))
    await blobs.begin("empty", 10)
    sha256 = await put(blobs, "done", b"kept")
    now = datetime.now(UTC)  # noqa: TID251
    assert await blobs.sweep(now - timedelta(hours=1)) == (0, 0)
    assert await blobs.offset("old") == 5
    assert await blobs.sweep(now + timedelta(hours=1)) == (2, 5)
    with pytest.raises(NotFoundError):
        await blobs.offset("old")
    assert await get(blobs, sha256) == b"kept"


async def test_stored_says_when(blobs: Blobs) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # noqa: TID251
    await put(blobs, "a", b"x")
    ((_, _, at),) = blobs.stored()
    assert before <= at <= datetime.now(UTC) + timedelta(seconds=2)  # noqa: TID251


async def test_open_blobs_leak_no_descriptor(blobs: Blobs) -> None:
    sha256 = await put(blobs, "a", b"x")
    before = descriptors()
    for number in range(20):
        await put(blobs, f"b{number}", b"y")
        with blobs.open(sha256) as blob:
            await blob.read_at(0, 1)
        with pytest.raises(NotFoundError):
            await blobs.finish("none")
    assert descriptors() == before
