"""Who is alike among a rollout's members, and the one ranking of all of them.

Members are split into segments by what may make an update fail: hardware, the version they come from, attributes. They
stand in one ranking all the same, so that a wave is one height. Its order is: canaries of every segment · the rest ·
devices tagged `critical`; within these by how far along its own segment a member is (`place`), where its members stand
in the order of the draw; then by segment. So
every height has of each segment, as nearly as whole devices can, the share that it has of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otaru.domain.ids import name as parse_name
from otaru.errors import InvalidInputError

MAX_SEGMENTS = 64
MAX_SPLITS = 4
CRITICAL = "critical"
"""Devices with this tag come last and are never canaries."""
MAX_CANARIES = 15
CANARIES_PERCENT = 3
OTHERS = "others"
HARDWARE, VERSION, ATTRIBUTE = "hardware", "version", "attr."
"""What can split: hardware with its revision, the version of the release's component that runs, an attribute's value."""
UNIT = 1_000_000_000
_MAX_WORD = 60


@dataclass(frozen=True, slots=True)
class Segment:
    """Members that are alike. A held one is offered nothing; the others go on."""

    index: int
    name: str
    size: int
    held: bool = False
    reason: str = ""
    """Why it is held, or why it was released."""
    overruled: bool = False
    """A person released it against the judge's word: nobody holds it again but a person."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """How many would-be members are alike; `critical` of them are tagged so."""

    key: tuple[str, ...] | None
    """What they have in common, in the order of what splits; None for all that stand in no stratum of their own."""
    size: int
    critical: int = 0

    @property
    def canaries(self) -> int:
        """How many of them are canaries."""
        return min(canaries(self.size), self.size - self.critical)


def canaries(size: int) -> int:
    """How many canaries a segment of this size has, as far as its members are not critical."""
    return max(1, min(MAX_CANARIES, -(-size * CANARIES_PERCENT // 100)))


def place(index: int, size: int) -> int:
    """How far along its segment the member at `index` is: rises from 0 to a thousand million, whatever the size."""
    return (2 * index + 1) * UNIT // (2 * size)


def below(strata: Sequence[Stratum], height: int) -> tuple[int, ...]:
    """How many members of each stratum have a rank below a height."""
    counts = [0] * len(strata)
    for turn in range(3):
        spans = [_span(stratum, turn) for stratum in strata]
        left = height - sum(counts)
        if left <= 0:
            break
        if left >= sum(last - first for first, last in spans):
            counts = [count + last - first for count, (first, last) in zip(counts, spans, strict=True)]
            continue
        least, most = 0, UNIT
        while least < most:
            middle = (least + most + 1) // 2
            reached = sum(_reached(s, span, middle) for s, span in zip(strata, spans, strict=True))
            least, most = (middle, most) if reached <= left else (least, middle - 1)
        got = [_reached(s, span, least) for s, span in zip(strata, spans, strict=True)]
        further = [_reached(s, span, least + 1) for s, span in zip(strata, spans, strict=True)]
        left -= sum(got)
        for index, (now, then) in enumerate(zip(got, further, strict=True)):
            more = min(then - now, left)
            left -= more
            counts[index] += now + more
        break
    return tuple(counts)


def _span(stratum: Stratum, turn: int) -> tuple[int, int]:
    """Which members of a stratum, by index, are canaries (0), the rest (1) or critical (2)."""
    first, last = stratum.canaries, stratum.size - stratum.critical
    return ((0, first), (first, last), (last, stratum.size))[turn]


def _reached(stratum: Stratum, span: tuple[int, int], along: int) -> int:
    """How many members of a span have a place below."""
    # place(i) < along  <=>  (2i + 1) UNIT < along 2 size  <=>  i < (along 2 size / UNIT - 1) / 2, exactly
    count = max(0, -(-(along * 2 * stratum.size - UNIT) // (2 * UNIT)))
    return min(max(count, span[0]), span[1]) - span[0]


def cut(strata: Sequence[Stratum], size: int, critical: int) -> tuple[Stratum, ...]:
    """The strata of `size` would-be members, biggest first: those that are too many, the smallest, become the others.

    `strata` are the biggest, biggest first; one more than MAX_SEGMENTS of them are enough.
    """
    if len(strata) <= MAX_SEGMENTS:
        return tuple(strata)
    kept = tuple(strata[: MAX_SEGMENTS - 1])
    rest = Stratum(None, size - sum(s.size for s in kept), critical - sum(s.critical for s in kept))
    return (*kept, rest)


def segments(split: Sequence[str], strata: Sequence[Stratum]) -> tuple[Segment, ...]:
    """The segments that strata become."""
    return tuple(Segment(index, _named(split, stratum.key), stratum.size) for index, stratum in enumerate(strata))


def _named(split: Sequence[str], key: tuple[str, ...] | None) -> str:
    """What the members of a segment have in common, as people read it: `rpi4:1.2, version 1.0.0, region eu`."""
    if key is None:
        return OTHERS
    words = []
    for by, value in zip(split, key, strict=True):
        # A device may have said it: what is no letter or sign is not shown.
        printable = "".join(sign if sign.isprintable() else "�" for sign in value[: _MAX_WORD + 1])
        short = printable if len(value) <= _MAX_WORD else printable[: _MAX_WORD - 1] + "…"
        what = "" if by == HARDWARE else f"{by.removeprefix(ATTRIBUTE)} "
        words.append(f"{what}{short or 'unknown'}")
    return ", ".join(words) or "all"


def check_split(split: Sequence[str]) -> None:
    """Check what is to split a rollout.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if len(split) > MAX_SPLITS or len(set(split)) < len(split):
        raise InvalidInputError(f"at most {MAX_SPLITS} different things split a rollout")
    for by in split:
        if by.startswith(ATTRIBUTE):
            parse_name(by.removeprefix(ATTRIBUTE))
        elif by not in {HARDWARE, VERSION}:
            raise InvalidInputError(f"{by!r} splits nothing", hint="For example hardware, version, attr.region.")
