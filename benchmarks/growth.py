"""What grows with the fleet and what does not: 1,000 to 1,000,000 devices, tables, goals and curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import median

from benchmarks import footprint, planning, questions
from benchmarks.chart import Chart, Point
from benchmarks.duel import Duel, millis, p95
from benchmarks.footprint import INTERVAL_S, Footprint, Pace
from benchmarks.measure import Spread, spread
from benchmarks.report import Mark, Section, digits, shown
from benchmarks.subjects.otaru import Otaru

_LARGEST = 1_000_000
"""The goals speak of so many devices."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    sizes: Sequence[int]
    searches: int
    """Rounds of each filter."""
    starts: int
    everybody: int
    """Up to so many devices, all of them poll."""
    pace_s: int

    def plans(self, size: int) -> int:
        """Rounds of planning: a million rows take seconds to insert."""
        return 3 if size >= _LARGEST else 7


@dataclass(slots=True)
class Growth:
    """What was found, by size."""

    searches: list[Duel] = field(default_factory=list)
    plans: list[Duel] = field(default_factory=list)
    starts: list[Duel] = field(default_factory=list)
    counts: list[Duel] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)


def measure(extent: Extent) -> Growth:
    """Everything, one size after the other; each in two servers over fresh copies of the fleet.

    Raises:
        RuntimeError, LoadError: something was answered wrongly.
    """
    growth = Growth()
    for size in extent.sizes:
        print(f"{size:,} devices: search, planning, waves, counts", flush=True)
        with closing(_Stopped(Otaru())) as one:
            _ask(one.otaru, size, extent, growth)
        print(f"{size:,} devices: start-up, memory, polls at the fleet's pace", flush=True)
        with closing(_Stopped(Otaru(core=0))) as one:
            one.otaru.open(size)
            everybody = size <= extent.everybody
            growth.footprints.append(footprint.measure(one.otaru, size, starts=extent.starts, everybody=everybody))
            growth.paces.append(footprint.pace(one.otaru, size, extent.pace_s))
    return growth


@dataclass(frozen=True, slots=True)
class _Stopped:
    otaru: Otaru

    def close(self) -> None:
        self.otaru.stop()


def _ask(otaru: Otaru, size: int, extent: Extent, growth: Growth) -> None:
    rounds = extent.plans(size)
    otaru.open(size)
    growth.searches += questions.search(otaru, size, extent.searches)
    growth.plans += planning.plan(otaru, size, rounds)
    growth.starts.append(planning.start(otaru, size, rounds))
    growth.counts.append(questions.counts(otaru, size, 1, max(rounds, 5)))


def sections(growth: Growth) -> list[Section]:
    """The report's part of it."""
    return [_search(growth), _planning(growth), _footprint(growth), _pace(growth)]


_DUEL_HEAD = ("what", "devices", "Otaru ms", "bare SQL ms", "Otaru by bare", "p95 by p95", "server's CPU ms")
_SEARCH_HEAD = (*_DUEL_HEAD, "store's part ms", "store's p95 by bare's")


def _duel_row(duel: Duel) -> Sequence[str]:
    return (
        duel.name,
        f"{duel.devices:,}",
        shown(millis(duel.ours_s)),
        shown(millis(duel.bare_s)),
        shown(duel.ratio),
        f"{duel.ratio_p95:.3g}",
        digits(duel.cpu_s / len(duel.ours_s) * 1e3),
    )


def _search(growth: Growth) -> Section:
    largest = max(duel.devices for duel in growth.searches)
    smallest = min(duel.devices for duel in growth.searches)
    of_largest = [duel for duel in growth.searches if duel.devices == largest]
    whole = Mark("search page, whole call, p95 by that of bare SQL, each filter", 3, 1.5, at_most=True)
    store = Mark("search page, the store's part, p95 by that of bare SQL, each filter", 3, 1.5, at_most=True)
    goals = [
        whole.row(f"{largest:,}", spread([duel.ratio_p95 for duel in of_largest])),
        store.row(f"{largest:,}", spread([p95(duel.inner_s) / p95(duel.bare_s) for duel in of_largest])),
    ]
    if largest != smallest:
        grown = [
            p95(duel.ours_s) / p95(other.ours_s)
            for duel in of_largest
            for other in growth.searches
            if other.devices == smallest and other.name == duel.name
        ]
        flat = Mark(f"search page, p95 by that of {smallest:,} devices, each filter", 3, 1.5, at_most=True)
        goals.append(flat.row(f"{largest:,}", spread(grown)))
    lines = {
        f"{who}, {word}": [
            (size, choose([p95(duel.ours_s if ours else duel.bare_s) * 1e3 for duel in duels]))
            for size, duels in _by_size(growth.searches).items()
        ]
        for who, ours in (("Otaru", True), ("bare SQL", False))
        for word, choose in (("slowest filter", max), ("median filter", median))
    }
    return Section(
        "Search pages by fleet",
        f"`GET /api/v1/devices?q=…&limit={questions.LIMIT}`, the whole call over a connection with keep-alive, beside"
        " hand-written statements that fetch the same rows and make no answer of them, and beside Otaru's own statements"
        f" without the REST API; {len(growth.searches[0].ours_s)} rounds each. “deep” begins behind nine tenths of the"
        " fleet.",
        _SEARCH_HEAD,
        [
            (*_duel_row(duel), shown(millis(duel.inner_s)), f"{p95(duel.inner_s) / p95(duel.bare_s):.3g}")
            for duel in growth.searches
        ],
        {"search": Chart("Search page of 50 devices", "devices", "p95, ms", lines)},
        goals,
    )


