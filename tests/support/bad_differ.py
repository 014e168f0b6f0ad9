"""A maker of deltas that is broken: the target's first bytes say how."""

import os
import signal

from otaru.adapters.descriptor import File
from otaru.adapters.differ import worker
from otaru.adapters.differ.wire import Answer, Request
from otaru.images.delta import patch


class _Lies:
    size = 4

    def read_at(self, offset: int, n: int) -> bytes:
        return b"lies"[offset : offset + n]


def misbehave(request: Request) -> Answer:  # noqa: C901, PLR0912 -- one case each
    match File(request.target, request.target_size).read_at(0, 16):
        case b"memory":
            held = [bytes(1 << 20)]
            while True:
                held.append(bytes(64 << 20))
        case b"loop":
            while True:
                pass
        case b"sleep":
            signal.pause()
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(3)
        case b"noise":
            os.write(1, b"x" * 1000)
        case b"flood":
            while True:
                os.write(1, bytes(1 << 20))
        case b"disk":
            while True:
                os.write(request.patch, bytes(1 << 20))
        case b"lie":  # a patch that makes something else
            source = File(request.source, request.source_size)
            for piece in patch.make(request.codec, source, _Lies()):
                os.write(request.patch, piece)
            return Answer(size=os.fstat(request.patch).st_size, full=1000)
    return Answer(size=0, full=0)


if __name__ == "__main__":
    worker._made = misbehave
    worker.main()
