"""A fleet in virtual time: when devices come, how updates end, what happens to devices that nobody updates.

One tick is ten minutes. A device that is due is told at its next contact, installs in two ticks and reports. Nothing here
knows how a release is judged; everything random comes from the seed of the run.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log1p, sqrt
from random import Random

from otaru.analysis.health import Risk
from otaru.domain.health import FRESH_H

TICKS_PER_H = 6
INSTALL_TICKS = 2
HORIZON_H = 336
PAST_RELEASES = 10

REVISIONS = (0.30, 0.20, 0.15, 0.10, 0.08, 0.07, 0.05, 0.05)
"""Shares of the hardware revisions. The last one is the bad one, where one is bad."""
_FACTORS = (0.9, 1.1, 1.0, 0.8, 1.3, 0.9, 1.2, 1.0)
"""How much likelier than usual an update fails on each revision, always: the past shows it."""
BAD_REVISION = len(REVISIONS) - 1
EVENTS_PER_H = 0.0004
"""Crashes, watchdog resets, silences of a device that is not updated, about 1 % a day."""


@dataclass(frozen=True)
class Scenario:
    """What the release and the world are like."""

    name: str
    base: float = 0.01
    """The failure rate of good releases."""
    extra: float = 0.0
    """What a bad release adds to it."""
    late: bool = False
    """Whether that shows only hours after a good installation (2 h and more, 8 h on average)."""
    only: int | None = None
    """The one revision on which the release is bad."""
    outage: tuple[int, int] | None = None
    """Hours in which no device reaches the server; installations under way fail for three in ten."""
    varies: float = 0.0
    """The standard deviation of good releases' failure rates, as a share of the rate."""
    eager: bool = False
    """Half of the devices come often, are updated first, and fail more than twice as often as the others, always."""
    infant: float = 0.0
    """The share of devices that any restart brings down within hours, whatever the release."""
    lost: tuple[int, int] | None = None
    """Hours in which half of the reports are held up until the end and half of the events are lost."""
    past: int = PAST_RELEASES

    @property
    def good(self) -> bool:
        """Whether it should be rolled out."""
        return self.extra == 0


GOOD = (
    Scenario("plain"),
    Scenario("plain, base failure 0.5 %", base=0.005),
    Scenario("plain, base failure 2 %", base=0.02),
    Scenario("first release, no past", past=0),
    Scenario("6 h outage of everything", outage=(8, 14)),
    Scenario("good releases vary by 30 %", varies=0.3),
    Scenario("informative check-in order", eager=True),
    Scenario("post-reboot infant mortality", infant=0.01),
    Scenario("telemetry lost for 12 h", lost=(6, 18)),
)
BAD = (
    Scenario("+5 %", extra=0.05),
    Scenario("+5 %, hours later", extra=0.05, late=True),
    Scenario("+30 % in one revision", extra=0.30, only=BAD_REVISION),
    Scenario("+30 % in one revision, hours later", extra=0.30, late=True, only=BAD_REVISION),
)

# Kinds of devices: contact period in ticks, share, factor on failures and events.
_USUAL = ((6, 0.9, 1.0), (144, 0.1, 1.0))
_EAGER = ((3, 0.45, 1.5), (18, 0.45, 0.6), (144, 0.1, 0.6))


@dataclass
class Report:
    """What the server learns at a tick of one device."""

    device: int
    failed: bool
    late: bool = False


