"""When in a window each device has its turn, so that its opening is no stampede.

Members have their appointments in the window's first half, spread evenly by rank: the fractional parts of the ranks' multiples
of the golden ratio cover it evenly, whichever run of ranks a wave is. And in each minute no more are told than would be if all
came in time; who comes later than its appointment takes what is left.
"""

from datetime import UTC, datetime, timedelta
from math import ceil

FREELY = 60
"""So many devices a minute are no stampede: fewer members have no appointments."""
_GOLDEN = 0.618033988749894848
_MINUTE = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(minutes=10)


def per_minute(duration: timedelta, members: int) -> int:
    """How many of so many members are told in one minute of a window, at most."""
    return max(FREELY, ceil(members / max(duration / 2 / _MINUTE, 1)))


def offset(rank: int, duration: timedelta, members: int) -> timedelta:
    """How long after the opening a member has its appointment."""
    if members <= FREELY:
        return timedelta(0)
    span = min(duration / 2, members / per_minute(duration, members) * _MINUTE)
    return span * (rank * _GOLDEN % 1)


def minute(now: datetime) -> int:
    """The minute of a moment, counted from 1970."""
    return int(now.timestamp()) // 60


def again_at(rank: int, now: datetime, duration: timedelta) -> datetime:
    """When who came in a minute that was full asks again: spread over some minutes."""
    following = datetime.fromtimestamp((minute(now) + 1) * 60, UTC)
    spread = max(min(duration / 8, _LONGEST_WAIT), _MINUTE)
    return following + spread * (rank * _GOLDEN % 1)
