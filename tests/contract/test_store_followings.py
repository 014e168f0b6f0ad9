"""The port `Followings`, and what rollouts and releases answer it, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.domain.following import Following, Look, Stream
from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName, RolloutId, TenantId, Version
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import Follows, Growth, Policy, RolloutState, Shape
from otaru.domain.terms import Terms
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_release, a_rollout, later, open_shelf

APP = ProductName("app")
LAB, SHOP = GroupName("lab"), GroupName("shop")
STABLE, BETA = Stream(LAB, APP, "stable"), Stream(LAB, APP, "beta")
QUIET = Look(make=False)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            shelf.stock(tenant, [a_device("dev-0")])
        yield shelf


def an_order(stream: Stream = STABLE) -> Following:
    return Following(stream, Policy(continuous=True), Growth(Shape.EXPONENTIAL, 5, 3.0), "why", NOW, NOW, "user:alice")


def stirred(shelf: Shelf, *, again: bool = False) -> list[tuple[TenantId, Stream]]:
    return shelf.followings.every_stirred(9, again=again)


def publish(shelf: Shelf, version: str, channel: str = "stable", tenant: TenantId = HERE) -> None:
    assert shelf.releases.add(tenant, replace(a_release(version), terms=Terms(channel=channel)))


def test_orders_come_back_by_name(shelf: Shelf) -> None:
    shop = an_order(Stream(SHOP, APP, "stable"))
    for order in (shop, an_order(), an_order(BETA)):
        shelf.followings.put(HERE, order)
    assert shelf.followings.page(HERE, None, 9) == [an_order(BETA), an_order(), shop]
    assert shelf.followings.page(HERE, BETA, 1) == [an_order()]
    assert shelf.followings.page(HERE, None, 9, group=SHOP) == [shop]
    assert shelf.followings.page(HERE, None, 9, product=APP, channel="beta") == [an_order(BETA)]
    assert (shelf.followings.count(HERE), shelf.followings.count(THERE)) == (3, 0)
    assert (shelf.followings.get(HERE, STABLE), shelf.followings.get(THERE, STABLE)) == (an_order(), None)
    changed = replace(an_order(), growth=None, reason="", updated_at=later(1), edition=2)
    shelf.followings.put(HERE, changed)
    assert shelf.followings.get(HERE, STABLE) == changed
    assert [shelf.followings.remove(tenant, STABLE) for tenant in (THERE, HERE, HERE)] == [False, True, False]
    assert shelf.followings.count(HERE) == 2


def test_what_was_found_is_kept_until_something_changes(shelf: Shelf) -> None:
    for tenant in (HERE, THERE):
        shelf.followings.put(tenant, an_order())
    assert stirred(shelf) == [(HERE, STABLE), (THERE, STABLE)]
    shelf.followings.deal(THERE, STABLE, QUIET)
    shelf.followings.deal(HERE, STABLE, Look(make=False, waits="for you", stuck=True))
    kept = shelf.followings.get(HERE, STABLE)
    assert kept == replace(an_order(), waits="for you", stuck=True)
    assert [shelf.followings.count(tenant, stuck=True) for tenant in (HERE, THERE)] == [1, 0]
    assert shelf.followings.page(HERE, None, 9, stuck=True) == [kept]
    assert shelf.followings.page(THERE, None, 9, stuck=True) == []
    assert stirred(shelf) == []
    assert stirred(shelf, again=True) == [(HERE, STABLE)], "what waits is looked at again now and then"
    publish(shelf, "1.0.9")
    publish(shelf, "7.0.0", "beta")
    assert stirred(shelf) == [], "nothing newer in the channel"
    publish(shelf, "1.2.0")
    assert stirred(shelf) == [(HERE, STABLE)]
    shelf.followings.deal(HERE, STABLE, QUIET)
    made = replace(a_rollout(), follows=STABLE.follows)
    shelf.rollouts.add(HERE, made)
    assert stirred(shelf) == [(HERE, STABLE)], "a rollout of its"
    shelf.followings.deal(HERE, STABLE, QUIET)
    shelf.rollouts.save(HERE, replace(made, reason="why", edition=2))
    assert stirred(shelf) == []
    shelf.rollouts.save(HERE, replace(made, state=RolloutState.PAUSED))
    assert stirred(shelf) == [(HERE, STABLE)], "in another state"
    shelf.followings.deal(HERE, STABLE, QUIET)
    shelf.followings.put(HERE, an_order())
    assert stirred(shelf) == [(HERE, STABLE)], "given anew"


def test_a_halted_tenant_waits(shelf: Shelf) -> None:
    halted = TenantId("halted")
    shelf.tenant(halted, halted=True)
    for tenant in (HERE, THERE, halted):
        shelf.followings.put(tenant, an_order())
    assert stirred(shelf) == stirred(shelf, again=True) == [(HERE, STABLE), (THERE, STABLE)]
    assert shelf.followings.every_stirred(1) == [(HERE, STABLE)]


def test_the_newest_release_of_a_channel_is_published(shelf: Shelf) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        publish(shelf, version)
    publish(shelf, "9.0.0", "beta")
    publish(shelf, "5.0.0", tenant=THERE)
    assert shelf.releases.add(HERE, replace(a_release("3.0.0"), state=ReleaseState.DRAFT))
    found = shelf.releases.newest_of(HERE, APP, "stable")
    assert found is not None
    assert found.version == "2.0.0-rc.1"
    shelf.releases.save(HERE, replace(found, state=ReleaseState.DEPRECATED))
    found = shelf.releases.newest_of(HERE, APP, "stable")
    assert found is not None
    assert found.version == "1.10.0"
    assert shelf.releases.newest_of(HERE, APP, "none") is None


def test_the_last_rollout_of_an_order_is_found(shelf: Shelf) -> None:
    of_beta = Follows(LAB, "beta")
    made = [
        replace(a_rollout(1), follows=STABLE.follows, superseded_by=RolloutId(2)),
        replace(a_rollout(2), follows=STABLE.follows, version=Version("1.2.0")),
        replace(a_rollout(3), follows=of_beta),
        a_rollout(4),
    ]
    for rollout in made:
        shelf.rollouts.add(HERE, rollout)
    assert shelf.rollouts.last_of(HERE, APP, STABLE.follows) == made[1]
    assert shelf.rollouts.last_of(HERE, APP, STABLE.follows, Version("1.1.0")) == made[0]
    assert shelf.rollouts.last_of(HERE, APP, STABLE.follows, Version("9")) is None
    assert shelf.rollouts.last_of(HERE, APP, of_beta) == made[2]
    assert shelf.rollouts.last_of(THERE, APP, STABLE.follows) is None
    assert shelf.rollouts.last_of(HERE, ProductName("os"), STABLE.follows) is None