@dataclass
class World:
    """One run's fleet. `tell` and `ticks` are all that a rule uses."""

    scenario: Scenario
    size: int
    random: Random
    segment: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    """Devices in the order of their ranks."""
    coming: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    reports: dict[int, list[Report]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        random, size = self.random, self.size
        self.kinds = _EAGER if self.scenario.eager else _USUAL
        for revision, share in enumerate(REVISIONS):
            upto = size if revision == BAD_REVISION else len(self.segment) + round(share * size)
            self.segment.extend([revision] * (upto - len(self.segment)))
        self.kind = random.choices(range(len(self.kinds)), [k[1] for k in self.kinds], k=size)
        self.phase = [random.randrange(self.kinds[k][0]) for k in self.kind]
        self.order = list(range(size))
        random.shuffle(self.order)
        self.sizes = [self.segment.count(s) for s in range(len(REVISIONS))]
        self.release = self._release()

    def _release(self) -> float:
        """The factor of one good release on the base rate: log-normal of mean 1."""
        if not self.scenario.varies:
            return 1.0
        sigma = sqrt(log1p(self.scenario.varies**2))
        return exp(self.random.gauss(-sigma * sigma / 2, sigma))

    def past(self) -> list[list[tuple[int, int]]]:
        """(failed, tried) of past good releases, by revision."""
        releases = []
        for _ in range(self.scenario.past):
            factor = self._release()
            rows = []
            for revision, n in enumerate(self.sizes):
                rate = sum(share * self._rate(revision, k, factor) for k, (_, share, _) in enumerate(self.kinds))
                rows.append((binomial(self.random, n, rate), n))
            releases.append(rows)
        return releases

    def past_events(self, *, fresh: bool) -> list[tuple[Risk, Risk]]:
        """What past good releases saw of events: of fresh devices, or of all in the day after, against control's day."""
        hours, weak = self.size * (FRESH_H if fresh else 24), self.size * self.scenario.infant
        share = 1 - exp(-FRESH_H / 3)
        rate = sum(part * factor for _, part, factor in self.kinds) * EVENTS_PER_H
        return [
            (
                Risk(
                    poisson(self.random, hours * rate * (1.5 if fresh else 1) + weak * (share if fresh else 1 - share)),
                    hours,
                ),
                Risk(poisson(self.random, self.size * 24 * rate), self.size * 24),
            )
            for _ in range(self.scenario.past)
        ]

    def _rate(self, revision: int, kind: int, release: float) -> float:
        return min(1.0, self.scenario.base * release * _FACTORS[revision] * self.kinds[kind][2])

    def bad_for(self, device: int) -> bool:
        """Whether the release is bad for this device's revision."""
        return not self.scenario.good and self.scenario.only in {None, self.segment[device]}

    def call(self, device: int, tick: int) -> None:
        """The device is due: it comes at its next contact after `tick`; one contact of twenty is missed."""
        period = self.kinds[self.kind[device]][0]
        at = tick + 1 + (self.phase[device] - tick - 1) % period
        while self.random.random() < 0.05 or self.dark(at):
            at += period
        self.coming[at].append(device)

    def dark(self, tick: int) -> bool:
        """Whether nothing reaches the server."""
        out = self.scenario.outage
        return out is not None and out[0] * TICKS_PER_H <= tick < out[1] * TICKS_PER_H

    def came(self, hour: int, devices: Sequence[int]) -> int:
        """How many of so many devices of each kind came in an hour, in the mean: each once, if it does not miss its contact."""
        if self.dark(hour * TICKS_PER_H):
            return 0
        return round(sum(0.95 * n * min(1, TICKS_PER_H / k[0]) for n, k in zip(devices, self.kinds, strict=True)))

    def tell(self, device: int, tick: int) -> None:
        """The device is offered the release: it installs, and reports."""
        random, scenario = self.random, self.scenario
        bad = self.bad_for(device)
        rate = self._rate(self.segment[device], self.kind[device], self.release)
        rate += scenario.extra if bad and not scenario.late else 0
        failed = random.random() < rate
        at = tick + INSTALL_TICKS
        if self.dark(at) and scenario.outage is not None:
            failed = failed or random.random() < 0.3
            at = scenario.outage[1] * TICKS_PER_H + random.randrange(TICKS_PER_H)
        self.reports[self._held_up(at)].append(Report(device, failed))
        if failed:
            return
        if random.random() < scenario.infant:
            self.reports[at + 1 + int(random.expovariate(1 / 3) * TICKS_PER_H)].append(Report(device, True, late=True))
        if bad and scenario.late and random.random() < scenario.extra:
            delay_h = 2 + random.expovariate(1 / 6)
            self.reports[at + 1 + int(delay_h * TICKS_PER_H)].append(Report(device, True, late=True))

    def _held_up(self, at: int) -> int:
        lost = self.scenario.lost
        if lost and lost[0] * TICKS_PER_H <= at < lost[1] * TICKS_PER_H and self.random.random() < 0.5:
            return lost[1] * TICKS_PER_H
        return at

    def events(self, hour: int, kind: int, devices: float, *, fresh: bool = False) -> int:
        """Events in one hour among so many devices of a kind, whatever they run."""
        rate = EVENTS_PER_H * self.kinds[kind][2] * (1.5 if fresh else 1.0)
        out, lost = self.scenario.outage, self.scenario.lost
        if out is not None and out[0] <= hour < out[1]:
            rate += 0.15
        if lost is not None and lost[0] <= hour < lost[1]:
            rate /= 2
        return poisson(self.random, devices * rate)


def poisson(random: Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(random.gauss(mean, sqrt(mean))))
    k, product, floor = 0, random.random(), exp(-mean)
    while product > floor:
        k += 1
        product *= random.random()
    return k


def binomial(random: Random, n: int, p: float) -> int:
    if n * p > 100:
        return min(n, max(0, round(random.gauss(n * p, sqrt(n * p * (1 - p))))))
    return sum(random.random() < p for _ in range(n))
