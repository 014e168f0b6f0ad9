"""`python -m benchmarks.rollout_safety`: how many devices a bad release reaches before each rule stops it.

Fleets in virtual time (`benchmarks/safety/world.py`), the peers' rules and our judge (`rules.py`) on the same fleets, run by
run. Nothing was chosen by looking at the seeds that are used here: `--salt dev` is for building, the default for reporting.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.safety import table
from benchmarks.safety.rules import Aws, HawkBit, Make, Otaru, Stages
from benchmarks.safety.run import Outcome, run
from benchmarks.safety.world import BAD, GOOD, Scenario, World
from otaru.domain.rollout import Abort, FailureType, RateRule

THRESHOLDS = (0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20)
"""The fixed stages' thresholds that hindsight chooses from."""

_DOCS = RateRule(base=50, factor=2, every=1000, succeeded=True, aborts=(Abort(FailureType.FAILED, 10, 100),))
_CAUTIOUS = RateRule(base=5, factor=1.1, every=1000, succeeded=True, aborts=(Abort(FailureType.FAILED, 5, 100),))


def _hawkbit(world: World) -> HawkBit:
    return HawkBit(world)


def _aws_docs(world: World) -> Aws:
    return Aws(world, rule=_DOCS)


def _aws_cautious(world: World) -> Aws:
    return Aws(world, rule=_CAUTIOUS)


class _Stages:
    """Picklable, so that runs can go to other processes."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, world: World) -> Stages:
        return Stages(world, threshold=self.threshold)


def _otaru(world: World) -> Otaru:
    return Otaru(world)


RULES: dict[str, Make] = {
    "hawkBit 50/50": _hawkbit,
    "AWS docs rate, abort 10 %": _aws_docs,
    "AWS cautious, abort 5 %": _aws_cautious,
    **{f"stages {100 * t:g} %": _Stages(t) for t in THRESHOLDS},
    "Otaru": _otaru,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout_safety", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 devices, 10 runs each: about a minute")
    parser.add_argument("--sizes", default="1000,10000,100000", help="fleets (default: %(default)s)")
    parser.add_argument("--runs", default="400,400,40", help="runs of each scenario, by fleet (default: %(default)s)")
    parser.add_argument("--minutes", help="stop after so long, by fleet; scenarios then have fewer runs, all as many")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--salt", default="report", help="other seeds (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="default: ROLLOUT_SAFETY.md beside this file; quick: .cache/")
    given = parser.parse_args()
    sizes = [1000] if given.quick else [int(s) for s in given.sizes.split(",")]
    runs = [10] if given.quick else [int(n) for n in given.runs.split(",")]
    if given.minutes is not None and len(given.minutes.split(",")) != len(sizes):
        parser.error("--minutes names as many times as there are fleets")
    here = Path(__file__).parent
    out = given.out or (here / ".cache" / "rollout_safety.md" if given.quick else here / "ROLLOUT_SAFETY.md")
    started = time.monotonic()
    sections = []
    for i, (size, count) in enumerate(zip(sizes, runs, strict=True)):
        until = None if given.minutes is None else time.monotonic() + 60 * float(given.minutes.split(",")[i])
        sections.append((size, played(size, count, given.salt, given.jobs, until)))
    out.parent.mkdir(exist_ok=True)
    out.write_text(table.page(sections, given.salt, time.monotonic() - started))
    print(out)
    return 0


def played(size: int, count: int, salt: str, jobs: int, until: float | None) -> table.Results:
    """Every scenario under every rule, run by run, so that all have as many when time is up."""
    results: table.Results = {(s.name, r): [] for s, r in _pairs()}
    with ProcessPoolExecutor(jobs) as pool:
        each: Callable[[Callable[[int], list[Outcome]], Iterable[int]], Iterable[list[Outcome]]]
        each = pool.map if jobs > 1 else map
        for first in range(0, count, jobs):
            numbers = range(first, min(count, first + jobs))
            for outcomes in each(_Round(size, salt), numbers):
                for key, outcome in zip(results, outcomes, strict=True):
                    results[key].append(outcome)
            print(f"{size:,} devices: {numbers.stop} of {count} runs", file=sys.stderr, flush=True)
            if until is not None and time.monotonic() > until:
                break
        stages, had = [r for r in RULES if r.startswith("stages")], len(next(iter(results.values())))
        for outcomes in each(_Plain(size, salt, stages), range(had, table.ENOUGH)):
            for rule, outcome in zip(stages, outcomes, strict=True):
                results[GOOD[0].name, rule].append(outcome)
    return results


class _Plain:
    """The plain good release under the fixed thresholds: often enough to know which of them stop it."""

    def __init__(self, size: int, salt: str, stages: list[str]) -> None:
        self.size, self.salt, self.stages = size, salt, stages

    def __call__(self, number: int) -> list[Outcome]:
        seed = f"{self.salt}/{GOOD[0].name}/{self.size}/{number}"
        return [run(GOOD[0], self.size, RULES[r], seed) for r in self.stages]


def _pairs() -> list[tuple[Scenario, str]]:
    """Scenario and rule; thresholds that only hindsight chooses meet one good scenario and all bad ones."""
    return [(s, r) for s in (*GOOD, *BAD) for r in RULES if r in table.SHOWN or s in {GOOD[0], *BAD}]


class _Round:
    """One run of everything."""

    def __init__(self, size: int, salt: str) -> None:
        self.size, self.salt = size, salt

    def __call__(self, number: int) -> list[Outcome]:
        def one(scenario: Scenario, make: Make) -> Outcome:
            return run(scenario, self.size, make, f"{self.salt}/{scenario.name}/{self.size}/{number}")

        return [one(s, RULES[r]) for s, r in _pairs()]


if __name__ == "__main__":
    sys.exit(main())
