"""Time and chance from the operating system: the only place that reads them."""

import secrets
import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """`ports.clock.Clock`. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        """The time, in UTC, aware."""
        return datetime.now(UTC)  # noqa: TID251 - here

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        return time.monotonic()

    def token(self) -> str:
        """A new secret: 32 URL-safe characters, 190 bits and more."""
        # A leading dash would look like an option on a command line.
        while (token := secrets.token_urlsafe(24))[0] in "-_":
            pass
        return token

    def unique(self) -> str:
        """A UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds, 12 bits of their fraction (6.2, method 3), 62 random bits.

        Those of one process sort in the order in which they were made, also when the system's clock is set back.
        """
        millis, nanos = divmod(time.time_ns(), 1_000_000)
        stamp = millis << 12 | nanos * 4096 // 1_000_000
        with self._lock:
            stamp = self._last = max(stamp, self._last + 1)
        value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
        return f"{value:032x}"

    def seed(self) -> int:
        """A random number, 0 <= seed < 2^62."""
        return secrets.randbits(62)
