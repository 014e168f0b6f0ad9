"""Hints between the parts of a process, and between workers. A lost hint costs time, never truth."""

from collections.abc import Callable
from typing import Protocol


class Bus(Protocol):
    """Carries wake-ups. Nothing is promised about delivery: whoever listens also looks by itself now and then."""

    def publish(self, topic: str) -> None:
        """Wake everybody who listens to `topic`. Never blocks; may be called from any thread."""
        ...

    def subscribe(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called on the event loop after a publish; many publishes may be one call. Returns the way out."""
        ...
