"""Who took a bad release, and who of them can go back: the port `Rollouts`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Installed, Source
from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.domain.rollout import Policy, Rollout, Share, Stratum, laid_out
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, a_release, a_rollout, open_shelf

BAD, BACK = RolloutId(1), RolloutId(2)
NAMES = [f"dev-{n}" for n in range(6)]
BASE = Version("1.0.0")


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            release = shelf.stock(tenant, [a_device(name) for name in NAMES])
            assert shelf.releases.add(tenant, a_release("1.0.0"))
            shelf.launch(tenant, a_rollout(), release)
        for name, base in zip(NAMES, (BASE, BASE, BASE, BASE, Version("0.9"), None), strict=True):
            took(shelf, name, base)
        yield shelf


def took(shelf: Shelf, name: str, base: Version | None) -> None:
    (before,) = shelf.deployments.current(HERE, [(BAD, DeviceId(name))])
    assert before is not None
    (action,) = shelf.deployments.allot(HERE, [before.device])
    after = replace(before, state=State.SUCCEEDED, action=ActionId(action), base=base)
    shelf.deployments.save(HERE, [(before, after)])
    assert shelf.deployments.current(HERE, [(BAD, before.device)]) == [after]
    runs(shelf, name, "1.1.0")


def runs(shelf: Shelf, name: str, version: str, counter: int = 0) -> None:
    fact = Installed("app", Version(version), Source.OTARU, NOW, counter=counter)
    shelf.devices.install(HERE, [(DeviceId(name), fact)])


def bad(shelf: Shelf) -> Rollout:
    found = shelf.rollouts.get(HERE, BAD)
    assert found is not None
    return found


def bring(shelf: Shelf, number: RolloutId = BACK) -> Rollout:
    release = a_release("1.0.0")
    strata = shelf.rollouts.strata_back(HERE, bad(shelf), BASE, release, NOW)
    policy = Policy(waves=(Share(1, percent=False), Share(100, percent=True)))
    rollout = replace(a_rollout(int(number), policy=policy), version=BASE, rolls_back=BAD)
    rollout = laid_out(rollout, strata)
    shelf.rollouts.add(HERE, rollout)
    assert shelf.rollouts.enlist_back(HERE, rollout, bad(shelf), release, strata) == rollout.size
    return rollout


def test_what_they_ran_before_is_counted_where_they_run_it_now(shelf: Shelf) -> None:
    runs(shelf, "dev-3", "1.2.0")
    assert dict(shelf.rollouts.bases(HERE, bad(shelf), "app")) == {BASE: 3, Version("0.9"): 1, None: 1}
    assert shelf.rollouts.bases(HERE, bad(shelf), "os") == []


def test_each_is_left_out_for_its_reason(shelf: Shelf) -> None:
    release = a_release("1.0.0")
    assert shelf.rollouts.strata_back(HERE, bad(shelf), BASE, release, NOW) == (Stratum((), 4),)
    assert shelf.rollouts.left_behind(HERE, bad(shelf), BASE, release, NOW) == {}
    runs(shelf, "dev-0", "1.1.0", counter=3)
    device = shelf.devices.get(HERE, DeviceId("dev-1"))
    assert device is not None
    shelf.devices.save(HERE, replace(device, hardware=Hardware("other"), updated_at=NOW))
    left = shelf.rollouts.left_behind(HERE, bad(shelf), BASE, release, NOW)
    assert left == {"misfit": 1, "security floor": 1}
    assert shelf.rollouts.left_behind(HERE, bad(shelf), BASE, replace(release, counter=3), NOW) == {"misfit": 1}
    rollout = bring(shelf)
    assert rollout.size == 2
    left = shelf.rollouts.left_behind(HERE, bad(shelf), BASE, release, NOW)
    assert left == {"misfit": 1, "security floor": 1, "going back": 2}
    assert shelf.rollouts.strata_back(HERE, bad(shelf), BASE, release, NOW + timedelta(days=1)) == ()


def test_members_are_ranked_in_waves_and_counted_and_the_rollouts_are_linked(shelf: Shelf) -> None:
    rollout = bring(shelf)
    members = shelf.deployments.page(HERE, BACK, (), None, 10)
    assert sorted(member.device for member in members) == NAMES[:4]
    assert sorted((member.rank, member.wave) for member in members) == [(0, 0), (1, 1), (2, 1), (3, 1)]
    assert shelf.rollouts.evidence(HERE, BACK) == shelf.rollouts.recounted(HERE, BACK)
    assert shelf.rollouts.get(HERE, BACK) == rollout
    assert shelf.rollouts.rolling_back(HERE, [BAD, BACK]) == {BAD: [BACK]}
    assert shelf.rollouts.rolling_back(THERE, [BAD]) == {}
