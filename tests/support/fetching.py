"""A download into memory, by whatever link."""

from hashlib import sha256
from typing import Any

from otaru.adapters.clock import SystemClock
from otaru.domain.ids import Version
from otaru.ports.link import Shelf
from otaru.services.edge.fetch import Fetch
from otaru.trust.verify.payload import Payload
from otaru.trust.verify.target import Target
from tests.support.sources import Memory


def fetch(shelf: Shelf, addresses: tuple[str, ...], content: bytes, **more: Any) -> tuple[Fetch, Memory]:
    """What fetches it, and where it comes to be. It waits for nothing."""
    memory = Memory()
    digests = {"sha256": sha256(content).hexdigest()}
    target = Target("a/stable/1/f", len(content), digests, "a", (), Version("1"), 0, "file")
    given = {"pause": lambda _: None, "lot": lambda: 0.5} | more
    return Fetch(shelf, memory, len(content), lambda: Payload(target), addresses, SystemClock(), **given), memory
