"""Limits of a rollout: how many devices it has in flight at once, tells in a minute, or has in flight of those alike.

What is taken is counted in the transaction that would take more (`ports.store.Rollouts.taken`): so no two workers give
the same place away. A rollout without limits asks for none of it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from otaru.domain.ids import name as parse_name
from otaru.domain.schedule import appointment
from otaru.errors import InvalidInputError

MAX_LIMIT = 1_000_000
MAX_PLACES = 4
MINUTE = timedelta(minutes=1)
_GOLDEN = 0.6180339887498949
_ATTRIBUTE, _TAG = "attr.", "tag."


@dataclass(frozen=True, slots=True)
class Place:
    """At most `most` in flight among devices that share a value of an attribute, or a tag. Who has none is in no place."""

    attribute: str
    most: int
    tag: str = ""
    """This tag, and no attribute."""

    @property
    def name(self) -> str:
        """What they share, as targets name it."""
        return f"{_TAG}{self.tag}" if self.tag else f"{_ATTRIBUTE}{self.attribute}"

    def __str__(self) -> str:
        return f"{self.name}={self.most}"


def place(text: str) -> Place:
    """Parse `attr.site=5` or `tag.lab=5`.

    Raises:
        InvalidInputError: it is something else.
    """
    key, _, number = text.partition("=")
    if not key.startswith((_ATTRIBUTE, _TAG)) or not number.isascii() or not number.isdigit() or len(number) > 7:
        raise InvalidInputError(f"{text!r} is no limit by place", hint="For example attr.site=5 or tag.lab=5.")
    if key.startswith(_TAG):
        return Place("", int(number), parse_name(key.removeprefix(_TAG)))
    return Place(parse_name(key.removeprefix(_ATTRIBUTE)), int(number))


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a rollout takes at once; None is as many as there are."""

    in_flight: int | None = None
    per_minute: int | None = None
    """Devices told in one minute of the clock."""
    places: tuple[Place, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.in_flight is not None or self.per_minute is not None or bool(self.places)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Taken:
    """What a rollout has taken of its limits, as one device finds it."""

    in_flight: int
    told: int
    """In this minute."""
    waiting: int
    """Members that have not been told."""
    places: tuple[tuple[Place, str, int], ...] = ()
    """Where this device is: the limit, the attribute's value, and how many there are in flight."""
    per_minute: int | None = None
    """How many may be told in this minute by the rollout's rate or window; None where neither says."""


def full(limits: Limits, taken: Taken, *, told: bool = False) -> str | None:
    """Which limit leaves no room, in words; None where one more may begin. `told`: it has been told already."""
    if limits.in_flight is not None and taken.in_flight >= limits.in_flight:
        return f"{taken.in_flight} of {limits.in_flight} are in flight"
    for where, value, number in taken.places:
        if number >= where.most:
            among = f"with the tag {where.tag}" if where.tag else f"where {where.attribute} is {value}"
            return f"{number} of {where.most} are in flight {among}"
    if not told and _paced(limits, taken):
        return f"{taken.told} of {_per_minute(limits, taken)} have been told in this minute"
    return None


def _per_minute(limits: Limits, taken: Taken) -> int | None:
    return min((most for most in (limits.per_minute, taken.per_minute) if most is not None), default=None)


def _paced(limits: Limits, taken: Taken) -> bool:
    most = _per_minute(limits, taken)
    return most is not None and taken.told >= most


def ask_again(limits: Limits, taken: Taken, rank: int, now: datetime) -> datetime | None:
    """When a device is to ask again that only waits for another minute; None where it waits for others' ends.

    Those who wait are spread over as many minutes as they take: they do not all come with the next one.
    """
    most = _per_minute(limits, taken)
    if most is None or not _paced(limits, taken):
        return None
    following = datetime.fromtimestamp((appointment.minute(now) + 1) * 60, UTC)
    return following + MINUTE * (taken.waiting / max(most, 1)) * (rank * _GOLDEN % 1)


def check_limits(limits: Limits) -> None:
    """Check limits as a person wrote them.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    named = [("devices in flight", limits.in_flight), ("devices in a minute", limits.per_minute)]
    named += [(f"devices at {where.name}", where.most) for where in limits.places]
    for what, most in named:
        if most is not None and not 1 <= most <= MAX_LIMIT:
            raise InvalidInputError(f"the most {what} is a number from 1 to {MAX_LIMIT}")
    if len(limits.places) > MAX_PLACES or len({where.name for where in limits.places}) < len(limits.places):
        raise InvalidInputError(f"at most {MAX_PLACES} different places limit a rollout")
