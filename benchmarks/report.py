"""Turns what was measured into RESULTS.md. Every number in it comes from the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.load import CONNECTIONS
from benchmarks.measure import Race, Sample, Spread


class Kind(StrEnum):
    """What was asked."""

    POLLS = "polls"
    REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class Result:
    """One race: what was asked, of how large a fleet."""

    kind: Kind
    fleet: int
    seconds: int
    race: Race
    stolen_s: float


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio of CPU per request ought to be: `above` by `below`, at least (or at most) `must`, better `aim`."""

    name: str
    kind: Kind
    above: str
    below: str
    must: float
    aim: float
    fleets: frozenset[int] = frozenset()
    percent: bool = False
    at_most: bool = False

    def shown(self, value: float) -> str:
        """A value in the goal's unit."""
        return f"{value * 100:.3g} %" if self.percent else f"{value:.3g}x"

    def word(self, value: float) -> str:
        """How a value stands to the goal."""
        if (value <= self.aim) if self.at_most else (value >= self.aim):
            return "aim reached"
        return "met" if ((value <= self.must) if self.at_most else (value >= self.must)) else "**missed**"


GOALS = (
    Goal("polls per core against gooseBit", Kind.POLLS, "gooseBit", "Otaru", 30, 60, frozenset({1_000})),
    Goal("polls per core against gooseBit", Kind.POLLS, "gooseBit", "Otaru", 50, 90, frozenset({20_000})),
    Goal("polls per core against nginx `return`", Kind.POLLS, "nginx return", "Otaru", 0.12, 0.20, percent=True),
    Goal("CPU of a poll against the bare prototype", Kind.POLLS, "Otaru", "bare ASGI", 2.0, 1.4, at_most=True),
    Goal("durable reports per core against gooseBit", Kind.REPORTS, "gooseBit", "Otaru", 25, 60),
)


@dataclass(slots=True)
class Run:
    """All that a run found out."""

    began: str
    quick: bool
    machine: Sequence[tuple[str, str]]
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


def markdown(run: Run) -> str:
    """The whole report."""
    parts = [
        "# Results of the benchmarks",
        f"Written by `python -m benchmarks{' --quick' if run.quick else ''}` on {run.began}. How to read it: README.md beside it.",
        "## Goals",
        _table(
            ("what", "devices", "goal", "aim", "median", "least to greatest of the rounds", ""), _goals(run.results)
        ),
        *(part for result in run.results for part in _race(result)),
        "## What was checked in the run",
        "\n".join(f"- {check}" for check in run.checks),
        "## What it ran on",
        _table(("", ""), [*run.machine, *run.versions.items()]),
    ]
    if run.missing:
        parts += ["## Not measured", _table(("", "why"), run.missing.items())]
    return "\n\n".join(parts) + "\n"


def _goals(results: Iterable[Result]) -> Iterable[Sequence[str]]:
    for result in results:
        for goal in GOALS:
            wanted = result.kind is goal.kind and (not goal.fleets or result.fleet in goal.fleets)
            if not wanted or not {goal.above, goal.below} <= result.race.samples.keys():
                continue
            found = result.race.ratio(goal.above, goal.below, _cpu_us)
            sign = "≤" if goal.at_most else "≥"
            yield (
                goal.name,
                f"{result.fleet:,}",
                f"{sign} {goal.shown(goal.must)}",
                f"{sign} {goal.shown(goal.aim)}",
                goal.shown(found.middle),
                f"{goal.shown(found.least)} to {goal.shown(found.greatest)}",
                goal.word(found.middle),
            )


def _race(result: Result) -> Iterable[str]:
    what = {Kind.POLLS: "Polls with nothing due", Kind.REPORTS: "Durable reports (`proceeding`)"}[result.kind]
    yield f"## {what}, {result.fleet:,} devices"
    yield (
        f"{result.race.rounds} interleaved rounds of {result.seconds} s each, {CONNECTIONS} connections with keep-alive. Median"
        f" (least to greatest). The hypervisor took {result.stolen_s:.1f} s of CPU meanwhile."
    )
    head = (
        "server",
        "CPU µs per request",
        "CPU by Otaru's",
        "requests/s",
        "by Otaru's",
        "p50 ms",
        "p99 ms",
        "requests",
        "errors",
    )
    yield _table(head, (_row(result.race, name) for name in result.race.samples))


def _row(race: Race, name: str) -> Sequence[str]:
    samples = race.samples[name]
    measured = "Otaru" in race.samples
    return (
        name,
        _shown(race.spread(name, _cpu_us)),
        _shown(race.ratio(name, "Otaru", _cpu_us)) if measured else "-",
        _shown(race.spread(name, _per_s)),
        _shown(race.ratio(name, "Otaru", _per_s)) if measured else "-",
        _shown(race.spread(name, lambda sample: sample.outcome.p50_ms)),
        _shown(race.spread(name, lambda sample: sample.outcome.p99_ms)),
        f"{sum(sample.outcome.answers for sample in samples):,}",
        str(sum(sample.outcome.refused + sample.outcome.lost for sample in samples)),
    )


def _cpu_us(sample: Sample) -> float:
    return sample.cpu_us


def _per_s(sample: Sample) -> float:
    return sample.outcome.per_s


def _shown(found: Spread) -> str:
    return f"{_digits(found.middle)} ({_digits(found.least)} to {_digits(found.greatest)})"


def _digits(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])
