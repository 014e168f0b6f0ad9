"""When a device that is not heard of counts as silent: by its own habit."""

from collections.abc import Sequence
from datetime import timedelta

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
