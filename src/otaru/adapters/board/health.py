"""What has to be so before a new version is kept."""

from collections.abc import Callable, Sequence

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import run
from otaru.errors import InstallError, OtaruError
from otaru.ports.board import SERVER_CHECK


class CommandCheck:
    """A program that ends with 0."""

    def __init__(self, words: Sequence[str], timeout_s: float) -> None:
        self._words = tuple(words)
        self._timeout_s = timeout_s
        self.name = " ".join(words)[:100]

    def wrong(self) -> str:
        try:
            run(self._words, self._timeout_s)
        except InstallError as error:
            return error.message.removeprefix(self.name).lstrip(": ")  # who names the check names the program
        return ""


class MemoryCheck:
    """So many bytes of memory can still be had (MemAvailable)."""

    name = "memory"

    def __init__(self, disk: Disk, least: int, source: str = "/proc/meminfo") -> None:
        self._disk = disk
        self._least = least
        self._source = source

    def wrong(self) -> str:
        for line in self._disk.read_at(self._source, 0, 64 * 1024).decode(errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
                return "" if found >= self._least else f"{found} bytes of memory can be had, {self._least} have to be"
        return "the system does not say how much memory can be had"


class ServerCheck:
    """The server answers: a version that cannot reach it could never be replaced."""

    name = SERVER_CHECK

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask

    def wrong(self) -> str:
        try:
            self._ask()
        except OtaruError as error:
            return f"the server cannot be reached: {error.message}"
        return ""


class CommandPower:
    """Reboots by a program."""

    def __init__(self, words: Sequence[str], timeout_s: float = 60) -> None:
        self._words = tuple(words)
        self._timeout_s = timeout_s

    def reboot(self) -> None:
        run(self._words, self._timeout_s)
