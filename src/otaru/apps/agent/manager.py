"""The service manager that started the agent (systemd), and what it is told: sd_notify(3), in a datagram."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from threading import current_thread, main_thread

from otaru.adapters.clock import SystemClock


class Manager:
    """Tells that the agent is ready, that it lives, and that it ends. Without a manager nobody is told.

    Its main thread says that it lives, whenever it looks at a clock, at most eight times in the watchdog's time: so an
    agent that hangs is killed and started anew, and goes on by its journal.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        told = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_s = int(told) / 1e6 if told.isdecimal() and mine else 0.0
        self._next = 0.0

    @property
    def beat_s(self) -> float:
        """How often it has to be said that the agent lives; an hour where nobody asks."""
        return self._watchdog_s / 4 or 3600.0

    def ready(self, status: str, longest_s: float) -> None:
        """It works. `longest_s`: no program that it waits for may take longer; the watchdog has that patience."""
        lines = [f"STATUS={status}", "READY=1"]
        if 0 < self._watchdog_s < 2 * longest_s:
            self._watchdog_s = 2 * longest_s
            lines.append(f"WATCHDOG_USEC={int(self._watchdog_s * 1e6)}")
        self._tell(*lines)

    def alive(self) -> None:
        """It still does."""
        if self._watchdog_s and time.monotonic() >= self._next and current_thread() is main_thread():
            self._next = time.monotonic() + self.beat_s / 2
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if self._address[:1] not in {"/", "@"}:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)  # a manager that does not read holds up nobody
            out.sendto("\n".join(lines).encode(), self._address.replace("@", "\0", 1))


class LivingClock(SystemClock):
    """A clock that notices who looks at it."""

    def __init__(self, manager: Manager) -> None:
        super().__init__()
        self._manager = manager

    def now(self) -> datetime:
        """The time, in UTC, aware."""
        self._manager.alive()
        return super().now()

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        self._manager.alive()
        return super().monotonic()
