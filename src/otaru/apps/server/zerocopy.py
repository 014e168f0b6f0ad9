"""Bytes from a file to a client without passing through Python, or in small steps where the kernel cannot do it.

`os.sendfile` works on a duplicate of the socket's descriptor: event loops let nobody watch a descriptor that belongs to
a transport, and a duplicate stays ours to close whatever becomes of the connection. Before it starts, the transport's
own buffer (the head of the answer) must be empty.

A page that is not in memory would block the event loop, in `sendfile` as in `read`. So before each step the kernel is
asked whether the step's last byte is there (`RWF_NOWAIT`); if not, a thread reads the step first.
"""

import asyncio
import errno
import fcntl
import os
import sys
import termios

STEP = 2 * 1024 * 1024
"""Bytes between two turns of everybody else on the event loop."""
PIECE = 256 * 1024
"""Bytes that pass through Python at once where the kernel cannot copy."""
STALL_S = 60.0
"""A client that takes nothing for so long, or twice as long at most, is gone."""

NOT_HERE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What the kernel says when it cannot copy between these two descriptors."""


class KernelCopy:
    """One run of `count` bytes of a file to a socket.

    Each step is taken right in the callback that says there is room: a task that is woken for it would cost a third of
    the copying. The loop calls again, after everybody else's turn, as long as there is room.
    """

    def __init__(self, source: int, offset: int, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._end = offset + count
        self._done: asyncio.Future[bool] = self._loop.create_future()
        self._target = -1
        self._watched = False
        self._timer: asyncio.TimerHandle | None = None
        self.at = offset
        """Where in the file we are."""

    async def run(self, socket: int) -> bool:
        """Copy it all; False when the client went away or took nothing for `STALL_S`.

        Raises:
            OSError: the file cannot be read, ends too early, or (`NOT_HERE`) cannot be copied this way.
        """
        self._target = os.dup(socket)
        try:
            self._step()
            return await self._done
        finally:
            self._unwatch()
            os.close(self._target)
            if self._timer is not None:
                self._timer.cancel()

    def stop(self) -> None:
        """The client is gone."""
        self._finish(False)

    def _step(self) -> None:
        if self._done.done():
            return
        count = min(STEP, self._end - self.at)
        if in_memory(self._source, self.at + count - 1):
            self._send(count)
            return
        self._unwatch()
        try:
            reading = read_ahead(self._source, self.at, count)
        except (OSError, RuntimeError) as error:  # no descriptor left, or the end of the process
            self._fail(error)
        else:
            reading.add_done_callback(lambda _: self._was_read(reading, count))

    def _was_read(self, reading: asyncio.Future[None], count: int) -> None:
        if not reading.cancelled() and (error := reading.exception()) is not None:
            self._fail(error)
        elif not self._done.done():
            self._send(count)

    def _send(self, count: int) -> None:
        try:
            sent = os.sendfile(self._target, self._source, self.at, count)
        except BlockingIOError:
            self._watch()
        except ConnectionError:
            self._finish(False)
        except OSError as error:
            self._fail(error)
        else:
            self.at += sent
            if sent == 0:
                self._fail(OSError(errno.EIO, "the file is shorter than it was"))
            elif self.at == self._end:
                self._finish(True)
            else:
                self._watch()

    def _finish(self, whole: bool) -> None:
        if not self._done.done():
            self._done.set_result(whole)

    def _fail(self, error: BaseException) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _watch(self) -> None:
        if not self._watched:
            self._loop.add_writer(self._target, self._step)
            self._watched = True
        if self._timer is None:
            self._timer = self._loop.call_later(STALL_S, self._look, self._progress())

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.remove_writer(self._target)
            self._watched = False

    def _progress(self) -> tuple[int, int]:
        return (self.at, unsent(self._target))

    def _look(self, before: tuple[int, int]) -> None:
        """Once in a while, whether it goes on: a timer for each step would cost more than the step."""
        now = self._progress()
        if now == before:
            self.stop()
        else:
            self._timer = self._loop.call_later(STALL_S, self._look, now)


def unsent(socket: int) -> int:
    """Bytes that the kernel has taken and the client has not acknowledged.

    Room for more is announced in large lumps; at a few bytes a second only this number tells a slow client from one
    that takes nothing.
    """
    answer = fcntl.ioctl(socket, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


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


def read_ahead(source: int, offset: int, count: int) -> asyncio.Future[None]:
    """Bring bytes of a file into memory, in a thread; the bytes after them are asked for, too."""
    # The thread owns a descriptor of its own: ours may be closed, and its number used again, before it has ended.
    descriptor = os.dup(source)
    try:
        return asyncio.get_running_loop().run_in_executor(None, _read_ahead, descriptor, offset, count)
    except RuntimeError:  # the executor is shut down
        os.close(descriptor)
        raise


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
