"""A verdict in counts that a person can check."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp, inf

from otaru.analysis.exact import interval, ratio_interval
from otaru.analysis.sequential import Finding, Segment
from otaru.analysis.telemetry import TOLERATED
from otaru.analysis.tolerance import NOTHING, Count
from otaru.domain.evidence import Span

FIXED_RULE = 0.05
"""The rule of thumb that verdicts are compared with: stop when more than 5 % failed."""
_LONGEST = 700.0


@dataclass(frozen=True, slots=True)
class Compared:
    """How a measurement of updated devices changed, compared with control's."""

    name: str
    times: int
    """Updated devices that were compared, each at most once at each of a few ages."""
    worse: float
    """The share of comparisons in which the updated one fares worse; half where a release changes nothing."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told beside the counts of segments."""

    telemetry: Sequence[Compared] = ()
    dark: tuple[Span, ...] = ()
    """When the fleet hardly spoke."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What a finding rests on. Rates are shares, `ratio` is the rate ratio of events with its 95 % interval."""

    failed: int
    tried: int
    share: tuple[float, float]
    expected: float
    limit: float
    events: int
    hours: float
    control_events: int
    control_hours: float
    ratio: float | None
    ratio_interval: tuple[float, float]
    e: float
    threshold: float
    fixed_stops: bool
    """Whether the fixed 5 % rule would stop now."""
    telemetry: tuple[Compared, ...] = ()
    silent: int = 0
    """Updated devices that stopped being heard, in `silent_hours`."""
    silent_hours: float = 0.0
    control_silent: int = 0
    control_silent_hours: float = 0.0
    excused: Count = NOTHING
    """Outcomes that are not counted, since the fleet was dark."""
    dark: tuple[Span, ...] = ()


def explained(
    finding: Finding,
    segments: Sequence[Segment],
    expected: float,
    limit: float,
    beside: Beside = Beside(),
) -> Explained:
    """Gather a finding's evidence, of one segment or of all."""
    failed, tried = sum(s.outcomes.failed for s in segments), sum(s.outcomes.tried for s in segments)
    updated = [r for s in segments for r in (s.health.fresh, s.health.settled)]
    events, hours = sum(r.events for r in updated), sum(r.hours for r in updated)
    control = sum(s.health.control.events for s in segments)
    control_hours = sum(s.health.control.hours for s in segments)
    known = hours > 0 and control > 0
    return Explained(
        failed=failed,
        tried=tried,
        share=interval(failed, tried),
        expected=expected,
        limit=limit,
        events=events,
        hours=hours,
        control_events=control,
        control_hours=control_hours,
        ratio=(events / hours) / (control / control_hours) if known else None,
        ratio_interval=ratio_interval(events, hours, control, control_hours),
        e=exp(min(finding.log_e, _LONGEST)),
        threshold=exp(finding.log_threshold),
        fixed_stops=failed > FIXED_RULE * tried,
        telemetry=tuple(beside.telemetry),
        silent=sum(s.silence.fresh.events + s.silence.settled.events for s in segments),
        silent_hours=sum(s.silence.fresh.hours + s.silence.settled.hours for s in segments),
        control_silent=sum(s.silence.control.events for s in segments),
        control_silent_hours=sum(s.silence.control.hours for s in segments),
        excused=Count(sum(s.excused.failed for s in segments), sum(s.excused.tried for s in segments)),
        dark=beside.dark,
    )


def sentences(finding: Finding, told: Explained) -> tuple[str, ...]:
    """The finding in words: counts first, then what they are held against."""
    lines = [f"{finding.call}: {finding.because}"]
    if told.tried:
        low, high = told.share
        lines.append(
            f"{told.failed:,} of {told.tried:,} updated devices failed ({_percent(told.failed / told.tried)},"
            f" 95 % interval {_percent(low)} to {_percent(high)}); expected {_percent(told.expected)},"
            f" tolerated up to {_percent(told.limit)}"
        )
    if told.excused.tried:
        lines.append(
            f"{told.excused.tried:,} more ({told.excused.failed:,} failed) were under way, or told within an hour with these,"
            f" while the fleet was dark {_when(told.dark)}: not counted"
        )
    if told.hours > 0 and told.control_hours > 0:
        lines.append(
            f"events after the update: {told.events:,} in {told.hours:,.0f} device-hours, control"
            f" {told.control_events:,} in {told.control_hours:,.0f}{_ratio(told)}"
        )
    if told.silent_hours > 0 and told.control_silent_hours > 0:
        lines.append(
            f"fell silent after the update: {told.silent:,} in {told.silent_hours:,.0f} device-hours, control"
            f" {told.control_silent:,} in {told.control_silent_hours:,.0f}"
        )
    lines += [
        f"{one.name} after the update: worse than control's in {_percent(one.worse)} of {one.times:,} comparisons;"
        f" tolerated up to {(1 + TOLERATED) / 2:.0%}"
        for one in told.telemetry
    ]
    reached = "reached" if told.e >= told.threshold else "not reached"
    lines.append(f"e-value {told.e:.3g}, threshold {told.threshold:,.0f}: {reached}")
    lines.append(f"a fixed {FIXED_RULE:.0%} rule would {'stop' if told.fixed_stops else 'go on'}")
    return tuple(lines)


def _when(dark: Sequence[Span]) -> str:
    def at(hour: int) -> str:
        return f"{datetime.fromtimestamp(3600 * hour, UTC):%Y-%m-%d %H:%M}"

    return " and ".join(f"from {at(span.begin)} to {at(span.end)} UTC" for span in dark)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _ratio(told: Explained) -> str:
    if told.ratio is None:
        return ""
    low, high = told.ratio_interval
    return f"; rate ratio {told.ratio:.2g} (95 % interval {low:.2g} to {'unbounded' if high == inf else f'{high:.2g}'})"
