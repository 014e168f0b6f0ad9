"""The bus of one process."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Listener:
    loop: asyncio.AbstractEventLoop
    wake: Callable[[], None]
    pending: bool = False
    left: bool = False

    def run(self) -> None:
        # First: what is published while `wake` runs is a wake-up of its own.
        self.pending = False
        if not self.left:
            self.wake()


class LocalBus:
    """`ports.bus.Bus` without a network. `publish` may be called from any thread, `subscribe` on an event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, tuple[_Listener, ...]] = {}

    def publish(self, topic: str) -> None:
        """Wake everybody who listens to `topic`; wake-ups that have not been delivered yet are one."""
        for listener in self._listeners.get(topic, ()):
            with self._lock:
                if listener.pending:
                    continue
                listener.pending = True
            try:
                listener.loop.call_soon_threadsafe(listener.run)
            except RuntimeError:  # its loop is closed: nobody is left to wake
                continue

    def subscribe(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called on the running event loop after each publish. Returns the way out, which may be taken twice."""
        listener = _Listener(asyncio.get_running_loop(), wake)
        with self._lock:
            self._listeners[topic] = (*self._listeners.get(topic, ()), listener)

        def leave() -> None:
            listener.left = True
            with self._lock:
                left = tuple(other for other in self._listeners.get(topic, ()) if other is not listener)
                if left:
                    self._listeners[topic] = left
                else:
                    self._listeners.pop(topic, None)

        return leave