def _planning(growth: Growth) -> Section:
    counts = growth.counts[-1]
    largest, rows = f"{counts.devices:,}", [*growth.plans, *growth.starts, *growth.counts]
    plans = [plan for plan in growth.plans if plan.devices == counts.devices]
    goals = [
        *(
            Mark(f"{plan.name} against the bare insert", 2, 1.3, at_most=True).row(largest, plan.ratio)
            for plan in plans
        ),
        Mark("counts by status against bare SQL", 1.5, 1.1, at_most=True).row(largest, counts.ratio),
    ]
    first, last = growth.starts[0], growth.starts[-1]
    if first is not last:
        same = Mark(f"start of a wave against that of {first.devices:,} devices", 2, 2, at_most=True)
        goals.append(same.row(largest, spread([value / median(first.ours_s) for value in last.ours_s])))
    lines: dict[str, list[Point]] = {}
    unsplit = [plan for plan in growth.plans if plan.name == plans[0].name]
    for short, duels in (("plan", unsplit), ("start", growth.starts), ("counts", growth.counts)):
        lines[f"{short}: Otaru"] = [(duel.devices, median(duel.ours_s) * 1e3) for duel in duels]
        lines[f"{short}: bare SQL"] = [(duel.devices, median(duel.bare_s) * 1e3) for duel in duels]
    return Section(
        "Rollouts by fleet",
        f"`POST /rollouts` for the whole fleet in {len(planning.WAVES)} waves, `POST /rollouts/N/start`, and `GET /rollouts/N`,"
        " whole calls, each beside its bare statement on the same database (README.md says which).",
        _DUEL_HEAD,
        [_duel_row(duel) for duel in rows],
        {"rollouts": Chart("Planning, starting, counting", "devices", "median, ms", lines)},
        goals,
    )


def _by_size(duels: Iterable[Duel]) -> Mapping[int, list[Duel]]:
    found: dict[int, list[Duel]] = {}
    for duel in duels:
        found.setdefault(duel.devices, []).append(duel)
    return found


def _footprint(growth: Growth) -> Section:
    found = growth.footprints
    stages = list(dict.fromkeys(stage for one in found for stage in one.memory_mib))
    rows = [
        (
            f"{one.devices:,}",
            shown(spread(one.starts_s)),
            *(f"{one.memory_mib[stage]:,.0f}" if stage in one.memory_mib else "-" for stage in stages),
        )
        for one in found
    ]
    most = max(found[-1].memory_mib.values())
    mark = Mark("memory of the server, all members of a rollout and in mind", 600, 300, " MB", at_most=True)
    megabytes = most * 2**20 / 1e6
    everybody = len(found[-1].memory_mib) == len(stages) and len(stages) > 2
    points: Callable[[str], list[Point]] = lambda stage: [  # noqa: E731
        (one.devices, one.memory_mib[stage]) for one in found if stage in one.memory_mib
    ]
    return Section(
        "Start-up and memory by fleet",
        f"Start-up is from the command to the answer to a first device's poll, {len(found[0].starts_s)} times. Memory is what"
        " the process has resident (MiB): at rest after its start, after one device in a hundred has polled, and after all"
        " have, each a member of a rollout whose wave has not come.",
        ("devices", "start-up s", *stages),
        rows,
        {
            "memory": Chart(
                "Memory of the server", "devices", "MiB resident", {stage: points(stage) for stage in stages}
            ),
            "start-up": Chart(
                "Start-up",
                "devices",
                "median, s",
                {"Otaru": [(one.devices, median(one.starts_s)) for one in found]},
            ),
        },
        [mark.row(f"{found[-1].devices:,}", Spread(megabytes, megabytes, megabytes))] if everybody else (),
    )


def _pace(growth: Growth) -> Section:
    mark = Mark("p99 of a fleet's polls at its pace", 50, 15, " ms", at_most=True)
    rows = [
        (
            f"{one.devices:,}",
            f"{one.per_s:,.0f}",
            f"{one.outcome.per_s:,.0f}",
            f"{one.cores * 100:.1f} %",
            digits(one.outcome.p50_ms),
            digits(one.outcome.p99_ms),
            f"{one.outcome.answers:,}",
            str(one.outcome.refused + one.outcome.lost),
        )
        for one in growth.paces
    ]
    last = growth.paces[-1]
    p99 = last.outcome.p99_ms
    return Section(
        "A fleet's polls at its pace",
        f"Every device polls every {INTERVAL_S} s: so many polls come evenly, whether or not earlier ones are answered; a poll"
        " that finds every connection busy has waited since it was due. The server keeps to one core, the load to"
        " another.",
        ("devices", "polls/s due", "polls/s answered", "of one core", "p50 ms", "p99 ms", "polls", "errors"),
        rows,
        goals=[mark.row(f"{last.devices:,}", Spread(p99, p99, p99))],
    )
