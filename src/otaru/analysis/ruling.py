"""The sequential rule held against what a server counts: from evidence to a ruling, with its pace.

Nothing is carried over from one look to the next: counters are enough, since e-values depend on counts, not on their order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from math import exp

from otaru.analysis import pace, sequential, words
from otaru.analysis.dark import excused
from otaru.analysis.health import USUAL, Block, Health, Ratio, Ratios
from otaru.analysis.health import Risk as AtRisk
from otaru.analysis.telemetry import Bets, Changes, beyond
from otaru.analysis.tolerance import NOTHING, Count, Tolerance, learn
from otaru.domain.deployment import FAILURES, NOT_BEGUN, State
from otaru.domain.evidence import Call, Evidence, Finding, Ruling, Tally, Verdict, summed
from otaru.domain.health import (
    AGES,
    FRESH_H,
    LOOKS,
    Arm,
    Heard,
    Hush,
    Kind,
    Measure,
    Placement,
    Risk,
    Sign,
    Stratum,
)
from otaru.domain.rollout import Learned, Rollout, SequentialRule, Wave, WaveState

_FRESH_AGES = frozenset(i for i, start in enumerate(AGES) if start < FRESH_H)
_MAX_HOURS = 24 * 90
"""Blocks of so many hours are looked at, the newest."""
_WORD = {Call.EXPAND: "goes on", Call.HOLD: "waits", Call.STOP: "stops"}


def ruling(rule: SequentialRule, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
    """What the rule says of the waves and segments of a rollout, and how high its pace lets it go."""
    cold, by_segment = learn([], [s.index for s in rollout.segments])
    fleet = cold if rule.whole is None else _tolerance(rule.whole)
    own = {i: _tolerance(x) for i, x in enumerate(rule.segments)}
    hour = int(now.timestamp()) // 3600
    risks = {} if evidence.risk is None else _split(evidence.risk)
    by_wave = evidence.segments
    not_counted = excused(evidence.told)
    seen = [
        replace(
            _segment(
                rollout,
                own.get(s.index, by_segment[s.index]),
                summed(by_wave.get(s.index, {}).values()),
                not_counted.get(s.index, NOTHING),
                _health(_ratios(rule), risks.get(s.index), hour),
            ),
            changes=_changes(rule.telemetry, risks.get(s.index)),
            silence=Health().after(_hushes(risks.get(s.index))),
            overdue=_overdue(risks.get(s.index)),
        )
        for s in rollout.segments
    ]
    # Whom a person released against our word, and who is held, says nothing of the others.
    dumb = {s.index for s in rollout.segments if s.held or s.overruled}
    found = sequential.judge(fleet, seen, rule.alpha, dumb)
    going = [x for i, x in enumerate(seen) if i not in dumb]
    compared = {i: _compared([r]) for i, r in risks.items()}
    heard = _compared([r for i, r in risks.items() if i not in dumb])
    findings = [_finding(None, found.whole, going, fleet, words.Beside(heard, evidence.dark))]
    if len(seen) > 1:
        findings += [
            _finding(i, f, [seen[i]], seen[i].tolerance, words.Beside(compared.get(i, ()), evidence.dark))
            for i, f in enumerate(found.segments)
        ]
    overruled = any(wave.state is WaveState.OVERRULED for wave in rollout.waves)
    overruled = overruled and found.whole.call is Call.STOP
    call = Call.EXPAND if overruled or not going else found.whole.call
    return Ruling(
        waves={w.index: _of_wave(w, evidence.without(rollout.held), call, findings[0]) for w in rollout.waves},
        # A single segment is the whole: then it is the rollout that stops.
        segments={i: _of_segment(f, findings[i + 1]) for i, f in enumerate(found.segments)} if len(seen) > 1 else {},
        # Where there is no outcome yet the budget is what canaries cost; it needs no verdict.
        ahead=rollout.watermark
        if call is Call.STOP or sequential.lost(going)
        else _ahead(rollout, seen, evidence, risks, now),
        findings=tuple(findings),
    )


def _tolerance(learned: Learned) -> Tolerance:
    return Tolerance(learned.centre, learned.spread, learned.degrees)


def _ratios(rule: SequentialRule) -> Ratios:
    def ratio(learned: Learned | None, usual: Ratio) -> Ratio:
        return usual if learned is None else Ratio(learned.centre, learned.spread, learned.degrees)

    return Ratios(ratio(rule.fresh, USUAL.fresh), ratio(rule.settled, USUAL.settled))


def _split(risk: Risk) -> dict[int, Risk]:
    """By segment, so that each is gone through once."""
    moves: dict[int, dict[tuple[int, Arm, int], int]] = {}
    heard: dict[int, dict[Stratum, Heard]] = {}
    for move, devices in risk.moves.items():
        moves.setdefault(move[0], {})[move] = devices
    placed: dict[int, dict[Placement, int]] = {}
    hushed: dict[int, dict[Hush, Heard]] = {}
    for hush, counted in risk.hushed.items():
        hushed.setdefault(hush.segment, {})[hush] = counted
    for cell, events in risk.heard.items():
        heard.setdefault(cell.segment, {})[cell] = events
    for placement, number in risk.placed.items():
        placed.setdefault(placement.segment, {})[placement] = number
    return {
        s: Risk(risk.rollout, heard.get(s, {}), of_it, placed.get(s, {}), hushed.get(s, {}))
        for s, of_it in moves.items()
    }


def _hushes(risk: Risk | None) -> list[Block]:
    """One block for each hour and sign: who stopped being heard, of those who could have."""
    cells = risk.hushed if risk is not None else {}
    nobody = Heard(0, 0)

    def at_risk(hour: int, sign: Sign, arm: Arm, *, fresh: bool = False) -> AtRisk:
        segment = next(iter(cells)).segment
        found = cells.get(Hush(hour, segment, sign, arm, fresh), nobody)
        return AtRisk(found.events, float(found.devices))

    return [
        Block(
            at_risk(hour, sign, Arm.UPDATED, fresh=True),
            at_risk(hour, sign, Arm.UPDATED),
            at_risk(hour, sign, Arm.CONTROL),
        )
        for hour, sign in sorted({(h.hour, h.sign) for h in cells if h.sign in {Sign.SILENT, Sign.MUTE}})
    ]


def _overdue(risk: Risk | None) -> int:
    """How many are overdue with their report, as of the last hour that was looked at."""
    cells = risk.hushed if risk is not None else {}
    newest = max((h.hour for h in cells), default=0)
    return sum(n.events for h, n in cells.items() if h.sign is Sign.OVERDUE and h.hour == newest)


def _changes(measures: Sequence[Measure], risk: Risk | None) -> Changes:
    """What a segment's telemetry says: one bet for each measurement and look."""
    bets: dict[tuple[str, int], Bets] = {}
    judged = {m.name for m in measures}
    for at, devices in (risk.placed if risk is not None else {}).items():
        if at.name in judged:
            key = (at.name, at.look)
            bets[key] = bets.get(key, Bets()).often(beyond(at.score), devices)
    return Changes(len(measures) * len(LOOKS), bets)


