"""Bytes from a file to a client without passing through Python, or in small steps where the kernel cannot do it.

`os.sendfile` works on a duplicate of the socket's descriptor: event loops let nobody watch a descriptor that belongs to
a transport, and a duplicate stays ours to close whatever becomes of the connection. Before it starts, the transport's
own buffer (the head of the answer) must be empty.

A page that is not in memory would block the event loop, in `sendfile` as in `read`. So before each step the kernel is
asked whether the step's last byte is there (`RWF_NOWAIT`); if not, a thread reads the step first.
"""

import asyncio
import errno
import os

STEP = 1024 * 1024
"""Bytes between two turns of everybody else on the event loop."""
PIECE = 256 * 1024
"""Bytes that pass through Python at once where the kernel cannot copy."""
STALL_S = 60.0
"""A client that takes nothing for so long is gone."""

NOT_HERE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What the kernel says when it cannot copy between these two descriptors."""


class KernelCopy:
    """One run of `count` bytes of a file to a socket."""

    def __init__(self, source: int, offset: int, count: int) -> None:
        self._source = source
        self._end = offset + count
        self._writable: asyncio.Future[bool] | None = None
        self._watched = -1
        self._gone = False
        self.at = offset
        """Where in the file we are."""

    async def run(self, socket: int) -> bool:
        """Copy it all; False when the client went away or took nothing for `STALL_S`.

        Raises:
            OSError: the file cannot be read, ends too early, or (`NOT_HERE`) cannot be copied this way.
        """
        target = os.dup(socket)
        try:
            while self.at < self._end and not self._gone:
                if not await self._step(target):
                    return False
            return not self._gone
        finally:
            self._unwatch()
            os.close(target)

    def stop(self) -> None:
        """The connection is lost."""
        self._gone = True
        self._wake(False)

    async def _step(self, target: int) -> bool:
        count = min(STEP, self._end - self.at)
        if not in_memory(self._source, self.at + count - 1):
            self._unwatch()
            await read_ahead(self._source, self.at, count)
        try:
            sent = os.sendfile(target, self._source, self.at, count)
        except BlockingIOError:
            return await self._room(target)
        except ConnectionError:
            return False
        if sent == 0:
            raise OSError(errno.EIO, "the file is shorter than it was")
        self.at += sent
        if self.at == self._end:
            return True
        if sent < count:
            return await self._room(target)
        await asyncio.sleep(0)
        return True

    async def _room(self, target: int) -> bool:
        """Wait until the socket takes more."""
        loop = asyncio.get_running_loop()
        self._writable = loop.create_future()
        if self._watched < 0:
            loop.add_writer(target, self._wake, True)
            self._watched = target
        try:
            async with asyncio.timeout(STALL_S):
                return await self._writable
        except TimeoutError:
            return False

    def _wake(self, writable: bool) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(writable)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_writer(self._watched)
            self._watched = -1


_probe = bytearray(1)


def in_memory(source: int, offset: int) -> bool:
    """Whether the byte at `offset` can be had without waiting for a disk. True also where the file system cannot say."""
    try:
        os.preadv(source, [_probe], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


async def read_ahead(source: int, offset: int, count: int) -> None:
    """Bring bytes of a file into memory, in a thread; the bytes after them are asked for, too."""
    # The thread owns a descriptor of its own: ours may be closed, and its number used again, before it has ended.
    descriptor = os.dup(source)
    try:
        running = asyncio.get_running_loop().run_in_executor(None, _read_ahead, descriptor, offset, count)
    except RuntimeError:  # the executor is shut down
        os.close(descriptor)
        raise
    await running


def _read_ahead(descriptor: int, offset: int, count: int) -> None:
    try:
        os.posix_fadvise(descriptor, offset, count + STEP, os.POSIX_FADV_WILLNEED)
        buffer = bytearray(PIECE)
        end = offset + count
        while offset < end and (read := os.preadv(descriptor, [buffer], offset)):
            offset += read
    finally:
        os.close(descriptor)


async def read_piece(source: int, offset: int, count: int) -> bytes:
    """Up to `PIECE` bytes of the file, and at most `count`, without blocking the event loop.

    Raises:
        OSError: the file cannot be read or ends before `offset`.
    """
    count = min(count, PIECE)
    if not in_memory(source, offset + count - 1):
        await read_ahead(source, offset, count)
    piece = os.pread(source, count, offset)
    if not piece:
        raise OSError(errno.EIO, "the file is shorter than it was")
    return piece
