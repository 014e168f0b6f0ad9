"""Verification without I/O: a generator that says which file it wants, is sent its bytes, and says what to keep.

    verdict = run(verify(state, me, now), fetch, keep)

A driver that cannot get a file for reasons of its own (no network, too slow) closes the generator and tries later: what was
kept until then stays valid.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from otaru.trust.verify.state import Trusted

T = TypeVar("T")


class Source(StrEnum):
    """Where a file is asked for."""

    DIRECTOR = "director"
    IMAGE = "image"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Want:
    """Send the bytes of this file, or None where the server says that there is none.

    Read no more than `max_length` bytes and one: then it is too long.
    """

    source: Source
    role: str
    """Of the log: the subject of the entry that is to be proven."""
    version: int | None
    max_length: int

    @property
    def name(self) -> str:
        """The file's name below `metadata/`; no sign of a role's name can lead elsewhere."""
        plain = f"{quote(self.role, '')}.json"
        return plain if self.version is None else f"{self.version}.{plain}"


@dataclass(frozen=True, slots=True)
class Keep:
    """Store this, durably and at once (`State.keeping`), before the next step; send None."""

    source: Source
    trusted: "Trusted"


Step = Want | Keep
Steps = Generator[Step, bytes | None, T]


def run(steps: Steps[T], fetch: Callable[[Want], bytes | None], keep: Callable[[Keep], None]) -> T:
    """Go through all steps; what `fetch` and `keep` raise ends them.

    Raises:
        OtaruError: the update is refused, see `REFUSALS`.
    """
    answer: bytes | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
        answer = None
        if isinstance(step, Want):
            answer = fetch(step)
        else:
            keep(step)
