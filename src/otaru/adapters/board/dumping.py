"""What a program prints, into a file; and a file, to a program. Bounded in time and in bytes."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from otaru.adapters.board.program import environment
from otaru.errors import BackupError

_LOOK_S = 0.1
_SAID = 300


def dumped(words: Sequence[str], path: str, timeout_s: float, most: int) -> None:
    """Run a program; what it prints on stdout is the file, durably.

    Raises:
        BackupError: it is not there, fails, takes too long, or prints more than that.
    """
    with Path(path).open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        _ended(words, timeout_s, None, file, most)
        os.fsync(file.fileno())


def fed(words: Sequence[str], path: str, timeout_s: float) -> None:
    """Run a program with a file as its stdin. What it wrote is on the disks when this returns.

    Raises:
        BackupError: it is not there, fails, or takes too long.
    """
    with Path(path).open("rb") as file, TemporaryFile() as nothing:
        _ended(words, timeout_s, file, nothing, 1 << 20)
    os.sync()


def _ended(words: Sequence[str], timeout_s: float, source: IO[bytes] | None, out: IO[bytes], most: int) -> None:
    name = " ".join(words)[:200]
    with TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 - the device's own configuration names it
                list(words),
                stdin=source or subprocess.DEVNULL,
                stdout=out,
                stderr=said,
                start_new_session=True,
                env=environment(),
            )
        except OSError as error:
            raise BackupError(f"{name}: {error.strerror or error}") from None
        wrong, until = "", time.monotonic() + timeout_s
        while process.poll() is None and not wrong:
            if os.fstat(out.fileno()).st_size > most:
                wrong = f"{name} prints more than is allowed"
            elif time.monotonic() > until:
                wrong = f"{name} took longer than {timeout_s:g} s"
            elif os.fstat(said.fileno()).st_size > 1 << 20:
                os.ftruncate(said.fileno(), 0)
            else:
                _wait(process)
        if wrong:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise BackupError(wrong)
        if process.returncode != 0:
            size = os.fstat(said.fileno()).st_size
            words_ = os.pread(said.fileno(), 4096, max(0, size - 4096)).decode(errors="replace").split()
            raise BackupError(f"{name} ended with {process.returncode}: {' '.join(words_)[-_SAID:]}")
        if os.fstat(out.fileno()).st_size > most:
            raise BackupError(f"{name} printed more than is allowed")


def _wait(process: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_S)
