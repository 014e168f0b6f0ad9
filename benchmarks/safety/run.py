"""One rollout under one rule, from its start to its stop or to the last device."""

from dataclasses import dataclass
from random import Random

from benchmarks.safety.rules import Make
from benchmarks.safety.world import HORIZON_H, TICKS_PER_H, Scenario, World


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    stopped: bool
    held: frozenset[int]
    exposed: int
    """Devices that were told of a bad release, of those it is bad for; of a good one: all that were told."""
    hours: float | None
    """Until 90 % of the fleet had it."""
    others: float
    """The share of the devices it is not bad for that had it in the end."""


def run(scenario: Scenario, size: int, make: Make, seed: str) -> Outcome:
    """Play it. The same seed is the same fleet, whatever the rule."""
    world = World(scenario, size, Random(seed))
    rule = make(world)
    told: set[int] = set()
    hours: float | None = None
    last = 0
    for tick in range(HORIZON_H * TICKS_PER_H):
        for report in world.reports.pop(tick, ()):
            rule.report(report, tick)
        for device in rule.advance(tick):
            world.call(device, tick)
        if rule.stopped:
            break
        for device in world.coming.pop(tick, ()):
            if rule.may(device):
                told.add(device)
                world.tell(device, tick)
                rule.told(device, tick)
                last = tick
            elif world.segment[device] not in rule.held:
                world.call(device, tick)
        if hours is None and len(told) >= 0.9 * size:
            hours = tick / TICKS_PER_H
        if tick > last + 36 * TICKS_PER_H and not world.reports:
            break
    harmed = [d for d in told if scenario.good or world.bad_for(d)]
    others = [d for d in range(size) if not world.bad_for(d)]
    reached = sum(d in told for d in others) / len(others) if others else 0.0
    return Outcome(rule.stopped, frozenset(rule.held), len(harmed), hours, reached)
