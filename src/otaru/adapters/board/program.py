"""Programs of the device's maker: bounded in time and in what is read of them."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile

from otaru.errors import InstallError

MAX_OUTPUT = 16 * 1024


def run(words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed, at most MAX_OUTPUT bytes of it.

    Its processes are a group of their own, ended together when the time is over.

    Raises:
        InstallError: it is not there, takes too long or says that it failed; with the end of what it said.
    """
    name = " ".join(words)[:200]
    with TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the device's own configuration names it
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(more or {})},
            )
        except OSError as error:
            raise InstallError(f"{name}: {error.strerror or error}") from None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise InstallError(f"{name} took longer than {timeout_s:g} s") from None
        said = _tail(output.fileno())
    if code != 0:
        raise InstallError(f"{name} ended with {code}: {' '.join(said.split())[-300:]}")
    return said


def _tail(file: int) -> str:
    size = os.lseek(file, 0, os.SEEK_END)
    return os.pread(file, MAX_OUTPUT, max(0, size - MAX_OUTPUT)).decode(errors="replace")