def _compared(risks: Sequence[Risk]) -> tuple[words.Compared, ...]:
    times: dict[str, int] = {}
    worse: dict[str, float] = {}
    for risk in risks:
        for at, devices in risk.placed.items():
            times[at.name] = times.get(at.name, 0) + devices
            worse[at.name] = worse.get(at.name, 0.0) + devices * (1 + at.score) / 2
    return tuple(words.Compared(name, n, worse[name] / n) for name, n in sorted(times.items()) if n)


def _unordered(rollout: Rollout) -> frozenset[State]:
    """States in which members have been told to download and not to install: they are exposed to nothing."""
    return NOT_BEGUN if rollout.policy.downloads_first else frozenset()


def _segment(
    rollout: Rollout, tolerance: Tolerance, tally: Tally, not_counted: Count, health: Health
) -> sequential.Segment:
    return sequential.Segment(
        tolerance=tolerance,
        outcomes=outcomes(tally, not_counted),
        excused=not_counted,
        health=health,
        told=tally.members - tally.of(State.SCHEDULED, State.SKIPPED, State.CANCELLED, *_unordered(rollout)),
    )


def _health(ratios: Ratios, risk: Risk | None, hour: int) -> Health:
    """What a segment's events say. Hours that are over stay as they are: they are looked at once, not at every look."""
    if risk is None:
        return Health(ratios)
    blocks = blocks_of(risk, next(s for s, _, _ in risk.moves), hour)
    return _over(ratios, tuple(blocks[:-1])).after(blocks[-1:])


