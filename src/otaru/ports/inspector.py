"""Who reads what an upload says of itself."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from otaru.domain.ids import Sha256
from otaru.images.facts import Facts, Format
from otaru.ports.blobs import OpenBlob

TrustTexts = Mapping[Format, tuple[bytes, ...]]
"""A tenant's trust anchors by format: PEM certificates, or public keys in PEM or DER."""


class Inspector(Protocol):
    """Reads images where a hostile one does no harm: apart from the server, with bounds on memory and time.

    Reading changes nothing and may be repeated. Images are read a few at a time; more wait for their turn.
    """

    async def inspect(self, blob: OpenBlob, trust: TrustTexts) -> Facts:
        """Read what an image says of itself, and judge its signatures.

        Raises:
            BrokenImageError: it is broken, or reading it took more memory or time than an image may take, or ended the
                reader. The server goes on in each case.
            EndlessImageError: reading it took too long or ended the reader, which may be another time's fault than its own.
            ValueError: a trust anchor is none.
            UnavailableError: no reader could be started.
            OverloadedError: too many images wait already.
        """
        ...

    def turn(self, sha256: Sha256) -> AbstractAsyncContextManager[None]:
        """Hold what this process does about one image to one at a time: who comes second finds what the first has kept."""
        ...
