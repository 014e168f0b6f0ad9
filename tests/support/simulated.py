"""A simulated fleet that lives beside a test."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import OTARU, Serving, environment, interruptible


@contextmanager
def simulated(server: Serving, *words: str) -> Iterator[None]:
    """Let `otaru simulate` run until the block ends."""
    process = subprocess.Popen(
        [*OTARU, "simulate", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**server.env),
        preexec_fn=interruptible,  # noqa: PLW1509 - it sets one signal, and takes no lock
    )
    try:
        yield
        assert process.poll() is None, f"the fleet ended: {process.communicate()[1]}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
