"""The process that reads one image: it bounds itself, then reads what it was given, then says what it found.

What is bounded, by the kernel: address space, processor time, files it could write (none) and open (few), core dumps.
What it is given: the image's descriptor (read only), a request on stdin, an answer on stdout, and an environment that
holds nothing but where Python's modules are. What is not bounded: it runs as the server's user and could open files
and sockets. So this keeps mistakes of the readers (loops, memory, crashes) away from the server; whoever could run code
inside it would need a sandbox to be stopped.
"""

import resource
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from otaru.adapters.descriptor import File
from otaru.images import keys, recognise
from otaru.images.facts import Facts, Format
from otaru.images.keys import Trust
from otaru.images.reading import BrokenImageError, Source

_FILES = 32


class Request(msgspec.Struct, frozen=True):
    """What to read, whom to trust, and what it may take."""

    descriptor: int
    size: int
    trust: dict[Format, list[bytes]]
    memory: int
    cpu_s: int


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of these."""

    facts: Facts | None = None
    broken: str | None = None
    invalid: str | None = None


def main(read: Callable[[Source, Trust], Facts] = recognise.read) -> None:
    """Answer the request on stdin."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    _bound(request)
    answer = _answer(request, read)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()


def _answer(request: Request, read: Callable[[Source, Trust], Facts]) -> Answer:
    try:
        trust = {kind: keys.anchors(texts) for kind, texts in request.trust.items()}
    except keys.ERRORS as error:
        return Answer(invalid=str(error))
    try:
        return Answer(facts=read(File(request.descriptor, request.size), trust))
    except BrokenImageError as error:
        return Answer(broken=str(error))
    except MemoryError:
        return Answer(broken=f"reading it takes more than {request.memory >> 20} MiB of memory")


def _bound(request: Request) -> None:
    bounds = (
        (resource.RLIMIT_AS, request.memory, request.memory),
        (resource.RLIMIT_CPU, request.cpu_s, request.cpu_s + 1),  # first SIGXCPU, which says why; then SIGKILL
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, _FILES, _FILES),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for what, soft, hard in bounds:
        with suppress(ValueError):  # the server's own bound is lower, and holds
            resource.setrlimit(what, (soft, hard))


if __name__ == "__main__":
    main()
