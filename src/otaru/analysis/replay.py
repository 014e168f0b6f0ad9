"""A dry run: a rollout that is planned, played in virtual time on what the fleet's history says (C9).

What is played is the engine's own step with the judge's own ruling. Only devices are put in their place by a model, which
has no chance in it, so that the same history gives the same answer:

- When will a device come? Who polls now and then was last heard of as long ago, in distribution, as it will take until it
  is heard of next (forward and backward recurrence times of a stationary renewal process have one law). So the share of a
  wave that has come `t` after it opened is the share of all members that was last heard of within `t`. Who was never heard
  of never comes. Shares become whole devices by thresholds that are spread evenly over segments and waves.
- Who has come takes as long as the median of the tenant's past updates; of those who ended, a given share has failed.
- Owners' consent, conditions and each device's own zone are not played.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import floor

from otaru.domain.deployment import State
from otaru.domain.evidence import Evidence, Ruling, Tally
from otaru.domain.rollout import Order, Rollout, RolloutEvent, RolloutState, Stratum, WaveState, cells, obey, step
from otaru.domain.rollout.outlook import SPANS_S, Outlook

HORIZON_S = 90 * 86_400.0
QUANTILES = (0.5, 0.9, 0.99)
_FIRST_TICK_S = 60.0
_PACE = 1.02
"""Ticks grow with the time that has gone by: what is told is right to a minute, or to two in a hundred."""
_MAX_STEPS = 200
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

    def come(self, at: float) -> None:
        """Offer the release to whom it is due, as far as they have come by now."""
        window, held = self.rollout.policy.window, self.rollout.held
        if window is not None and not window.open_at(self.start + timedelta(seconds=at)):
            return
        opened = {
            w.index: (w.opened_at - self.start).total_seconds() for w in self.rollout.waves if w.opened_at is not None
        }
        for cell, size in self.sizes.items():
            if cell[0] in held or cell[1] not in opened:
                continue
            share = share_heard(self.outlook, at - opened[cell[1]])
            new = floor(size * share + self.threshold(cell)) - self.told.get(cell, 0)
            if new > 0:
                self.told[cell] = self.told.get(cell, 0) + new
                self.hours[int(at // 3600)] = self.hours.get(int(at // 3600), 0) + new
                self.under_way.append((at + (self.outlook.install_s or 0.0), cell, new))

    def end(self, at: float) -> None:
        """End the updates that have taken their time."""
        while self.under_way and self.under_way[0][0] <= at:
            _, cell, number = self.under_way.popleft()
            self.ended[cell] = self.ended.get(cell, 0) + number

    def failed(self, cell: Cell) -> int:
        """How many of those who ended there failed."""
        return floor(self.failure * self.ended.get(cell, 0) + self.threshold(cell))

    def threshold(self, cell: Cell) -> float:
        """From which part of a device on it counts as one more, there."""
        return (cell[0] * _SPREAD + (cell[1] + 1) * _GOLDEN) % 1.0

    def evidence(self) -> Evidence:
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
        return Evidence(cells)

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
    running = obey(rollout, RolloutEvent.START, "", start).rollout
    play = _Play(running, cells(rollout, strata), outlook, failure, start)
    reached: dict[float, float | None] = dict.fromkeys(QUANTILES)
    at = 0.0
    ended: float | None = None
    while at <= HORIZON_S:
        play.come(at)
        play.end(at)
        _work(play, ruling, at)
        done = sum(play.ended.get(cell, 0) - play.failed(cell) for cell in play.sizes)
        for share in QUANTILES:
            if reached[share] is None and done >= share * rollout.size:
                reached[share] = at
        if play.rollout.state is not RolloutState.RUNNING:
            ended = at
            break
        at = max(at + _FIRST_TICK_S, at * _PACE)
    return _course(play, reached, ended)


def _work(play: _Play, ruling: Callable[[Rollout, Evidence, datetime], Ruling], at: float) -> None:
    """What the worker would do now."""
    now = play.start + timedelta(seconds=at)
    for _ in range(_MAX_STEPS):
        evidence = play.evidence()
        taken = step(play.rollout, evidence, ruling(play.rollout, evidence, now), now)
        if taken is None:
            return
        opened = [w.index for w in taken.rollout.waves if w.state is not WaveState.PENDING]
        more = len(opened) > sum(w.state is not WaveState.PENDING for w in play.rollout.waves)
        play.rollout = taken.rollout
        if Order.SKIP_SCHEDULED in taken.orders or Order.CANCEL_SCHEDULED in taken.orders:
            play.skip()
        if play.rollout.state is not RolloutState.RUNNING or more:
            return


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
