"""Planning a rollout and starting it, through the REST API, against the bare statements.

The bare statement of planning inserts a row for each device that fits and does not run the version, into the same table
with the same indexes, in the order of the key, and commits: what the database cannot do without. Its ranks are numbers
of the same size that nobody has sorted; it gives no waves and counts nothing. Starting a wave is compared with a commit
of one changed row.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import psycopg

from benchmarks import fleets
from benchmarks.duel import Caller, Duel, bare, fight, millis, timed
from benchmarks.report import shown
from benchmarks.subjects import TENANT
from benchmarks.subjects.otaru import Otaru

PRODUCT, VERSION = "app", "1.1.0"
WAVES = ["1%", "5%", "10%", "20%", "40%", "60%", "80%", "100%"]
SPLITS: Mapping[str, Sequence[str]] = {
    "": (),
    ", split by hardware": ("hardware",),
    ", by hardware and version": ("hardware", "version"),
    ", by hardware and region": ("hardware", "attr.region"),
}
"""4, 4 and 76 kinds of devices, of which 64 segments are made."""

_BARE = """
INSERT INTO deployment (tenant, rollout, device, attempt, current, state, segment, wave, rank, changed_at)
SELECT v.tenant, :rollout, v.device, 1, true, 'scheduled', 0, 0, v.lot % 1000000, v.created_at FROM device v
WHERE v.tenant = :tenant AND v.lifecycle = 'active' AND v.model IN ('model-0', 'model-1', 'model-2', 'model-3')
AND NOT EXISTS (SELECT 1 FROM device_component c WHERE c.tenant = v.tenant AND c.device = v.device
  AND c.component = 'app' AND c.version = '1.1.0')
ORDER BY v.device"""
_FIRST_OF_BARE = 1_000_000
"""Rollouts of the bare statement are numbered from here: Otaru knows none of them."""


def plan(otaru: Otaru, size: int, rounds: int, database: str = "") -> list[Duel]:
    """`POST /rollouts` for the whole fleet, by each split. Leaves planned rollouts 1, 2, 3 …, `rounds` of each."""
    otaru.release(PRODUCT, VERSION, [f"model-{n}" for n in range(4)], b"firmware of the benchmark")
    with closing(Caller(otaru)) as caller, _inserting(otaru, size, database) as insert:
        return [
            fight(
                f"plan a rollout{name}",
                otaru,
                lambda split=split: _planned(caller, size, split),  # type: ignore[misc]
                lambda: timed(insert),
                devices=size,
                rounds=rounds,
            )
            for name, split in SPLITS.items()
        ]


def _planned(caller: Caller, size: int, split: Sequence[str]) -> float:
    wanted = {"release": f"{PRODUCT}:{VERSION}", "target": "id==*", "waves": WAVES, "split": split}
    took, rollout = caller.call("POST", "/rollouts", wanted)
    if rollout["size"] != size:
        raise RuntimeError(f"{size} devices should be members: {rollout['size']}")
    return took


@contextmanager
def _inserting(otaru: Otaru, size: int, url: str) -> Iterator[Callable[[], None]]:
    """The bare statement, committed, over a connection of our own."""
    numbers = iter(range(_FIRST_OF_BARE, 2 * _FIRST_OF_BARE))

    def check(found: int) -> None:
        if found != size:
            raise RuntimeError(f"the bare statement found {found} of {size} members")

    if url:
        text = _BARE.replace("%", "%%").replace(":rollout", "%(rollout)s").replace(":tenant", "%(tenant)s")
        with psycopg.connect(url, autocommit=True) as postgres:
            yield lambda: check(postgres.execute(text, {"tenant": TENANT, "rollout": next(numbers)}).rowcount)
        return
    with bare(otaru) as database:

        def insert() -> None:
            database.execute("BEGIN IMMEDIATE")
            done = database.execute(_BARE, {"tenant": TENANT, "rollout": next(numbers)})
            database.execute("COMMIT")
            check(done.rowcount)

        yield insert


def start(otaru: Otaru, size: int, rounds: int, database: str = "") -> Duel:
    """Start planned rollouts, which opens their first waves."""
    rollouts = iter(range(1, rounds + 1))
    with closing(Caller(otaru)) as caller, _changing(otaru, database) as change:
        return fight(
            "start a wave",
            otaru,
            lambda: caller.call("POST", f"/rollouts/{next(rollouts)}/start")[0],
            lambda: timed(change),
            devices=size,
            rounds=rounds,
        )


@contextmanager
def _changing(otaru: Otaru, url: str) -> Iterator[Callable[[], object]]:
    """One row changed, and committed."""
    with psycopg.connect(url, autocommit=True) if url else bare(otaru) as database:
        database.execute("CREATE TABLE bench_one (key INTEGER PRIMARY KEY, value INTEGER)")
        database.execute("INSERT INTO bench_one VALUES (1, 0)")
        yield lambda: database.execute("UPDATE bench_one SET value = value + 1 WHERE key = 1")


def main() -> int:
    """Only this, on SQLite or on an empty PostgreSQL database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=main.__doc__)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", default="", metavar="URL", help="postgresql://… (default: SQLite)")
    given = parser.parse_args()
    otaru = Otaru(*(("--database", given.database) if given.database else ()))
    try:
        if given.database:
            asyncio.run(fleets.fill(given.database, given.devices))
            otaru.serve()
        else:
            otaru.open(given.devices)
        duels = plan(otaru, given.devices, given.rounds, given.database)
        duels.append(start(otaru, given.devices, given.rounds, given.database))
    finally:
        otaru.stop()
    print("| what | devices | Otaru ms | bare SQL ms | Otaru by bare | CPU by CPU |\n|---|---|---|---|---|---|")
    for duel in duels:
        ours, other = shown(millis(duel.ours_s)), shown(millis(duel.bare_s))
        cpu = "-" if given.database else f"{duel.cpu_ratio:.2f}"
        print(f"| {duel.name} | {duel.devices:,} | {ours} | {other} | {shown(duel.ratio)} | {cpu} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
