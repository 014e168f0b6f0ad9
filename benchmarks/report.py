"""Turns what was measured into RESULTS.md. Every number in it comes from the run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.chart import Chart
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
class Mark:
    """What a value ought to be: at least (or at most) `must`, better `aim`."""

    name: str
    must: float
    aim: float
    unit: str = "x"
    at_most: bool = False

    def shown(self, value: float) -> str:
        """A value in the mark's unit."""
        return f"{value * 100:.3g} %" if self.unit == "%" else f"{digits(value)}{self.unit}"

    def row(self, devices: str, found: Spread) -> Sequence[str]:
        """How what was found stands to it."""
        sign = "≤" if self.at_most else "≥"
        return (
            self.name,
            devices,
            f"{sign} {self.shown(self.must)}",
            f"{sign} {self.shown(self.aim)}" if self.aim != self.must else "",
            self.shown(found.middle),
            f"{self.shown(found.least)} to {self.shown(found.greatest)}",
            self._word(found.middle),
        )

    def _word(self, value: float) -> str:
        if (value <= self.aim) if self.at_most else (value >= self.aim):
            return "aim reached"
        return "met" if ((value <= self.must) if self.at_most else (value >= self.must)) else "**missed**"


@dataclass(frozen=True, slots=True)
class Goal:
    """A mark for a ratio of CPU per request: of `above` by `below`."""

    kind: Kind
    above: str
    below: str
    mark: Mark
    fleets: frozenset[int] = frozenset()


GOALS = (
    Goal(Kind.POLLS, "gooseBit", "Otaru", Mark("polls per core against gooseBit", 30, 60), frozenset({1_000})),
    Goal(Kind.POLLS, "gooseBit", "Otaru", Mark("polls per core against gooseBit", 50, 90), frozenset({20_000})),
    Goal(Kind.POLLS, "nginx return", "Otaru", Mark("polls per core against nginx `return`", 0.12, 0.20, "%")),
    Goal(Kind.POLLS, "Otaru", "bare ASGI", Mark("CPU of a poll against the bare prototype", 2, 1.4, at_most=True)),
    Goal(Kind.REPORTS, "gooseBit", "Otaru", Mark("durable reports per core against gooseBit", 25, 60)),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report besides polls and reports: words, a table, pictures."""

    title: str
    words: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    charts: Mapping[str, Chart] = field(default_factory=dict)
    """By the name of their file, without its ending."""
    goals: Sequence[Sequence[str]] = ()


@dataclass(slots=True)
class Run:
    """All that a run found out."""

    began: str
    quick: bool
    machine: Sequence[tuple[str, str]]
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    took_s: float = 0.0
    results: list[Result] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def markdown(run: Run, plots: str) -> str:
    """The whole report; `plots` is where its pictures are, seen from it."""
    how = " --quick" if run.quick else ""
    parts = [
        "# Results of the benchmarks",
        f"Written by `python -m benchmarks{how}` on {run.began}, in {run.took_s / 60:.0f} minutes. See README.md beside it.",
        "## Goals",
        _table(
            ("what", "devices", "goal", "aim", "median", "least to greatest of the rounds", ""),
            [*_goals(run.results), *(row for section in run.sections for row in section.goals)],
        ),
        *(part for result in run.results for part in _race(result)),
        *(part for section in run.sections for part in _section(section, plots)),
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
            yield goal.mark.row(f"{result.fleet:,}", result.race.ratio(goal.above, goal.below, _cpu_us))


def _section(section: Section, plots: str) -> Iterable[str]:
    yield f"## {section.title}"
    yield section.words
    if section.rows:
        yield _table(section.head, section.rows)
    for name, chart in section.charts.items():
        yield f"![{chart.title}]({plots}/{name}.svg)"


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
        shown(race.spread(name, _cpu_us)),
        shown(race.ratio(name, "Otaru", _cpu_us)) if measured else "-",
        shown(race.spread(name, _per_s)),
        shown(race.ratio(name, "Otaru", _per_s)) if measured else "-",
        shown(race.spread(name, lambda sample: sample.outcome.p50_ms)),
        shown(race.spread(name, lambda sample: sample.outcome.p99_ms)),
        f"{sum(sample.outcome.answers for sample in samples):,}",
        str(sum(sample.outcome.refused + sample.outcome.lost for sample in samples)),
    )


def _cpu_us(sample: Sample) -> float:
    return sample.cpu_us


def _per_s(sample: Sample) -> float:
    return sample.outcome.per_s


def shown(found: Spread) -> str:
    return f"{digits(found.middle)} ({digits(found.least)} to {digits(found.greatest)})"


def digits(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])
