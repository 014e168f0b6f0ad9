"""The port `Bundles`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.bundles import SqlBundles
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.bundle import Aboard, Exported
from otaru.domain.ids import ActionId, DeviceId, RolloutId
from tests.support.stores import ACME, NOW, RIVAL, later

DEV, OTHER = DeviceId("dev-1"), DeviceId("dev-2")
FIRST = Exported("r3-a", RolloutId(3), "user:anna", NOW, later(60), 2, "0" * 64)


@pytest.fixture
def bundles(database: str) -> Iterator[SqlBundles]:
    engine = open_writer(database)
    with engine.connect() as connection:
        yield SqlBundles(Session(connection))
    engine.dispose()


def test_what_was_exported_comes_back(bundles: SqlBundles) -> None:
    second = replace(FIRST, id="r4-b", rollout=RolloutId(4), created_at=later(1), devices=1)
    bundles.add(ACME, FIRST, [Aboard(DEV, ActionId(7), 12), Aboard(OTHER, ActionId(1), 1)])
    bundles.add(ACME, second, [Aboard(DEV, ActionId(8), 13)])
    assert bundles.get(ACME, "r3-a") == FIRST
    assert bundles.page(ACME, None, 10) == [second, FIRST]
    assert bundles.page(ACME, None, 1) == [second]
    assert bundles.page(ACME, RolloutId(3), 10) == [FIRST]
    assert bundles.aboard(ACME, "r3-a", 10) == [DEV, OTHER]
    assert bundles.aboard(ACME, "r3-a", 1) == [DEV]
    assert bundles.aboard(RIVAL, "r3-a", 10) == []
    assert [bundles.holds(ACME, "r4-b", device) for device in (DEV, OTHER)] == [True, False]


def test_tenants_never_see_one_another(bundles: SqlBundles) -> None:
    bundles.add(ACME, FIRST, [Aboard(DEV, ActionId(7), 12)])
    assert bundles.get(RIVAL, "r3-a") is None
    assert bundles.page(RIVAL, None, 10) == bundles.page(RIVAL, RolloutId(3), 10) == []
    assert not bundles.holds(RIVAL, "r3-a", DEV)
    assert bundles.of_action(RIVAL, DEV, ActionId(7), NOW) is None
    bundles.add(RIVAL, FIRST, [])


def test_the_stick_that_an_order_lies_on(bundles: SqlBundles) -> None:
    longer = replace(FIRST, id="r3-b", expires_at=later(120))
    for one in (FIRST, longer, replace(FIRST, id="r3-c", expires_at=later(90))):
        bundles.add(ACME, one, [Aboard(DEV, ActionId(7), 12)])
    assert bundles.of_action(ACME, DEV, ActionId(7), NOW) == longer
    assert bundles.of_action(ACME, DEV, ActionId(7), later(120)) is None
    assert bundles.of_action(ACME, DEV, ActionId(8), NOW) is None


def test_those_that_ended_long_ago_are_forgotten(bundles: SqlBundles) -> None:
    for number in range(5):
        one = replace(FIRST, id=f"b-{number}", expires_at=later(number))
        for tenant in (ACME, RIVAL):
            bundles.add(tenant, one, [Aboard(DEV, ActionId(7), 12)])
    assert [bundles.prune(later(3), 4) for _ in range(3)] == [4, 2, 0]
    for tenant in (ACME, RIVAL):
        assert sorted(one.id for one in bundles.page(tenant, None, 9)) == ["b-3", "b-4"]
        assert [bundles.holds(tenant, f"b-{number}", DEV) for number in (2, 3)] == [False, True]
