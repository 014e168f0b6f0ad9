"""The judge that may look at every report: channels combined, thresholds, three verdicts.

Per segment the channels' e-values are averaged with fixed weights (never the greatest taken: its error is not bounded).
The rollout stops when the e-value of all segments together reaches 2/alpha; a segment is held, and the others go on, when
its own reaches S·2/alpha with S segments. By Ville and Bonferroni a good release is stopped or held wrongly, ever, with a
chance of at most alpha. No data means hold.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log

from otaru.analysis import health, outcome, telemetry
from otaru.analysis.health import Health
from otaru.analysis.telemetry import Changes
from otaru.analysis.tolerance import NOTHING, Count, Tolerance
from otaru.domain.evidence import Call

ALPHA = 0.01
"""The chance that a good release is stopped or held, where nothing else is said."""
WEIGHTS = {"outcome": 0.5, "health": 0.3, "telemetry": 0.1, "silence": 0.1}
"""What each channel counts. Chosen once; they sum to 1."""
MAX_OVERDUE = 0.25
"""When more of the told devices are overdue with their report, the telemetry is lost: hold."""
MIN_OVERDUE = 5


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of one segment."""

    tolerance: Tolerance
    outcomes: Count = NOTHING
    excused: Count = NOTHING
    """Outcomes that are not counted, since the fleet was dark: see `dark`."""
    health: Health = field(default_factory=Health)
    """Events after the update, against control."""
    changes: Changes = field(default_factory=Changes)
    """Telemetry after the update, against control."""
    silence: Health = field(default_factory=Health)
    """Devices that stopped being heard after the update, against control."""
    told: int = 0
    overdue: int = 0
    """Told devices that should have reported by now and did not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A call with its e-value and the threshold it is held against (both as natural logarithms)."""

    call: Call
    log_e: float
    log_threshold: float
    because: str
    channels: Mapping[str, float]
    """The log e-value of each channel."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of the whole rollout, and of each segment."""

    whole: Finding
    segments: tuple[Finding, ...]


def judge(fleet: Tolerance, segments: Sequence[Segment], alpha: float = ALPHA, held: Collection[int] = ()) -> Judgement:
    """Judge a rollout by what its segments show; S is `len(segments)`, fixed when the rollout was planned.

    Segments that are `held` (by index) are judged on their own and say nothing of the whole.
    """
    stop_at = log(2 / alpha)
    hold_at = log(max(1, len(segments)) * 2 / alpha)
    each = tuple(_finding(_channels(s.tolerance, [s]), [s], hold_at, Call.HOLD) for s in segments)
    going = [s for i, s in enumerate(segments) if i not in held]
    whole = _finding(_channels(fleet, going), going, stop_at, Call.STOP)
    return Judgement(whole, each)


def _channels(tolerance: Tolerance, segments: Sequence[Segment]) -> dict[str, float]:
    return {
        "outcome": outcome.log_e(tolerance, [(s.tolerance, s.outcomes) for s in segments]),
        "health": health.log_e([s.health for s in segments]),
        "telemetry": telemetry.log_e([s.changes for s in segments]),
        "silence": health.log_e([s.silence for s in segments]),
    }


def combined(channels: Mapping[str, float]) -> float:
    """The logarithm of the weighted mean of e-values; a channel that was not heard counts 1."""
    top = max(0.0, *channels.values())
    return top + log(sum(w * exp(channels.get(name, 0.0) - top) for name, w in WEIGHTS.items()))


def _finding(channels: Mapping[str, float], segments: Sequence[Segment], threshold: float, beyond: Call) -> Finding:
    value = combined(channels)
    if value >= threshold:
        return Finding(beyond, value, threshold, "worse than tolerated", channels)
    if (why := _blind(segments)) is not None:
        return Finding(Call.HOLD, value, threshold, why, channels)
    return Finding(Call.EXPAND, value, threshold, "nothing speaks against it", channels)


def lost(segments: Sequence[Segment]) -> str | None:
    """Why the telemetry counts as lost, so that no more devices are told; None where it does not."""
    told, overdue = sum(s.told for s in segments), sum(s.overdue for s in segments)
    if overdue >= MIN_OVERDUE and overdue > MAX_OVERDUE * told:
        return f"{overdue} of {told} told devices are overdue with their report"
    return None


def _blind(segments: Sequence[Segment]) -> str | None:
    """Why nothing can be said; None where something can."""
    counted, dark = sum(s.outcomes.tried for s in segments), sum(s.excused.tried for s in segments)
    excused = sum(s.excused.failed for s in segments)
    if counted + dark == 0:
        return "no outcome yet"
    if counted + dark == excused + sum(s.outcomes.failed for s in segments):
        return "no success yet"
    if counted == 0 and excused:
        return f"nothing is known but of dark hours, in which {excused:,} of {dark:,} failed: retry them"
    return lost(segments)
