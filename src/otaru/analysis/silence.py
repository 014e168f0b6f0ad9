"""When a device that is not heard of counts as silent: by its own habit."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil

PRIOR_GAPS = 4
"""How many of a device's own gaps the fleet's habit is worth."""
MARGIN = 3
"""Silent after so many times the usual gap, and never before the longest gap it ever came back from."""


def patience(gaps: Sequence[timedelta], usual: timedelta) -> timedelta:
    """How long to wait for a device with these past gaps between contacts; `usual` is the gap of devices like it.

    The same deadline holds for the updated and for control, so it need not be right to be fair.
    """
    mean = (sum(gaps, timedelta(0)) + PRIOR_GAPS * usual) / (len(gaps) + PRIOR_GAPS)
    return max(MARGIN * mean, max(gaps, default=timedelta(0)))


LEAST_H, MOST_H = 2, 72
_HOUR = timedelta(hours=1)


def usual(heard: Mapping[int, int], polling: timedelta) -> timedelta:
    """The gap that is usual in a fleet, by how many devices were last heard of so many whole hours ago.

    Who comes now and then was last heard of, in the median, half of its gap ago. `polling` stands for a fleet of which nothing
    is known.
    """
    left = sum(heard.values()) / 2
    for age in sorted(heard):
        left -= heard[age]
        if left <= 0 < heard[age]:
            return 2 * (age + 0.5) * _HOUR
    return polling


def patience_h(heard: Mapping[int, int], polling: timedelta) -> int:
    """After how many whole hours a device of a fleet counts as silent."""
    return min(MOST_H, max(LEAST_H, ceil(patience((), usual(heard, polling)) / _HOUR)))
