"""Time and chance."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time and of random names."""

    def now(self) -> datetime:
        """The time, in UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        ...

    def token(self) -> str:
        """A new secret of at least 128 random bits, in URL-safe characters without `-` or `_` at the start."""
        ...

    def unique(self) -> str:
        """A new unique id (UUIDv7, 32 hexadecimal digits): sorts by time of making."""
        ...

    def seed(self) -> int:
        """A random number, 0 <= seed < 2^62."""
        ...
