"""`python -m benchmarks.rollout_safety`: how many devices a bad release reaches before each rule stops it.

Fleets in virtual time (`benchmarks/safety/world.py`), the peers' rules and our judge (`rules.py`) on the same fleets, run by
run. Nothing was chosen by looking at the seeds that are used here: `--salt dev` is for building, the default for reporting.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from operator import itemgetter
from pathlib import Path

from benchmarks.safety import table
from benchmarks.safety.record import Key, Origin, Piece, Record, read
from benchmarks.safety.rules import Aws, HawkBit, Make, Otaru, Stages
from benchmarks.safety.run import run
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
    given = _given()
    here = Path(__file__).parent
    out = given.out or (here / ".cache" / "rollout_safety.md" if given.quick else here / "ROLLOUT_SAFETY.md")
    if given.table:
        record = read(given.results)
    else:
        sizes = [1000] if given.quick else [int(s) for s in given.sizes.split(",")]
        runs = [10] if given.quick else [int(n) for n in given.runs.split(",")]
        with Record(Origin.here(given.salt), given.results) as record:
            play(record, to_play(dict(zip(sizes, runs, strict=True))), given.jobs, given.minutes)
    out.parent.mkdir(exist_ok=True)
    out.write_text(table.page(record))
    print(out)
    return 0


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout_safety", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 devices, 10 runs each: about a minute")
    parser.add_argument("--sizes", default="1000,10000,100000", help="fleets (default: %(default)s)")
    parser.add_argument("--runs", default="400,400,40", help="runs of each scenario, by fleet (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="stop after so long; scenarios then have fewer runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--salt", default="report", help="other seeds (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="keep each run in this file, and go on with what it lacks")
    parser.add_argument("--table", action="store_true", help="play nothing: write the page of what --results has")
    parser.add_argument("--out", type=Path, help="default: ROLLOUT_SAFETY.md beside this file; quick: .cache/")
    given = parser.parse_args()
    if given.table and given.results is None:
        parser.error("--table is written from --results")
    return given


def to_play(runs: dict[int, int]) -> list[Key]:
    """What there is to play, by fleet so many times: one run of everything comes before the second of anything.

    So that a run that ends early has every fleet, scenario and rule, as evenly as they were asked for. Plain good releases
    under the fixed thresholds come in the first half: hindsight must know which of them stop it.
    """
    thresholds = tuple(r for r in RULES if r.startswith("stages"))
    others = tuple(r for r in RULES if r not in thresholds)
    pieces: list[tuple[float, Key]] = []
    for size, count in runs.items():
        pieces += [(n / count, (size, s.name, n, _rules(s))) for n in range(count) for s in (*GOOD[1:], *BAD)]
        pieces += [(n / count, (size, GOOD[0].name, n, others)) for n in range(count)]
        for n in range(max(count, table.ENOUGH)):
            when = min(n / count, 0.5 * n / table.ENOUGH)
            pieces.append((when, (size, GOOD[0].name, n, thresholds)))
    return [key for _, key in sorted(pieces, key=itemgetter(0))]


def _rules(scenario: Scenario) -> tuple[str, ...]:
    """Thresholds that only hindsight chooses meet one good scenario and all bad ones."""
    return tuple(r for r in RULES if scenario in BAD or r in table.SHOWN)


def play(record: Record, keys: list[Key], jobs: int, minutes: float | None) -> None:
    """Add to the record what it lacks, in this order."""
    until = None if minutes is None else time.monotonic() + 60 * minutes
    had = {piece.key for piece in record.pieces}
    missing = [key for key in keys if key not in had]
    with ProcessPoolExecutor(jobs) as pool:
        each: Callable[[Callable[[Key], Piece], list[Key]], Iterable[Piece]] = pool.map if jobs > 1 else map
        together = 8 * jobs
        for first in range(0, len(missing), together):
            for piece in each(Player(record.origin.salt), missing[first : first + together]):
                record.add(piece)
            print(f"{len(record.pieces)} of {len(keys)} pieces", file=sys.stderr, flush=True)
            if until is not None and time.monotonic() > until:
                break


class Player:
    """Plays one piece. Picklable, so that pieces can go to other processes."""

    def __init__(self, salt: str) -> None:
        self.salt = salt

    def __call__(self, key: Key) -> Piece:
        size, name, number, rules = key
        scenario = next(s for s in (*GOOD, *BAD) if s.name == name)
        seed, began = f"{self.salt}/{name}/{size}/{number}", time.process_time()
        outcomes = {rule: run(scenario, size, RULES[rule], seed) for rule in rules}
        return Piece(size, name, number, outcomes, time.process_time() - began)


if __name__ == "__main__":
    sys.exit(main())
