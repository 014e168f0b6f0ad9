"""What a device knows of itself when conditions ask: by the system's own files, or by programs of its maker."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from otaru.adapters.board.disk import Disk
from otaru.adapters.board.program import run
from otaru.errors import InstallError

MAX_SAID = 256
_CHARGES = {"Charging": "true", "Full": "true", "Discharging": "false", "Not charging": "false"}
"""What Linux says of a battery (Documentation/ABI/testing/sysfs-class-power). `Unknown` is not known."""


class BoardSenses:
    """`ports.board.Senses`: a battery by sysfs, free space by the file system, all else by programs that print it."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        battery: str | None = None,
        commands: Mapping[str, Sequence[str]] | None = None,
        timeout_s: float = 10,
    ) -> None:
        """Take where space is asked for, the battery's folder in `/sys/class/power_supply`, and programs by what they tell."""
        self._disk = disk
        self._folder = folder
        self._battery = battery
        self._commands = dict(commands or {})
        self._timeout_s = timeout_s

    def facts(self, names: Collection[str]) -> dict[str, str]:
        return {name: said for name in sorted(names) if (said := self._fact(name)) is not None}

    def _fact(self, name: str) -> str | None:
        with suppress(OSError, InstallError):  # what cannot be asked is not known
            if name in self._commands:
                return run(self._commands[name], self._timeout_s).strip()[:MAX_SAID]
            match name:
                case "battery":
                    return self._supply("capacity")
                case "charging":
                    return _CHARGES.get(self._supply("status") or "")
                case "free_space":
                    found = os.statvfs(self._folder)
                    return str(found.f_bavail * found.f_frsize)
        return None

    def _supply(self, what: str) -> str | None:
        if self._battery is None:
            return None
        return self._disk.read_at(f"{self._battery}/{what}", 0, MAX_SAID).decode(errors="replace").strip()
