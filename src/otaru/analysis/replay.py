"""A dry run: a rollout that is planned, played in virtual time on what the fleet's history says (C9).

What is played is the engine's own step with the judge's own ruling. Only devices are put in their place by a model, which
has no chance in it, so that the same history gives the same answer:

- When will a device come? Who polls now and then was last heard of as long ago, in distribution, as it will take until it
  is heard of next (forward and backward recurrence times of a stationary renewal process have one law). So the share of a
  wave that has come `t` after it opened is the share of all members that was last heard of within `t`. Who was never heard
  of never comes. Shares become whole devices by thresholds that are spread evenly over segments and waves.
- Who has come takes as long as the median of the tenant's past updates; of those who ended, a given share has failed.
- Who downloads first is played as installing: from the moment of the order to install, or at once where there is none yet.
- Owners' consent, conditions and each device's own zone are not played.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor

from otaru.domain.deployment import State
from otaru.domain.evidence import Evidence, Ruling, Tally
from otaru.domain.health import Arm, Risk
from otaru.domain.rollout import (
    Install,
    Order,
    Rollout,
    RolloutEvent,
    RolloutState,
    Stratum,
    WaveState,
    cells,
    obey,
    step,
)
from otaru.domain.rollout.outlook import SPANS_S, Outlook

HORIZON_S = 90 * 86_400.0
QUANTILES = (0.5, 0.9, 0.99)
_FIRST_TICK_S = 60.0
_PACE = 1.02
"""Ticks grow with the time that has gone by: what is told of a wave is right to a minute, or to two in a hundred …"""
WORK = 256_000
"""… or, where there is more to look at, to so much that no more than this is looked at: a segment is as much as ten cells."""
_LEAST_TICKS = 60
_QUIET_PACE = 1.05
"""… where only time may give the worker something to do."""
_MAX_STEPS = 200
_RECENT_H = 48
_GOLDEN, _SPREAD = 0.6180339887498949, 0.7548776662466927
"""Their multiples, modulo 1, lie evenly, and so do those of both together."""

Cell = tuple[int, int]
"""Segment and wave."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a rollout would go."""

    state: RolloutState
    """In which it is at the end of what was played."""
    reason: str
    """Why, where something stopped it; empty where it goes on or has finished."""
    ended_s: float | None
    """When it finished, paused or began to stop, in seconds from its start; None where it would go on for longer than HORIZON_S."""
    reached_s: dict[float, float | None]
    """By share of all members: when so many had succeeded."""
    told: int
    """Members that were offered the release: the exposed ones, where it is bad."""
    failed: int
    by_hour: tuple[int, ...]
    """How many were told in each hour, up to the last that told any."""
    held: tuple[str, ...] = ()
    """Names of segments that the judge held."""
    step: float = _PACE - 1
    """From one look to the next so much of the time that has gone by passes: times come out late, the more waves the later."""


