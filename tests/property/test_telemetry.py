"""Channel C over its whole path: what devices tell, compared in SQL, becomes an e-value whose error is bounded."""

from dataclasses import replace
from math import log, sqrt
from random import Random

import pytest

from otaru.analysis import telemetry
from otaru.analysis.ruling import _changes
from otaru.domain.deployment import State
from otaru.domain.health import HealthEvent, Kind
from otaru.domain.ids import DeviceId
from otaru.domain.rollout import Policy, SequentialRule
from tests.support.databases import SqliteDatabases
from tests.support.fleet import HERE, NOW, a_device, a_rollout, later, open_shelf

RULE = SequentialRule()
PATHS = 30
DEVICES = 40
ALPHA = 0.1
HOURS = (1.2, 2.4, 3.6, 7.2, 12.0, 26.0, 50.0)


def a_path(url: str, random: Random, harm: float) -> float:
    """The highest log e-value of a rollout that `harm`s the batteries of those that it updates.

    Devices differ for ever (some drain, some charge, some leap), and a day moves them all; they come in any order.
    """
    names = [f"d{n:02}" for n in range(DEVICES)]
    drift = {name: random.gauss(0, 1) ** 3 for name in names}

    def told(name: str, hours: float, more: float = 0.0) -> HealthEvent:
        value = 60 + drift[name] * hours + 20 * (hours % 24 > 8) + random.gauss(0, 3) - more
        return HealthEvent(
            DeviceId(name), f"{hours}", Kind.SAMPLE, later(3600 * hours + random.random()), name="battery", value=value
        )

    best = 0.0
    with open_shelf(url) as shelf:
        release = shelf.stock(HERE, [a_device(name) for name in names])
        rollout = shelf.launch(HERE, replace(a_rollout(policy=Policy(sequential=RULE)), started_at=NOW), release)
        shelf.health.add(HERE, [told(name, -ago) for name in names for ago in (5.0, 3.0, 1.0)])
        updated = random.sample(names, DEVICES * 3 // 8)
        for name in updated:
            shelf.move(HERE, 1, name, State.SUCCEEDED)
        for hours in HOURS:
            for name in random.sample(names, DEVICES):
                shelf.health.add(HERE, [told(name, hours, harm if name in updated else 0.0)])
            changes = _changes(RULE.telemetry, shelf.health.risk(HERE, rollout.id))
            best = max(best, telemetry.log_e([changes]))
    return best


@pytest.mark.parametrize("harm", [0.0, 1.0])
def test_a_release_that_does_no_harm_or_little_is_hardly_ever_accused(
    sqlite_databases: SqliteDatabases, harm: float
) -> None:
    random = Random(3)
    accused = sum(a_path(sqlite_databases.fresh(), random, harm) >= -log(ALPHA) for _ in range(PATHS))
    assert accused <= PATHS * ALPHA + 2 * sqrt(PATHS * ALPHA * (1 - ALPHA))


def test_a_release_that_drains_batteries_is_accused(sqlite_databases: SqliteDatabases) -> None:
    random = Random(5)
    assert all(a_path(sqlite_databases.fresh(), random, 200.0) >= -log(ALPHA) for _ in range(3))
