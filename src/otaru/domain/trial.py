"""The trial of an installation: the new version runs, and whether it holds shows in its health window.

A device that reports its success is on trial while the window of its rollout is open. It passes when the window is over
without too many bad health events and it was heard of since its report. Bad events end the trial at once, the device's own
word of a failure does, and so does what it says it runs instead. Who is not heard of is waited for a polling interval more:
a device that sleeps longer than the window is not silent for that.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from otaru.domain.deployment import Deployment, Event
from otaru.domain.duration import written
from otaru.domain.health import Kind
from otaru.domain.ids import Version

BAD = frozenset({Kind.CRASH, Kind.WATCHDOG, Kind.COMM_FAILURE, Kind.STORAGE})
"""Health events that speak against what runs on trial."""

LOOKS = 3
"""How many times in its health window a device is asked to come."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A deployment on trial, whose `changed_at` is when it began, with what is known of the device since."""

    deployment: Deployment
    heard: bool
    """Whether it was heard of after its report."""
    runs: Version | None
    """What the inventory says that it runs now."""


def outcome(trial: Trial, version: Version, window: timedelta) -> tuple[Event, str]:
    """How a trial ends whose time is over, and why; `version` is what was installed."""
    if trial.runs is not None and trial.runs != version:
        return Event.REVERT, f"it runs {trial.runs} in its health window"
    if trial.heard:
        return Event.SUCCEED, ""
    return Event.SILENCE, f"not heard of in its health window of {written(window.total_seconds())}"


def spoiled(events: int, kinds: Collection[Kind], allowed: int) -> str | None:
    """Why so many bad events, of these kinds, fail a trial that fails at `allowed`; None where they do not."""
    if events < allowed:
        return None
    told = ", ".join(sorted(kinds)).replace("_", " ")
    return f"{events} bad health event{'s' * (events != 1)} in its health window: {told}"