@lru_cache(maxsize=128)
def _over(ratios: Ratios, blocks: tuple[Block, ...]) -> Health:
    return Health(ratios).after(blocks)


def outcomes(tally: Tally, not_counted: Count = NOTHING) -> Count:
    """How installations ended. A no of the device or its owner is no outcome."""
    tried = tally.failures + tally.of(State.SUCCEEDED)
    return Count(tally.failures - not_counted.failed, tried - not_counted.tried)


def blocks_of(risk: Risk, segment: int, hour: int) -> list[Block]:
    """One block for each hour until `hour`, by who was in which arm at its end.

    A device that told of several kinds of events within an hour had one fault: of the kinds the most frequent counts. What
    went wrong with an installation is an outcome, not an event after it.
    """
    moves = {(a, h): n for (s, a, h), n in risk.moves.items() if s == segment and h <= hour}
    if not moves:
        return []
    first = max(min(h for _, h in moves), hour - _MAX_HOURS)
    hours = range(first, hour + 1)
    before = {arm: sum(n for (a, h), n in moves.items() if a is arm and h < first) for arm in Arm}
    control = _running(before[Arm.CONTROL], [moves.get((Arm.CONTROL, h), 0) for h in hours])
    came = [moves.get((Arm.UPDATED, h), 0) for h in hours]
    updated = _running(before[Arm.UPDATED], came)
    events = _events(risk, segment)
    blocks = []
    for i, at in enumerate(hours):
        fresh = max(0, min(updated[i], sum(came[max(0, i - FRESH_H + 1) : i + 1])))
        blocks.append(
            Block(
                _at_risk(events.get((Arm.UPDATED, at, True), 0), fresh),
                _at_risk(events.get((Arm.UPDATED, at, False), 0), updated[i] - fresh),
                _at_risk(events.get((Arm.CONTROL, at, False), 0), control[i]),
            )
        )
    return blocks


def _running(start: int, moves: Iterable[int]) -> list[int]:
    return [max(0, n) for n in accumulate(moves, initial=start)][1:]


def _at_risk(events: int, devices: int) -> AtRisk:
    """Who had an event was at risk, even where he has moved on since."""
    return AtRisk(events, float(max(events, devices)))


def _events(risk: Risk, segment: int) -> dict[tuple[Arm, int, bool], int]:
    """Devices with an event by arm, hour and whether they were fresh."""
    by_kind: dict[tuple[Arm, int, bool, Kind], int] = {}
    for cell, heard in risk.heard.items():
        if cell.segment == segment and cell.kind is not Kind.INSTALL:
            fresh = cell.arm is Arm.UPDATED and cell.age in _FRESH_AGES
            key = (cell.arm, cell.hour, fresh, cell.kind)
            by_kind[key] = by_kind.get(key, 0) + heard.devices
    found: dict[tuple[Arm, int, bool], int] = {}
    for (arm, at, fresh, _), devices in by_kind.items():
        found[arm, at, fresh] = max(found.get((arm, at, fresh), 0), devices)
    return found


def _finding(
    index: int | None,
    found: sequential.Finding,
    segments: Sequence[sequential.Segment],
    tolerance: Tolerance,
    beside: words.Beside,
) -> Finding:
    told = words.explained(found, segments, tolerance.expected, tolerance.limit, beside)
    return Finding(
        segment=index,
        call=found.call,
        log_e=found.log_e,
        log_threshold=found.log_threshold,
        failed=told.failed,
        tried=told.tried,
        words=words.sentences(found, told),
    )


