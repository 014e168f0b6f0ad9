"""What a Linux device measures of itself: by the system's own files, and by programs of its maker that print a number."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import run
from otaru.domain.health import MAX_TEXT, MAX_VALUE, Kind
from otaru.errors import InstallError
from otaru.ports.board import Senses
from otaru.ports.remote import Boot

_SENSED = ("battery", "signal")
_MAX = 64 * 1024
_CARD_RESET, _POWER_UNDER = 0x20, 0x10
"""Bits of a watchdog's boot status (Linux, Documentation/watchdog/watchdog-api.rst): it, or the power, caused the start."""


class BoardGauges:
    """`ports.remote.Gauges`. `root` is where /proc and /sys are."""

    def __init__(
        self,
        disk: Disk,
        senses: Senses,
        folder: str,
        commands: Mapping[str, Sequence[str]],
        timeout_s: float = 10,
        reason: Sequence[str] = (),
        root: str = "",
    ) -> None:
        self._disk = disk
        self._senses = senses
        self._folder = folder
        self._commands = dict(commands)
        self._timeout_s = timeout_s
        self._reason = tuple(reason)
        self._root = root

    def read(self, off: Sequence[str]) -> dict[str, float]:
        if "*" in off:
            return {}
        told: dict[str, str | float | None] = {}
        told |= self._senses.facts([name for name in _SENSED if name not in off])
        for name, read in (
            ("uptime", self._uptime),
            ("load", self._load),
            ("memory", self._memory),
            ("disk", self._free),
        ):
            if name not in off:
                with suppress(OSError, ValueError, IndexError):
                    told[name] = read()
        for name, words in self._commands.items():
            if name not in off:
                with suppress(OSError, InstallError):
                    told[name] = run(words, self._timeout_s).strip()[:64]
        return {name: number for name, said in told.items() if (number := _number(said)) is not None}

    def boot(self) -> Boot:
        name = ""
        with suppress(OSError):
            name = self._text("/proc/sys/kernel/random/boot_id")
        if self._reason:
            with suppress(OSError, InstallError):
                said = " ".join(run(self._reason, self._timeout_s).split())[:MAX_TEXT]
                word, _, rest = said.partition(" ")
                kind = Kind(word) if word in set(Kind) - {Kind.SAMPLE} else None
                return Boot(name, kind or Kind.REBOOT, rest if kind else said)
        if self._disk.names(f"{self._root}/sys/fs/pstore"):
            return Boot(name, Kind.CRASH, "the kernel left a record of a crash (pstore)")
        status = 0
        with suppress(OSError, ValueError):
            status = int(self._text("/sys/class/watchdog/watchdog0/bootstatus"), 0)
        if status & _CARD_RESET:
            return Boot(name, Kind.WATCHDOG, "the watchdog reset the device")
        if status & _POWER_UNDER:
            return Boot(name, Kind.POWER, "the power was too low")
        return Boot(name)

    def uptime_s(self) -> float:
        try:
            return self._uptime()
        except (OSError, ValueError, IndexError):
            return 0.0

    def _uptime(self) -> float:
        return float(self._text("/proc/uptime").split()[0])

    def _load(self) -> float:
        return float(self._text("/proc/loadavg").split()[0])

    def _memory(self) -> float | None:
        for line in self._text("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return None

    def _free(self) -> float:
        found = os.statvfs(self._folder)
        return float(found.f_bavail * found.f_frsize)

    def _text(self, path: str) -> str:
        return self._disk.read_at(f"{self._root}{path}", 0, _MAX).decode(errors="replace").strip()


def _number(said: str | float | None) -> float | None:
    """A number; None where it is none."""
    try:
        found = float(said) if said is not None else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) and abs(found) <= MAX_VALUE else None
