"""What the runs say, as a page: counts with exact intervals, and where Otaru loses."""

from collections import defaultdict
from statistics import mean, median

from benchmarks.safety.record import Record
from benchmarks.safety.run import Outcome
from benchmarks.safety.world import BAD, BAD_REVISION, GOOD, Scenario
from otaru.analysis.exact import interval

Results = dict[tuple[str, str], list[Outcome]]

SHOWN = (
    "hawkBit 50/50",
    "AWS docs rate, abort 10 %",
    "AWS cautious, abort 5 %",
    *(f"stages {n} %" for n in (20, 5, 4)),
    "Otaru",
)
PEERS, _OURS = SHOWN[:-1], SHOWN[-1]
_BEST = "best threshold in hindsight"
ENOUGH = 100
"""So often at least the plain good release is played under each threshold that hindsight may choose."""
_ALLOWED = 0.01
"""How often the threshold of hindsight may stop the plain good release; or as often as we do, if that is more."""

_HEAD = """# Rollout safety

Written by `python -m benchmarks.rollout_safety`: {minutes:.0f} minutes of processor time (seeds `{salt}`, code `{code}`). Virtual
fleets: 90 % of the devices come every hour, 10 % every day, one contact of twenty is missed; eight hardware revisions of 30
to 5 %; good releases fail for 1 % unless said otherwise; about 1 % of all devices have an event (crash, silence) on any day.
Every rule meets the same fleets.

- **hawkBit 50/50**: ten groups, next at 50 % success, stop at 50 % errors. **AWS docs rate**: base 50 a minute, doubled every
  1,000 successes, abort at 10 % failed of at least 100. **AWS cautious**: base 5, factor 1.1, abort at 5 % of at least 100.
  **Stages**: 1, 10, 50, 100 %, each watched for 24 h after 90 % reported, stop above the threshold from 20 outcomes on.
  **Best threshold in hindsight**: of the stages with 2 to 20 %, the one that exposes fewest devices in this very scenario, among
  those that stop the plain good release in at most 1 % of the runs (100 or more), or as rarely as we do.
- **Otaru**: the judge of `src/otaru/analysis` at alpha 1 %, looking every hour; harm budget as pace; 3 % holdout; its past of ten
  releases is played by the same world. Peers are told of failures that show hours later, as if devices reported them.
- Exposed: devices told of the bad release (of the bad revision, where one is bad) until the stop, the hold or the end.
- Stopped by mistake counts a good release stopped, or any segment of it held. Intervals are exact (Clopper-Pearson, 95 %);
  [a to b] after a median is its exact interval by order statistics, n the number of runs.
"""


def page(record: Record) -> str:
    """The whole page."""
    seconds = sum(piece.seconds for piece in record.pieces)
    parts = [_HEAD.format(minutes=max(1, seconds / 60), salt=record.origin.salt, code=record.origin.code)]
    for size in sorted({piece.size for piece in record.pieces}):
        results = of_fleet(record, size)
        if not all(results[s.name, rule] for s in (*GOOD, *BAD) for rule in SHOWN):
            continue  # not even one run of everything
        runs = sorted({len(outcomes) for (_, rule), outcomes in results.items() if rule == _OURS})
        times = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
        parts.append(f"\n## {size:,} devices, {times} runs of each\n")
        parts += [_mistakes(results), _hours(results), _exposed(results), _goals(size, results)]
    return "\n".join(parts)


def of_fleet(record: Record, size: int) -> Results:
    """What was played of one fleet, by scenario and rule; nothing where nothing was."""
    results: Results = defaultdict(list)
    for piece in record.pieces:
        if piece.size == size:
            for rule, outcome in piece.outcomes.items():
                results[piece.scenario, rule].append(outcome)
    return results


def _wrong(outcome: Outcome) -> bool:
    return outcome.stopped or bool(outcome.held)


