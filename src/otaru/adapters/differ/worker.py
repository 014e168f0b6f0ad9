"""The process that makes one delta, or applies one: it bounds itself, does it, and says what came of it.

What is bounded, by the kernel: address space, processor time, the size of what it writes, files it could open, core dumps.
Where it applies one, its address space is what it has at that moment and what the patch says it needs: so what patches say
of memory is tried on every one of them. Whose bytes they are does no harm to the server; as with the inspector, it is no
sandbox against who could run code inside it.
"""

import hashlib
import os
import resource
import sys
from contextlib import suppress

import msgspec

from otaru.adapters.descriptor import File
from otaru.adapters.differ.wire import Answer, Request
from otaru.domain.delta import worth
from otaru.images.delta import choice, patch
from otaru.images.delta.choice import Way
from otaru.images.delta.container import BrokenPatchError
from otaru.images.reading import BLOCK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FILES = 32
_NICE = 10
_LEVEL = 9
"""By which the whole target is compressed to compare: about what a server or a file system would do."""
_SLACK = 24 << 20
"""Address space that Python may take beside what a patch needs: arenas, threads' stacks of libraries."""


def main() -> None:
    """Answer the request on stdin."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    os.nice(_NICE)
    _bound(request)
    try:
        answer = _applied(request) if request.apply else _made(request)
    except MemoryError:
        answer = Answer(failed=f"it takes more than {request.memory >> 20} MiB of memory")
    except (ValueError, OSError) as error:
        answer = Answer(failed=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()


def _made(request: Request) -> Answer:
    source, target = File(request.source, request.source_size), File(request.target, request.target_size)
    for each in (source, target):
        if why := choice.unsuited(request.form, each.read_at(0, choice.START)):
            return Answer(useless=why)
    full, size = _compressed(target), 0
    way = Way(request.codec, request.window)
    for piece in patch.make(way.codec, source, target, way.window):
        size += len(piece)
        if not worth(size, full):
            return Answer(useless=f"it would not be smaller than 60 % of {full} bytes, the compressed file")
        _write(request.patch, piece)
    return Answer(size=size, full=full)


def _applied(request: Request) -> Answer:
    made = File(request.patch, os.fstat(request.patch).st_size)
    source, target = File(request.source, request.source_size), File(request.target, request.target_size)
    needed = patch.memory(made)
    if needed > request.memory:
        return Answer(failed=f"applying it takes {needed} bytes of memory")
    patch.check_source(made, source)
    wanted = hashlib.sha256()
    for at in range(0, target.size, BLOCK):
        wanted.update(target.read_at(at, min(BLOCK, target.size - at)))
    room = _address_space() + needed + _SLACK
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    found = hashlib.sha256()
    try:
        for piece in patch.apply(made, source, needed, target.size):
            found.update(piece)
    except MemoryError:
        return Answer(failed=f"applying it takes more than the {needed} bytes of memory that it says")
    except BrokenPatchError as error:
        return Answer(failed=f"it cannot be applied: {error}")
    if found.digest() != wanted.digest():
        return Answer(failed="it makes something else than its target")
    return Answer(memory=needed)


def _compressed(target: File) -> int:
    stream, size = zstd.ZstdCompressor(level=_LEVEL), 0
    for at in range(0, target.size, BLOCK):
        size += len(stream.compress(target.read_at(at, min(BLOCK, target.size - at))))
    return size + len(stream.flush())


def _address_space() -> int:
    with open("/proc/self/statm", "rb") as told:  # noqa: PTH123 -- one line
        return int(told.read().split()[0]) * resource.getpagesize()


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _bound(request: Request) -> None:
    written = 0 if request.apply else request.target_size + BLOCK
    bounds = (
        (resource.RLIMIT_AS, request.memory, request.memory),
        (resource.RLIMIT_CPU, request.cpu_s, request.cpu_s + 1),  # first SIGXCPU, which says why; then SIGKILL
        (resource.RLIMIT_FSIZE, written, written),
        (resource.RLIMIT_NOFILE, _FILES, _FILES),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for what, soft, hard in bounds:
        with suppress(ValueError):  # the server's own bound is lower, and holds
            resource.setrlimit(what, (soft, hard))


if __name__ == "__main__":
    main()
