"""Planning a rollout and starting it, through the REST API, against the bare statements.

The bare statement of planning inserts a row for each device that fits and does not run the version, into the same table
with the same indexes, in the order of the key, and commits: what the database cannot do without. Its ranks are numbers
of the same size that nobody has sorted; it gives no waves and counts nothing. Starting a wave is compared with a commit
of one changed row.
"""

from benchmarks.duel import Caller, Duel, bare, fight, timed
from benchmarks.subjects import TENANT
from benchmarks.subjects.otaru import Otaru

PRODUCT, VERSION = "app", "1.1.0"
WAVES = ["1%", "5%", "10%", "20%", "40%", "60%", "80%", "100%"]

_BARE = """
INSERT INTO deployment (tenant, rollout, device, attempt, current, state, segment, wave, rank, changed_at)
SELECT v.tenant, :rollout, v.device, 1, true, 'scheduled', 0, 0, v.lot % 1000000, v.created_at FROM device v
WHERE v.tenant = :tenant AND v.lifecycle = 'active' AND v.model IN ('model-0', 'model-1', 'model-2', 'model-3')
AND NOT EXISTS (SELECT 1 FROM device_component c WHERE c.tenant = v.tenant AND c.device = v.device
  AND c.component = 'app' AND c.version = '1.1.0')
ORDER BY v.device"""
_FIRST_OF_BARE = 1_000_000
"""Rollouts of the bare statement are numbered from here: Otaru knows none of them."""


def plan(otaru: Otaru, size: int, rounds: int) -> Duel:
    """`POST /rollouts` for the whole fleet. Leaves `rounds` planned rollouts, 1, 2, 3 …"""
    otaru.release(PRODUCT, VERSION, [f"model-{n}" for n in range(4)], b"firmware of the benchmark")
    wanted = {"release": f"{PRODUCT}:{VERSION}", "target": "id==*", "waves": WAVES}
    caller, numbers = Caller(otaru), iter(range(_FIRST_OF_BARE, 2 * _FIRST_OF_BARE))

    def ours() -> float:
        took, rollout = caller.call("POST", "/rollouts", wanted)
        if rollout["size"] != size:
            raise RuntimeError(f"{size} devices should be members: {rollout['size']}")
        return took

    with bare(otaru) as database:

        def insert() -> None:
            database.execute("BEGIN IMMEDIATE")
            done = database.execute(_BARE, {"tenant": TENANT, "rollout": next(numbers)})
            database.execute("COMMIT")
            if done.rowcount != size:
                raise RuntimeError(f"the bare statement found {done.rowcount} of {size} members")

        duel = fight("plan a rollout", otaru, ours, lambda: timed(insert), devices=size, rounds=rounds)
    caller.close()
    return duel


def start(otaru: Otaru, size: int, rounds: int) -> Duel:
    """Start each planned rollout, which opens its first wave."""
    caller, rollouts = Caller(otaru), iter(range(1, rounds + 1))
    with bare(otaru) as database:
        database.execute("CREATE TABLE bench_one (key INTEGER PRIMARY KEY, value INTEGER)")
        database.execute("INSERT INTO bench_one VALUES (1, 0)")

        def other() -> float:
            return timed(lambda: database.execute("UPDATE bench_one SET value = value + 1 WHERE key = 1"))

        duel = fight(
            "start a wave",
            otaru,
            lambda: caller.call("POST", f"/rollouts/{next(rollouts)}/start")[0],
            other,
            devices=size,
            rounds=rounds,
        )
    caller.close()
    return duel