def _row(first: str, cells: list[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


def _header(first: str, names: tuple[str, ...]) -> str:
    return _row(first, list(names)) + "\n" + "|---" * (len(names) + 1) + "|"


def _mistakes(results: Results) -> str:
    names = SHOWN
    lines = ["### Good releases stopped by mistake\n", _header("scenario", names)]
    lines += [_row(s.name, [_share([_wrong(o) for o in results[s.name, n]]) for n in names]) for s in GOOD]
    return "\n".join(lines) + "\n"


def _share(flags: list[bool]) -> str:
    if not flags:
        return "-"
    low, high = interval(sum(flags), len(flags))
    return f"{sum(flags)} of {len(flags)} ({100 * low:.1f} to {100 * high:.1f} %)"


def _hours(results: Results) -> str:
    names = SHOWN
    lines = [
        "### Good releases: hours until 90 % have it (mean; runs that did not reach it)\n",
        _header("scenario", names),
    ]
    for scenario in GOOD:
        cells = []
        for name in names:
            hours = [o.hours for o in results[scenario.name, name] if o.hours is not None]
            never = len(results[scenario.name, name]) - len(hours)
            cells.append((f"{mean(hours):.0f}" if hours else "-") + (f" ({never} never)" if never else ""))
        lines.append(_row(scenario.name, cells))
    return "\n".join(lines) + "\n"


def _exposed(results: Results) -> str:
    names = (*PEERS, _BEST, _OURS)
    lines = ["### Bad releases: devices exposed (mean; median [interval])\n", _header("scenario", names)]
    for scenario in BAD:
        cells = [_devices([o.exposed for o in results[scenario.name, n]]) for n in PEERS]
        best = hindsight(results, scenario)
        cells.append(
            f"{best.removeprefix('stages ')}: {_devices([o.exposed for o in results[scenario.name, best]])}"
            if best
            else "none"
        )
        cells.append(_devices([o.exposed for o in results[scenario.name, _OURS]]))
        lines.append(_row(scenario.name, cells))
    return "\n".join(lines) + "\n"


def _devices(exposed: list[int]) -> str:
    if not exposed:
        return "-"
    low, high = _order_statistics(sorted(exposed))
    return f"{mean(exposed):,.0f}; {median(exposed):,.0f} [{low:,} to {high:,}], n={len(exposed)}"


def _order_statistics(values: list[int]) -> tuple[int, int]:
    """The exact interval of the median: how many of n fair coins fall on one side."""
    n = len(values)
    total, chance, rank = 0.0, 0.5**n, 0
    for k in range(n // 2):
        total += chance
        if total > 0.025:
            break
        rank = k
        chance *= (n - k) / (k + 1)
    return values[rank], values[n - 1 - rank]


def hindsight(results: Results, scenario: Scenario) -> str | None:
    """The fixed threshold that exposes fewest devices in this scenario and hardly ever stops the plain good release."""
    plain = GOOD[0].name
    ours = mean(_wrong(o) for o in results[plain, _OURS])
    names = {n for _, n in results if n.startswith("stages")}
    quiet = [n for n in sorted(names) if mean(_wrong(o) for o in results[plain, n]) <= max(_ALLOWED, ours)]
    return min(quiet, key=lambda n: mean(o.exposed for o in results[scenario.name, n]), default=None)


def _goals(size: int, results: Results) -> str:
    lines = ["### Goals\n", "| goal | reached | |", "|---|---|---|"]
    for scenario in GOOD:
        bound = 0.02 if scenario.varies else 0.01
        wrong = [_wrong(o) for o in results[scenario.name, _OURS]]
        low, high = interval(sum(wrong), len(wrong))
        word = "**no**" if low > bound else "yes" if high <= bound else "not contradicted"
        lines.append(f"| {scenario.name}: stopped by mistake ≤ {bound:.0%} | {_share(wrong)} | {word} |")
    hours = [o.hours for o in results[GOOD[0].name, _OURS] if o.hours is not None]
    lines.append(
        _goal("plain: 90 % in ≤ 54 h", f"{mean(hours):.0f} h", mean(hours) <= 54) if hours else "| - | never | **no** |"
    )
    for scenario in BAD:
        lines += _against(size, results, scenario)
    return "\n".join(lines) + "\n"


def _goal(what: str, value: str, reached: bool) -> str:
    return f"| {what} | {value} | {'yes' if reached else '**no**'} |"


def _times(more: float, fewer: float) -> str:
    return f"{more / fewer:.2f} x" if fewer else "none exposed"


def _against(size: int, results: Results, scenario: Scenario) -> list[str]:
    ours = mean(o.exposed for o in results[scenario.name, _OURS])
    peers = min(mean(o.exposed for o in results[scenario.name, n]) for n in PEERS[:3])
    best = hindsight(results, scenario)
    tuned = mean(o.exposed for o in results[scenario.name, best]) if best else None
    if scenario.only == BAD_REVISION:
        others = mean(o.others for o in results[scenario.name, _OURS])
        lines = [
            _goal(f"{scenario.name}: ≥ 15 x fewer than hawkBit and AWS", _times(peers, ours), peers >= 15 * ours),
            _goal(f"{scenario.name}: ≥ 90 % of the others updated", f"{100 * others:.0f} %", others >= 0.9),
        ]
        if tuned is not None:
            lines.append(
                _goal(f"{scenario.name}: ≥ 10 x fewer than hindsight", _times(tuned, ours), tuned >= 10 * ours)
            )
        return lines
    if scenario.late:
        return [_goal(f"{scenario.name}: ≥ 10 x fewer than hawkBit and AWS", _times(peers, ours), peers >= 10 * ours)]
    factor = 1.5 if size <= 1000 else 1.3
    if tuned is None:
        return []
    return [_goal(f"{scenario.name}: within {factor} x of hindsight", _times(ours, tuned), ours <= factor * tuned)]
