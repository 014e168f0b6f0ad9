"""Where a device stands on updates: the state of its open deployment, else of the one that ended last, else nowhere yet.

Several words may be true of a device: what the overview counts as failed has failed, was reverted or went silent.
A decommissioned device stands nowhere.
"""

from collections.abc import Mapping

from otaru.domain.deployment import FAILURES, OPEN, WAITING, State

IDLE = "idle"
"""Stands for a device that was never told of an update."""

GROUPS: Mapping[str, frozenset[State]] = {"failed": FAILURES, "waiting": WAITING, "under_way": OPEN - WAITING}
"""Words for several states: the last update failed; its owner's yes is awaited; it is being updated."""

STANDINGS: tuple[State | None, ...] = (None, *(state for state in State if state is not State.SCHEDULED))
"""Where a device may stand; None is idle. Who is merely scheduled has not been told."""


def words(state: State | None) -> frozenset[str]:
    """Every word that is true of a device that stands there."""
    if state is None:
        return frozenset({IDLE})
    return frozenset({str(state), *(word for word, states in GROUPS.items() if state in states)})


WORDS = tuple(sorted({word for state in STANDINGS for word in words(state)}))
"""All of them."""
