"""A worker whose readers are broken: the image's first bytes say how."""

import os
import signal
import tempfile

from otaru.adapters.inspector import worker
from otaru.images.facts import Facts, Format
from otaru.images.keys import Trust
from otaru.images.reading import Source


def misbehave(source: Source, _trust: Trust) -> Facts:  # noqa: C901 -- one case each
    match source.read_at(0, source.size):
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
        case b"raise":
            raise RuntimeError("a mistake of ours")
        case b"noise":
            os.write(1, b"x" * 1000)
        case b"flood":
            while True:
                os.write(1, bytes(1 << 20))
        case b"write":
            with tempfile.TemporaryFile(buffering=0) as file:
                file.write(b"x")
    return Facts(Format.PLAIN)


if __name__ == "__main__":
    worker.main(misbehave)
