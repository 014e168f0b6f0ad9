"""What a scenario makes of one device: pure, and the same each time the same seed is asked (as `model`).

Times are virtual seconds from the story's beginning.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import floor
from random import Random
from typing import TypeVar

from otaru.apps.simulator import model
from otaru.apps.simulator.model import End, Fate, Odds
from otaru.apps.simulator.scenario.script import Habit, Harm, HarmKind, Outage, Scenario

T = TypeVar("T")

DAY_S = 86_400.0
WAKING_S = 60.0
"""After an outage devices come back spread over this many seconds times ten."""
MAX_CRASHES = 20
"""A device tells of so many at one contact."""
HARM_WORDS = "Health check failed after the update; went back to the old version."
OUTAGE_WORDS = "Health check failed: the server cannot be reached; went back to the old version."


@dataclass(frozen=True, slots=True)
class Nature:
    """What a device is, for all its life."""

    me: model.Character
    habit: Habit
    east_h: float
    battery_phase: float
    reboot_phase: float
    postpones: bool

    def battery(self, at_s: float) -> float:
        """Percent: it falls by day and is charged by night, each device a little aside of the others."""
        day = (at_s / DAY_S + self.east_h / 24 + self.battery_phase * 0.5) % 1.0
        return 100.0 - 85.0 * day / 0.8 if day < 0.8 else 15.0 + 85.0 * (day - 0.8) / 0.2


def nature(scenario: Scenario, device: str) -> Nature:
    """Draw what a device is."""
    random = Random(f"{scenario.seed}/{device}/nature")  # noqa: S311 - a story, not a secret
    return Nature(
        me=model.character(scenario.seed, device, scenario.hardware, Odds()),
        habit=_drawn(random, [(habit, habit.weight) for habit in scenario.habits]),
        east_h=_drawn(random, scenario.zones),
        battery_phase=random.random(),
        reboot_phase=random.random(),
        postpones=random.random() < scenario.owners.share,
    )


def _drawn(random: Random, weighted: Sequence[tuple[T, float]]) -> T:
    bounds = list(accumulate(weight for _, weight in weighted))
    return weighted[min(bisect(bounds, random.random() * bounds[-1]), len(weighted) - 1)][0]


def first_contact(of: Nature) -> float:
    """When the device is heard of first: somewhere in its first interval."""
    return _awake(of, of.me.phase * of.habit.every_s)


def next_contact(scenario: Scenario, device: str, of: Nature, number: int, now_s: float) -> float:
    """When it checks in after its so-manyth contact, at `now_s`; polls that get lost are left out."""
    random = Random(f"{scenario.seed}/{device}/poll/{number}")  # noqa: S311
    at_s = now_s + of.habit.every_s * random.uniform(0.9, 1.1)
    while random.random() < min(scenario.loss, 0.9):
        at_s += of.habit.every_s
    return _awake(of, at_s)


def _awake(of: Nature, at_s: float) -> float:
    """The moment, or when the device is switched on next."""
    if of.habit.office is None:
        return at_s
    begins, ends = (hour * 3600 for hour in of.habit.office)
    local = at_s + of.east_h * 3600
    time_of_day = local % DAY_S
    if begins <= time_of_day < ends:
        return at_s
    wait = begins - time_of_day if time_of_day < begins else begins + DAY_S - time_of_day
    return at_s + wait + of.me.phase * min(900.0, ends - begins - 1)


def back_after(scenario: Scenario, device: str, of: Nature, now_s: float) -> float | None:
    """When a device that is cut off now is back; None where it is not."""
    for number, outage in enumerate(scenario.outages):
        if _within(outage, now_s) and _is_hit(scenario, device, number, outage):
            return outage.from_s + outage.for_s + of.me.phase * WAKING_S * 10
    return None


def _within(outage: Outage, now_s: float) -> bool:
    return outage.from_s <= now_s < outage.from_s + outage.for_s


def _is_hit(scenario: Scenario, device: str, number: int, outage: Outage) -> bool:
    return outage.share >= 1 or Random(f"{scenario.seed}/{device}/outage/{number}").random() < outage.share  # noqa: S311


@dataclass(frozen=True, slots=True)
class Lot:
    """What one update will be like: its fate, how often the power fails in it, and what the release does later."""

    fate: Fate
    power_cuts: int
    harmed: bool
    """Whether it is the release that harms, at once or later."""
    silent_after_s: float | None = None
    """So long after it came up the device is gone."""
    crashes_after_s: float | None = None
    """So long after it came up it crashes first."""
    crash_every_s: float = 0.0
    drains_after_s: float | None = None
    """So long after it came up its battery holds `drains_by` percent less."""
    drains_by: float = 0.0


def lot(scenario: Scenario, device: str, of: Nature, action: int, version: str, now_s: float) -> Lot:
    """Draw what the device's update `action`, begun now, will be like."""
    fated = model.fate(scenario.seed, device, action, version, of.me, Odds(fail=scenario.base_failure))
    random = Random(f"{scenario.seed}/{device}/{action}/scenario")  # noqa: S311
    cut, chance, out = random.random(), random.random(), random.random()
    cuts = 0
    while cut < scenario.power_cuts ** (cuts + 1) and cuts < 5:
        cuts += 1
    for outage in scenario.outages:
        if _within(outage, now_s) and out < outage.fails:
            return Lot(replace(fated, end=End.BOOT_FAILS, words=OUTAGE_WORDS), cuts, harmed=False)
    for harm in scenario.harms:
        if not _applies(harm, of, version, now_s) or chance >= harm.share:
            continue
        later_s = harm.after_s + _reboots_s(scenario, of, harm.after_reboots, now_s)
        if harm.kind is HarmKind.INSTALL and later_s == 0:
            return Lot(replace(fated, end=End.BOOT_FAILS, words=HARM_WORDS), cuts, harmed=True)
        runs = replace(fated, end=End.SUCCESS)
        if harm.kind is HarmKind.CRASH:
            return Lot(runs, cuts, harmed=True, crashes_after_s=later_s, crash_every_s=harm.every_s)
        if harm.kind is HarmKind.DRAIN:
            return Lot(runs, cuts, harmed=True, drains_after_s=later_s, drains_by=harm.by)
        return Lot(runs, cuts, harmed=True, silent_after_s=later_s)
    return Lot(fated, cuts, harmed=False)


