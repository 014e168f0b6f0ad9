"""The bytes of one file as they come, over as many days and power cuts as it takes."""

from typing import Protocol


class Partial(Protocol):
    """Where a download lies until it is whole. After a power cut what is held may be anything: it is hashed again."""

    def held(self) -> int:
        """How many bytes are here, from the file's beginning on."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Some of those that are held; none beyond."""
        ...

    def append(self, offset: int, data: bytes) -> None:
        """Write the next bytes; what was at and after `offset` is gone.

        Raises:
            StorageFullError: there is no room.
        """
        ...

    def sync(self) -> None:
        """What was appended survives a cut when this returns."""
        ...

    def discard(self) -> None:
        """Forget all of it."""
        ...


class Pause(Protocol):
    """Waits."""

    def __call__(self, seconds: float, /) -> None:
        """Wait so long.

        Raises:
            StoppedError: whoever waits is to end.
        """
        ...
