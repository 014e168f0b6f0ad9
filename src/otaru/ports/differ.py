"""Who makes deltas."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from otaru.images.delta.choice import Way
from otaru.images.facts import Format
from otaru.ports.blobs import OpenBlob


class UselessPatchError(Exception):
    """A delta between these bytes does not help: it would not be smaller enough, or they are of a kind for which none is."""


class PatchFailedError(Exception):
    """A delta could not be made: it took too much, or what it made was not the target."""


class MadePatch(Protocol):
    """A delta that was made, applied and found to make its target. It goes when its context ends."""

    @property
    def size(self) -> int: ...
    @property
    def full(self) -> int:
        """Bytes of the compressed target."""
        ...

    @property
    def memory(self) -> int:
        """Bytes of memory that applying it takes: it was applied within them."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes."""
        ...


class Differ(Protocol):
    """Makes deltas where they do no harm: apart from the server, with bounds on memory, time and disk, one after the other."""

    def make(
        self, way: Way, form: Format, source: OpenBlob, target: OpenBlob
    ) -> AbstractAsyncContextManager[MadePatch]:
        """A delta from `source` to `target`, whose bytes are of a format.

        Raises:
            UselessPatchError: it does not help, which is so for ever.
            PatchFailedError: another time it may be made.
            UnavailableError: no process could be started.
        """
        ...