def _applies(harm: Harm, of: Nature, version: str, now_s: float) -> bool:
    hardware = of.me.hardware
    return (
        harm.version == version
        and harm.hardware in {"", hardware.model, hardware.revision, str(hardware)}
        and (harm.battery_below >= 100 or of.battery(now_s) < harm.battery_below)
    )


def _reboots_s(scenario: Scenario, of: Nature, reboots: int, now_s: float) -> float:
    """How long until the device's so-manyth regular reboot from now on."""
    if reboots == 0:
        return 0.0
    every = scenario.reboot_every_s
    done = floor(now_s / every + of.reboot_phase)
    return (done + reboots - of.reboot_phase) * every - now_s


@dataclass(slots=True)
class ScenarioLife:
    """The life (`model.Life`) that a scenario gives to a device, whatever road it takes."""

    scenario: Scenario
    device: str
    of: Nature
    now_s: Callable[[], float]
    """The story's time."""
    harmed: int = 0
    """Updates that the release made bad, at once or later."""
    met: int = 0
    """Updates to a release that is bad for such as this device, whether or not it harmed this one."""
    power_cuts: int = 0
    postponed: int = 0
    gone_at_s: float | None = None
    crashes_from_s: float | None = None
    """When it crashed first, or will, of what it runs."""
    crash_every_s: float = 0.0
    drains_from_s: float | None = None
    drains_by: float = 0.0

    def comes_up_s(self) -> float:
        """See `model.Life`."""
        return first_contact(self.of)

    def away_s(self, poll: int) -> float:
        """See `model.Life`: as long as it is cut off."""
        del poll
        now_s = self.now_s()
        back_s = back_after(self.scenario, self.device, self.of, now_s)
        return 0.0 if back_s is None else back_s - now_s

    def until_next_s(self, poll: int, told_s: float) -> float:
        """See `model.Life`: by its own habit."""
        del told_s
        now_s = self.now_s()
        return next_contact(self.scenario, self.device, self.of, poll, now_s) - now_s

    def gone(self) -> bool:
        """See `model.Life`."""
        return self.gone_at_s is not None and self.now_s() >= self.gone_at_s

    def steps(self, action: int, version: str) -> Iterator[model.Step]:
        """See `model.Life`: put off by its owner, cut by the power, harmed by the release."""
        while self.of.postpones and self.postponed < self.scenario.owners.times:
            self.postponed += 1
            yield model.Rest(self.scenario.owners.for_s, "put off")
            yield model.Ask()
        drawn = lot(self.scenario, self.device, self.of, action, version, self.now_s())
        self.met += any(_applies(harm, self.of, version, self.now_s()) for harm in self.scenario.harms)
        self.power_cuts += drawn.power_cuts
        yield from _cut(model.update(drawn.fate, version), drawn.power_cuts)
        self.harmed += drawn.harmed
        if drawn.silent_after_s is not None:
            self.gone_at_s = self.now_s() + drawn.silent_after_s
        if drawn.fate.end is End.SUCCESS:
            later_s = drawn.crashes_after_s
            self.crashes_from_s = None if later_s is None else self.now_s() + later_s
            self.crash_every_s = drawn.crash_every_s
            drain_s = drawn.drains_after_s
            self.drains_from_s = None if drain_s is None else self.now_s() + drain_s
            self.drains_by = drawn.drains_by

    def battery(self, number: int) -> float | None:
        """What it tells of its battery at its so-manyth contact; None where that gets lost."""
        if Random(f"{self.scenario.seed}/{self.device}/battery/{number}").random() < self.scenario.telemetry_loss:  # noqa: S311
            return None
        holds, now_s = self.of.battery(self.now_s()), self.now_s()
        drained = self.drains_from_s is not None and now_s >= self.drains_from_s
        return round(max(0.0, holds - self.drains_by) if drained else holds, 1)

    def crashes(self, since_s: float, number: int) -> int:
        """How many crashes since then it tells of at its so-manyth contact: by chance, and of what it runs."""
        now_s = self.now_s()
        random = Random(f"{self.scenario.seed}/{self.device}/crash/{number}")  # noqa: S311 - a story, not a secret
        crashed = 0
        if self.scenario.crash_every_s:
            at_s = since_s + random.expovariate(1 / self.scenario.crash_every_s)
            while at_s < now_s and crashed < MAX_CRASHES:
                crashed += 1
                at_s += random.expovariate(1 / self.scenario.crash_every_s)
        if self.crashes_from_s is not None:
            crashed += _beats(self.crashes_from_s, self.crash_every_s, now_s)
            crashed -= _beats(self.crashes_from_s, self.crash_every_s, since_s)
        return sum(random.random() >= self.scenario.telemetry_loss for _ in range(min(crashed, MAX_CRASHES)))


def _beats(from_s: float, every_s: float, until_s: float) -> int:
    """How many of what happens at `from_s` and then each so many seconds happened before or at a moment."""
    return floor((until_s - from_s) / every_s) + 1 if until_s >= from_s else 0


def _cut(steps: Iterator[model.Step], cuts: int) -> Iterator[model.Step]:
    """With the power failing in the middle of the installation: half of it is lost, and it begins anew."""
    for step in steps:
        if isinstance(step, model.Rest) and step.why == "installing":
            for _ in range(cuts):
                yield model.Rest(step.span_s / 2, "power cut")
                yield model.Rest(120.0, "coming up")
        yield step
