"""The peers' rules and ours, each as: which devices are due now, and when it is over.

Peers see each update's end and, generously, failures that show hours later, as failures of that device; none of them looks
at devices that were not updated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchmarks.safety.world import HORIZON_H, INSTALL_TICKS, TICKS_PER_H, Report, World
from otaru.analysis import pace, rate
from otaru.analysis.dark import excused, spans
from otaru.analysis.health import USUAL, Block, Health, Ratios, Risk, learned
from otaru.analysis.sequential import Segment, judge, lost
from otaru.analysis.tolerance import NOTHING, Count, learn
from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Cohort, Span, Tally
from otaru.domain.health import FRESH_H, Arm, Heard, Hush, Sign
from otaru.domain.rollout import RateRule


class Rule(Protocol):
    """One rollout under one rule."""

    stopped: bool
    held: set[int]

    def may(self, device: int) -> bool:
        """Whether a due device that comes now is told."""
        ...

    def told(self, device: int, tick: int) -> None: ...

    def report(self, report: Report, tick: int) -> None: ...

    def advance(self, tick: int) -> list[int]:
        """Look, and return the devices that become due."""
        ...


@dataclass
class Fixed:
    """What the peers have in common: a global ranking, counts, no segments."""

    world: World
    stopped: bool = False
    held: set[int] = field(default_factory=set)
    due: int = 0
    notified: int = 0
    succeeded: int = 0
    failed: int = 0
    past: int = 0
    """Members of waves before this one, their outcomes do not count for this one."""

    def may(self, device: int) -> bool:
        del device
        return not self.stopped

    def told(self, device: int, tick: int) -> None:
        del device, tick
        self.notified += 1

    def report(self, report: Report, tick: int) -> None:
        del tick
        if report.late:
            self.succeeded -= 1
            self.failed += 1
        elif report.failed:
            self.failed += 1
        else:
            self.succeeded += 1

    def _upto(self, height: int) -> list[int]:
        more = self.world.order[self.due : height]
        self.due = max(self.due, height)
        return more


@dataclass
class HawkBit(Fixed):
    """Ten groups; half of a group succeeded: next group; half of it failed: stop. Shares of the group, as hawkBit counts."""

    group_of: dict[int, int] = field(default_factory=dict)
    good: list[int] = field(default_factory=lambda: [0] * 10)
    bad: list[int] = field(default_factory=lambda: [0] * 10)
    opened: int = 0

    def report(self, report: Report, tick: int) -> None:
        del tick
        group = self.group_of[report.device]
        self.good[group] += -1 if report.late else not report.failed
        self.bad[group] += report.failed

    def advance(self, tick: int) -> list[int]:
        del tick
        size = self.world.size / 10
        if any(b >= 0.5 * size for b in self.bad):
            self.stopped = True
            return []
        if self.opened == 10 or (self.opened and self.good[self.opened - 1] < 0.5 * size):
            return []
        self.opened += 1
        more = self._upto(self.world.size * self.opened // 10)
        self.group_of.update(dict.fromkeys(more, self.opened - 1))
        return more


@dataclass
class Aws(Fixed):
    """AWS IoT Jobs: exponential rate and abort criteria, by our own exact rule."""

    rule: RateRule = field(default_factory=lambda: RateRule(base=50, factor=2, every=1000))

    def advance(self, tick: int) -> list[int]:
        del tick
        tally = Tally({State.SUCCEEDED: self.succeeded, State.FAILED: self.failed})
        if rate.verdict(self.rule, tally).call is Call.STOP:
            self.stopped = True
            return []
        minutes = 60 // TICKS_PER_H
        more = sum(rate.per_minute(self.rule, self.due, self.succeeded) for _ in range(minutes))
        return self._upto(min(self.world.size, self.due + more))


@dataclass
class Stages(Fixed):
    """1, 10, 50, 100 %; a stage is complete when 90 % of it reported, then watched for 24 h; stop above a share of failures."""

    threshold: float = 0.05
    stage: int = 0
    complete_at: int | None = None
    heights = (0.01, 0.10, 0.50, 1.0)

    def advance(self, tick: int) -> list[int]:
        done = self.succeeded + self.failed
        if done >= 20 and self.failed > self.threshold * done:
            self.stopped = True
            return []
        if self.stage and self.complete_at is None and done >= 0.9 * self.due:
            self.complete_at = tick
        if self.stage == len(self.heights):
            return []
        if self.stage and (self.complete_at is None or tick < self.complete_at + 24 * TICKS_PER_H):
            return []
        self.stage, self.complete_at = self.stage + 1, None
        return self._upto(max(self.due + 1, int(self.world.size * self.heights[self.stage - 1])))


@dataclass
class Otaru:
    """Our judge and pace: looks every hour, 3 % holdout until the end."""

    world: World
    alpha: float = 0.01
    stopped: bool = False
    held: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        world = self.world
        count = len(world.sizes)
        past = [{s: Count(k, n) for s, (k, n) in enumerate(rows)} for rows in world.past()]
        self.fleet, own = learn(past, range(count))
        fresh = learned(world.past_events(fresh=True), USUAL.fresh)
        settled = learned(world.past_events(fresh=False), USUAL.settled)
        self.segments = [Segment(own[s], health=Health(Ratios(fresh, settled))) for s in range(count)]
        self.members: list[list[int]] = [[] for _ in range(count)]
        for device in world.order:
            self.members[world.segment[device]].append(device)
        self.limit = [n - round(0.03 * n) for n in world.sizes]
        self.due = [0] * count
        self.quota = [0] * count
        self.lately = [[0, 0] for _ in range(count)]
        """How far each segment was due two hours and one hour ago."""
        self.told_at: list[dict[int, int]] = [{} for _ in range(count)]
        self.notified = [0] * count
        kinds = len(world.kinds)
        self.untouched = [[0] * kinds for _ in range(count)]
        for device, segment in enumerate(world.segment):
            self.untouched[segment][world.kind[device]] += 1
        # Devices running the release, by hours since; the last cell is "for a while".
        self.running = [[[0] * (FRESH_H + 1) for _ in range(kinds)] for _ in range(count)]
        self.late: dict[tuple[int, int, bool], int] = {}
        self.waiting: list[dict[int, int]] = [{} for _ in range(count)]
        self.age: dict[int, int] = {}
        self.ended = [NOTHING] * count
        self.hushed: dict[Hush, Heard] = {}
        self.told_in: dict[int, list[int]] = {}
        """Devices by the hour in which they were told."""
        self.end_of: dict[int, tuple[int, State]] = {}
        """In which hour an installation ended, and how."""

    def may(self, device: int) -> bool:
        segment = self.world.segment[device]
        return not self.stopped and segment not in self.held and self.quota[segment] > 0

    def told(self, device: int, tick: int) -> None:
        segment = self.world.segment[device]
        self.quota[segment] -= 1
        self.notified[segment] += 1
        hour = tick // TICKS_PER_H
        self.told_at[segment][hour] = self.told_at[segment].get(hour, 0) + 1
        self.untouched[segment][self.world.kind[device]] -= 1
        self.waiting[segment][device] = tick
        self.told_in.setdefault(hour, []).append(device)

    def report(self, report: Report, tick: int) -> None:
        segment, kind = self.world.segment[report.device], self.world.kind[report.device]
        if report.late:
            fresh = tick - self.age[report.device] < FRESH_H * TICKS_PER_H
            key = (segment, kind, fresh)
            self.late[key] = self.late.get(key, 0) + 1
            return
        self.waiting[segment].pop(report.device)
        count = self.ended[segment]
        self.ended[segment] = Count(count.failed + report.failed, count.tried + 1)
        self.end_of[report.device] = tick // TICKS_PER_H, State.FAILED if report.failed else State.SUCCEEDED
        if not report.failed:
            self.age[report.device] = tick
            self.running[segment][kind][0] += 1

    def _replace(self, segment: int, **changes: object) -> None:
        self.segments[segment] = replace(self.segments[segment], **changes)  # type: ignore[arg-type]

    def advance(self, tick: int) -> list[int]:
        if tick % TICKS_PER_H:
            return []
        hour = tick // TICKS_PER_H
        for segment in range(len(self.segments)):
            self._watch(segment, hour, tick)
        self._count(hour)
        found = judge(self.fleet, self.segments, self.alpha, self.held)
        if found.whole.call is Call.STOP:
            self.stopped = True
            return []
        self.held |= {s for s, f in enumerate(found.segments) if f.log_e >= f.log_threshold}
        blind = {s for s, segment in enumerate(self.segments) if lost([segment]) is not None}
        return self._expand(tick, self.held | blind)

    def _count(self, hour: int) -> None:
        """Outcomes, but for dark hours."""
        waiting = [sum(of) for of in zip(*self.untouched, strict=True)]
        self.hushed[Hush(hour - 1, 0, Sign.CAME, Arm.CONTROL)] = Heard(self.world.came(hour - 1, waiting), sum(waiting))
        not_counted = excused(self._told(spans(self.hushed, hour)))
        for segment, all_of_them in enumerate(self.ended):
            dark = not_counted.get(segment, NOTHING)
            counted = Count(all_of_them.failed - dark.failed, all_of_them.tried - dark.tried)
            self._replace(segment, outcomes=counted, excused=dark)

    def _told(self, dark: tuple[Span, ...]) -> dict[Cohort, int]:
        told: dict[Cohort, int] = {}
        for hour, devices in self.told_in.items():
            for device in devices if dark and hour < dark[-1].end else ():
                ended, state = self.end_of.get(device, (HORIZON_H, State.INSTALLING))
                under_way = any(hour < span.end and ended >= span.begin for span in dark)
                cohort = Cohort(self.world.segment[device], hour, under_way, state)
                told[cohort] = told.get(cohort, 0) + 1
        return told

    def _watch(self, segment: int, hour: int, tick: int) -> None:
        """One hour of events: hourly and daily devices are strata of their own."""
        world, kinds = self.world, len(self.world.kinds)
        blocks = []
        for stratum in (range(kinds - 1), range(kinds - 1, kinds)):
            control = sum(world.events(hour, k, self.untouched[segment][k]) for k in stratum)
            hours = sum(self.untouched[segment][k] for k in stratum)
            updated = []
            for young in (True, False):
                events, at_risk = 0, 0
                for k in stratum:
                    cells = self.running[segment][k]
                    n = sum(cells[:FRESH_H]) if young else cells[FRESH_H]
                    at_risk += n
                    events += world.events(hour, k, n, fresh=young) + self.late.pop((segment, k, young), 0)
                updated.append(Risk(events, max(at_risk, events)))
            blocks.append(Block(updated[0], updated[1], Risk(control, hours)))
        for cells in self.running[segment]:
            cells[FRESH_H] += cells[FRESH_H - 1]
            cells[1:FRESH_H] = cells[: FRESH_H - 1]
            cells[0] = 0
        before = self.segments[segment]
        overdue = sum(tick - at > INSTALL_TICKS + TICKS_PER_H for at in self.waiting[segment].values())
        self._replace(
            segment,
            health=before.health.after(blocks),
            told=self.notified[segment],
            overdue=overdue,
        )

    def _expand(self, tick: int, shut: set[int]) -> list[int]:
        hour, more = tick // TICKS_PER_H, []
        left = [n - told for n, told in zip(self.limit, self.notified, strict=True)]
        if not any(n for s, n in enumerate(left) if s not in shut):
            return []
        rooms = pace.room([self._exposure(s, hour) for s in range(len(self.segments))], left)
        for segment, room in enumerate(rooms):
            self.quota[segment] = 0 if segment in shut else room
            if segment in shut:
                continue
            # Those who have been due for two hours come once a day: they hold no room, the quota bounds them.
            slow = max(0, self.lately[segment][0] - self.notified[segment])
            height = max(self.due[segment], min(self.limit[segment], self.notified[segment] + slow + room))
            more += self.members[segment][self.due[segment] : height]
            self.due[segment] = height
            self.lately[segment] = [self.lately[segment][1], height]
        return more

    def _exposure(self, segment: int, hour: int) -> pace.Exposure:
        state = self.segments[segment]
        mature = immature = 0.0
        for at, n in self.told_at[segment].items():
            ripe = pace.ripe(hour - at)
            mature += ripe * n
            immature += (1 - ripe) * n
        return pace.Exposure(
            size=self.world.sizes[segment],
            tried=state.outcomes.tried,
            failed=state.outcomes.failed,
            mature=mature,
            immature=immature,
            late=state.health.excess,
            expected=state.tolerance.expected,
            tolerated=state.tolerance.limit,
        )


Make = Callable[[World], Rule]
