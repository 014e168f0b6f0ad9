"""Programs of the device's maker: bounded in time, in what they print, and in what is read of it."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Protocol

from otaru.errors import InstallError

MAX_OUTPUT = 16 * 1024
MAX_KEPT = 1024 * 1024
"""What a program prints beyond that is thrown away from its beginning: a chatty one must not fill the disk."""
_LOOK_S = 0.2
_ANSWER_S = 5
_OURS = frozenset({"OTARU_PIN", "OTARU_TOKEN"})
"""What opens the device's key, and the server: no other program's business, whatever it prints."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and the end of what it printed."""

    code: int
    said: str

    @property
    def end(self) -> str:
        """Why it failed, in one line."""
        return " ".join(self.said.split())[-300:]

    @property
    def how(self) -> str:
        """Its code, and what it said last, if it said anything."""
        return f"ended with {self.code}: {self.end}" if self.end else f"ended with {self.code}"


class Programs(Protocol):
    """The programs that installers work with. All that an installer has done by them, or hears of them, goes through here."""

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:
        """Run one to its end, also a bad one; see `ended`."""
        ...

    def answer(self, door: str, question: bytes, length: int) -> bytes | None:
        """What a service says at its Unix socket, so many bytes of it; None: it does not answer, or says less."""
        ...

    def settle(self) -> None:
        """Whatever they have written is on the disks when this returns."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait before a service is asked again."""
        ...


class LocalPrograms:
    """Those of this system."""

    def ended(self, words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:
        return ended(words, timeout_s, more)

    def answer(self, door: str, question: bytes, length: int) -> bytes | None:
        said = b""
        try:
            with socket.socket(socket.AF_UNIX) as service:
                service.settimeout(_ANSWER_S)
                service.connect(door)
                service.sendall(question)
                while len(said) < length and (part := service.recv(length - len(said))):
                    said += part
        except OSError:
            return None
        return said if len(said) == length else None

    def settle(self) -> None:
        os.sync()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


LOCAL = LocalPrograms()


def environment() -> dict[str, str]:
    """What a program of the device is started with: the agent's own environment without its secrets."""
    return {name: value for name, value in os.environ.items() if name not in _OURS}


def run(
    words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None, programs: Programs = LOCAL
) -> str:
    """Run a program to its end and return what it printed, at most MAX_OUTPUT bytes of it.

    Raises:
        InstallError: it is not there, takes too long or says that it failed; with the end of what it said.
    """
    done = programs.ended(words, timeout_s, more)
    if done.code != 0:
        raise InstallError(f"{_name(words)} {done.how}")
    return done.said


def ended(words: Sequence[str], timeout_s: float, more: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end, also a bad one. Its processes are a group of their own, ended together when the time is over.

    Raises:
        InstallError: it is not there, or takes too long.
    """
    with TemporaryFile() as output:
        flags = fcntl.fcntl(output, fcntl.F_GETFL)
        fcntl.fcntl(output, fcntl.F_SETFL, flags | os.O_APPEND)  # its writes go to the end, also after the file was cut
        try:
            process = subprocess.Popen(  # noqa: S603 - the device's own configuration names it
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**environment(), **(more or {})},
            )
        except OSError as error:
            raise InstallError(f"{_name(words)}: {error.strerror or error}") from None
        try:
            code = _wait(process, timeout_s, output.fileno())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise InstallError(f"{_name(words)} took longer than {timeout_s:g} s") from None
        return Ended(code, _tail(output.fileno()))


def _wait(process: "subprocess.Popen[bytes]", timeout_s: float, output: int) -> int:
    until = time.monotonic() + timeout_s
    while (left := until - time.monotonic()) > _LOOK_S:
        try:
            return process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if os.fstat(output).st_size > MAX_KEPT:
                os.ftruncate(output, 0)
    return process.wait(max(left, 0))


def _tail(file: int) -> str:
    size = os.lseek(file, 0, os.SEEK_END)
    return os.pread(file, MAX_OUTPUT, max(0, size - MAX_OUTPUT)).decode(errors="replace")


def _name(words: Sequence[str]) -> str:
    return " ".join(words)[:200]