@dataclass(slots=True)
class _Play:
    """What happens in virtual time."""

    rollout: Rollout
    sizes: dict[Cell, int]
    outlook: Outlook
    failure: float
    start: datetime
    told: dict[Cell, int] = field(default_factory=dict)
    ended: dict[Cell, int] = field(default_factory=dict)
    under_way: deque[tuple[float, Cell, int]] = field(default_factory=deque)
    hours: dict[int, int] = field(default_factory=dict)
    moves: dict[tuple[int, Arm, int], int] = field(default_factory=dict)
    """Who came into an arm, by segment and hour: what a judge of health needs; no device tells of any event."""

    def come(self, at: float) -> bool:
        """Offer the release to whom it is due, as far as they have come by now; whether anybody was told."""
        window, held, before = self.rollout.install_window, self.rollout.held, len(self.under_way)
        if window is not None and not window.open_at(self.start + timedelta(seconds=at)):
            return False
        reached = {
            wave.index: share_heard(self.outlook, at - (wave.opened_at - self.start).total_seconds())
            for wave in self.rollout.waves
            if wave.opened_at is not None
        }
        for cell, size in self.sizes.items():
            told = self.told.get(cell, 0)
            if told == size or cell[0] in held or cell[1] not in reached:
                continue
            new = floor(size * reached[cell[1]] + self.threshold(cell)) - told
            if new > 0:
                self.told[cell] = told + new
                self.hours[int(at // 3600)] = self.hours.get(int(at // 3600), 0) + new
                self.under_way.append((at + (self.outlook.install_s or 0.0), cell, new))
        return len(self.under_way) > before

    def end(self, at: float) -> bool:
        """End the updates that have taken their time; whether there were any."""
        before = len(self.under_way)
        while self.under_way and self.under_way[0][0] <= at:
            _, cell, number = self.under_way.popleft()
            failed = self.failed(cell)
            self.ended[cell] = self.ended.get(cell, 0) + number
            self._move(cell[0], Arm.CONTROL, at, -number)
            self._move(cell[0], Arm.UPDATED, at, number - (self.failed(cell) - failed))
        return len(self.under_way) < before

    def _move(self, segment: int, arm: Arm, at: float, number: int) -> None:
        place = (segment, arm, int((self.start.timestamp() + at) // 3600))
        self.moves[place] = self.moves.get(place, 0) + number

    def failed(self, cell: Cell) -> int:
        """How many of those who ended there failed."""
        return floor(self.failure * self.ended.get(cell, 0) + self.threshold(cell))

    def threshold(self, cell: Cell) -> float:
        """From which part of a device on it counts as one more, there."""
        return (cell[0] * _SPREAD + (cell[1] + 1) * _GOLDEN) % 1.0

    def evidence(self, at: float) -> Evidence:
        """Members by segment and wave, as the counters would say."""
        cells = {}
        for cell, size in self.sizes.items():
            told, ended, failed = self.told.get(cell, 0), self.ended.get(cell, 0), self.failed(cell)
            counts = {
                State.SCHEDULED: size - told,
                State.OFFERED: told - ended,
                State.SUCCEEDED: ended - failed,
                State.FAILED: failed,
            }
            cells[cell] = Tally({state: number for state, number in counts.items() if number})
        return Evidence(cells, Risk(self.rollout.id, {}, self._recent(at)))

    def _recent(self, at: float) -> dict[tuple[int, Arm, int], int]:
        """Moves between arms; those of long ago as one. Nobody tells of an event, so that hours without any say nothing."""
        oldest, found = int((self.start.timestamp() + at) // 3600) - _RECENT_H, dict[tuple[int, Arm, int], int]()
        for (segment, arm, hour), number in self.moves.items():
            place = (segment, arm, max(hour, oldest))
            found[place] = found.get(place, 0) + number
        return found

    def skip(self) -> None:
        """Who is still scheduled will not be told."""
        self.sizes = {cell: self.told.get(cell, 0) for cell in self.sizes}


def share_heard(outlook: Outlook, span_s: float) -> float:
    """The share of members that was last heard of within a span."""
    members = sum(outlook.heard) + outlook.unheard
    heard, lower = 0.0, 0.0
    for upper, number in zip(SPANS_S, outlook.heard, strict=True):
        if span_s < upper:
            heard += number * max(0.0, span_s - lower) / (upper - lower)
            break
        heard, lower = heard + number, upper
    return heard / members if members else 0.0


def replay(
    rollout: Rollout,
    strata: tuple[Stratum, ...],
    outlook: Outlook,
    ruling: Callable[[Rollout, Evidence, datetime], Ruling],
    *,
    start: datetime,
    failure: float = 0.0,
) -> Course:
    """Play a planned rollout from its start; of those whose update ends, the share `failure` fails."""
    if rollout.policy.download_only and rollout.install is None:
        rollout = replace(rollout, install=Install(start))
    running = obey(rollout, RolloutEvent.START, "", start).rollout
    play = _Play(running, cells(rollout, strata), outlook, failure, start)
    for segment in rollout.segments:
        play.moves[segment.index, Arm.CONTROL, int(start.timestamp() // 3600)] = segment.size
    reached: dict[float, float | None] = dict.fromkeys(QUANTILES)
    pace = paced(len(play.sizes), len(rollout.segments))
    at = 0.0
    ended: float | None = None
    timed, looked_at = True, 0.0
    while at <= HORIZON_S:
        came, went = play.come(at), play.end(at)
        if came or went or (timed and at >= looked_at * max(pace, _QUIET_PACE)):
            timed, looked_at = _work(play, ruling, at), at
        done = sum(play.ended.get(cell, 0) - play.failed(cell) for cell in play.sizes)
        for share in QUANTILES:
            if reached[share] is None and done >= share * rollout.size:
                reached[share] = at
        if play.rollout.state is not RolloutState.RUNNING:
            ended = at
            break
        at = max(at + _FIRST_TICK_S, at * pace)
    return replace(_course(play, reached, ended), step=pace - 1)


def paced(cells: int, segments: int) -> float:
    """How much longer each tick is than the one before, so that what is looked at stays within WORK."""
    ticks = max(_LEAST_TICKS, WORK // (cells + 10 * segments))
    grown: float = (HORIZON_S / _FIRST_TICK_S) ** (1 / ticks)
    return max(_PACE, grown)


def _work(play: _Play, ruling: Callable[[Rollout, Evidence, datetime], Ruling], at: float) -> bool:
    """What the worker would do now; whether time alone may give it more to do."""
    now, policy = play.start + timedelta(seconds=at), play.rollout.policy
    for _ in range(_MAX_STEPS):
        evidence = play.evidence(at)
        ruled = ruling(play.rollout, evidence, now)
        taken = step(play.rollout, evidence, ruled, now)
        if taken is None:
            ends = (policy.wave_timeout, policy.expires_after, policy.end_at)
            return (
                bool(policy.observe)
                or not play.rollout.may_install(now)
                or ruled.ahead is not None
                or any(end is not None for end in ends)
            )
        opened = [w.index for w in taken.rollout.waves if w.state is not WaveState.PENDING]
        more = len(opened) > sum(w.state is not WaveState.PENDING for w in play.rollout.waves)
        play.rollout = taken.rollout
        if Order.SKIP_SCHEDULED in taken.orders or Order.CANCEL_SCHEDULED in taken.orders:
            play.skip()
        if play.rollout.state is not RolloutState.RUNNING or more:
            return True
    return True


def _course(play: _Play, reached: dict[float, float | None], ended: float | None) -> Course:
    rollout = play.rollout
    last = max(play.hours, default=-1)
    return Course(
        state=rollout.state,
        reason=rollout.reason,
        ended_s=ended,
        reached_s=reached,
        told=sum(play.told.values()),
        failed=sum(map(play.failed, play.sizes)),
        by_hour=tuple(play.hours.get(hour, 0) for hour in range(last + 1)),
        held=tuple(s.name for s in rollout.segments if s.held),
    )
