"""What copying by the kernel owes to slow clients and slow disks."""

import asyncio
import os
import select
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

import pytest

from otaru.apps.server import zerocopy
from otaru.apps.server.zerocopy import KernelCopy, in_memory, read_ahead, read_piece, unsent
from tests.support.blobs import content, descriptors

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
DATA = content(1, 6 * MIB)


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        os.fsync(file.fileno())
        yield file


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Server's end and client's end of a connection whose buffers are small."""
    with socket.socket() as client, socket.create_server(("127.0.0.1", 0)) as listener:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect(listener.getsockname())
        server = listener.accept()[0]
        with server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)
            server.setblocking(False)
            client.setblocking(False)
            yield server, client


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - the kernel sends no events
            await asyncio.sleep(0.001)


async def stuck(copy: KernelCopy, server: socket.socket) -> "asyncio.Task[bool]":
    """Copying that has filled the buffers."""
    running = asyncio.create_task(copy.run(server.fileno()))
    await until(lambda: copy._watched and not select.select([], [server], [], 0)[1])
    return running


async def test_a_client_that_took_a_little_is_not_given_up(
    file: BinaryIO, pair: tuple[socket.socket, socket.socket]
) -> None:
    server, client = pair
    copy = KernelCopy(file.fileno(), 0, len(DATA))
    running = await stuck(copy, server)
    at, waiting = before = copy._progress()
    taken = 0
    while unsent(server.fileno()) == waiting:  # the window opens by and by
        taken += len(await asyncio.get_running_loop().sock_recv(client, 4096))
    assert copy.at == at, "too little was taken for there to be room"
    copy._look(before)
    assert not running.done()
    copy._look(copy._progress())
    assert await running is False
    assert 0 < taken < len(DATA)


async def test_all_descriptors_are_closed_however_it_ends(
    file: BinaryIO, pair: tuple[socket.socket, socket.socket]
) -> None:
    server, _ = pair
    await read_ahead(file.fileno(), 0, 10)  # the loop's threads may need some
    before = descriptors()

    async def cancelled(running: "asyncio.Task[bool]") -> None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def stopped(running: "asyncio.Task[bool]") -> None:
        copy.stop()
        assert await running is False

    ends: list[Callable[[asyncio.Task[bool]], Awaitable[None]]] = [cancelled, stopped]
    for end in ends:
        copy = KernelCopy(file.fileno(), 0, len(DATA))
        running = await stuck(copy, server)
        assert descriptors() == before + 1
        await end(running)
        assert descriptors() == before


async def test_a_file_that_ends_too_early_is_an_error(
    file: BinaryIO, pair: tuple[socket.socket, socket.socket]
) -> None:
    with pytest.raises(OSError, match="shorter"):
        await KernelCopy(file.fileno(), len(DATA) - 5, 6).run(pair[0].fileno())
    with pytest.raises(OSError, match="shorter"):
        await read_piece(file.fileno(), len(DATA), 6)


async def test_a_disk_that_fails_is_an_error(
    file: BinaryIO, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zerocopy, "in_memory", lambda *_: False)
    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(OSError, match="Input/output"):
        await KernelCopy(file.fileno(), 0, 10).run(pair[0].fileno())


async def test_reading_ahead_brings_pages_into_memory(file: BinaryIO) -> None:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(file.fileno(), 3 * MIB):
        pytest.skip("this file system keeps its pages, or cannot tell")
    await read_ahead(file.fileno(), 2 * MIB, MIB + 1)
    assert in_memory(file.fileno(), 3 * MIB)
    assert await read_piece(file.fileno(), 5 * MIB, 10) == DATA[5 * MIB : 5 * MIB + 10]