def _reason(finding: Finding) -> str:
    counts = f"{finding.failed:,} of {finding.tried:,} failed"
    e, threshold = exp(min(finding.log_e, 700)), exp(finding.log_threshold)
    shown = f"{e:,.0f}" if 1000 <= e < 1_000_000 else f"{e:,.3g}"
    return f"{counts}, e-value {shown} against {threshold:,.0f}"


def _of_segment(found: sequential.Finding, finding: Finding) -> Verdict:
    """A segment whose threshold is reached is held: that is what stop means of a segment."""
    reached = found.log_e >= found.log_threshold
    call = Call.STOP if reached else found.call
    return Verdict(
        call, f"worse than tolerated: {_reason(finding)}" if reached else f"{found.because}; {_reason(finding)}"
    )


def _of_wave(wave: Wave, evidence: Evidence, call: Call, finding: Finding) -> Verdict:
    """A wave passes when all its members have ended, some of them well, and nothing speaks against the release."""
    if call is Call.STOP:
        return Verdict(Call.STOP, f"worse than tolerated: {_reason(finding)}")
    tally = evidence.wave(wave.index)
    succeeded = tally.of(State.SUCCEEDED)
    if call is Call.EXPAND and succeeded and tally.final == tally.members:
        return Verdict(Call.EXPAND, f"{succeeded:,} of {tally.judged:,} succeeded; {_reason(finding)}")
    return Verdict(Call.HOLD, f"{tally.final:,} of {tally.members:,} have ended; {_reason(finding)}")


def _ahead(
    rollout: Rollout, seen: Sequence[sequential.Segment], evidence: Evidence, risks: Mapping[int, Risk], now: datetime
) -> int:
    """How high the waves may open: what is due already, and what the harm budget has room for beside it."""
    opened = {w.index: w for w in rollout.waves if w.state is not WaveState.PENDING}
    hour = int(now.timestamp()) // 3600
    exposures, left, by_wave = [], [], evidence.segments
    for segment, state in zip(rollout.segments, seen, strict=True):
        if segment.held:
            continue
        cells = by_wave.get(segment.index, {})
        due = sum(t.members for w, t in cells.items() if w in opened)
        out = sum(t.of(*_out(rollout, opened[w], now)) for w, t in cells.items() if w in opened)
        mature = _mature(risks.get(segment.index), hour)
        exposures.append(
            pace.Exposure(
                size=segment.size,
                tried=state.outcomes.tried,
                failed=state.outcomes.failed,
                mature=mature,
                immature=max(0.0, due - out - mature),
                late=state.health.excess,
                expected=state.tolerance.expected,
                tolerated=state.tolerance.limit,
            )
        )
        left.append(segment.size - due)
    open_left, whole_left = sum(left), rollout.size - rollout.watermark
    if open_left <= 0:
        return rollout.size
    ahead = rollout.watermark + sum(pace.room(exposures, left)) * whole_left // open_left
    if sum(e.immature for e in exposures) >= 1:
        return ahead
    # Everything that is out has matured: without another wave nothing more would ever be known.
    pending = (w.height for w in rollout.waves if w.state is WaveState.PENDING)
    return max(ahead, min(pending, default=ahead))


def _out(rollout: Rollout, wave: Wave, now: datetime) -> tuple[State, ...]:
    """States of due members that are no exposure: who ended without the release, and who has not come for a day."""
    ended = (State.SKIPPED, State.CANCELLED, State.REJECTED, *FAILURES)
    late = wave.opened_at is not None and now - wave.opened_at >= timedelta(hours=pace.MATURE_H)
    return (*ended, State.SCHEDULED, *_unordered(rollout)) if late else ended


def _mature(risk: Risk | None, hour: int) -> float:
    """Devices of a segment that run the release, by how long they do."""
    if risk is None:
        return 0.0
    return max(0.0, sum(n * pace.ripe(hour - h) for (_, arm, h), n in risk.moves.items() if arm is Arm.UPDATED))
