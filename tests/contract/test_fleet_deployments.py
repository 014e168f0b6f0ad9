"""The port `Deployments`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import device
from otaru.domain.consent import Delay
from otaru.domain.deployment import OPEN, Deployment, State
from otaru.domain.evidence import Tally
from otaru.domain.ids import MAX_ACTION, ActionId, DeviceId, RolloutId, TenantId
from otaru.domain.rollout import Policy, Share
from otaru.errors import NotFoundError
from tests.support.fleet import HERE, THERE, Shelf, a_device, a_release, a_rollout, later, open_shelf, shelf_on

ONE, TWO, THREE = RolloutId(1), RolloutId(2), RolloutId(3)
DEVS = [DeviceId(f"dev-{n}") for n in range(6)]
FLEET = [a_device(name) for name in DEVS]


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    """Six devices, in two rollouts each, in two tenants."""
    with open_shelf(database) as shelf:
        for tenant in (HERE, THERE):
            release = shelf.stock(tenant, FLEET)
            shelf.launch(tenant, a_rollout(1), release)
            shelf.launch(tenant, a_rollout(2, seed=8), release)
        yield shelf


def member(shelf: Shelf, rollout: RolloutId, name: str, tenant: TenantId = HERE) -> Deployment:
    (found,) = shelf.deployments.current(tenant, [(rollout, DeviceId(name))])
    assert found is not None
    return found


def whole(tenant: TenantId, shelf: Shelf) -> list[Deployment]:
    return [d for number in (ONE, TWO) for d in shelf.deployments.page(tenant, number, (), None, 100)]


def counted(shelf: Shelf, tenant: TenantId = HERE) -> dict[int, Tally]:
    evidence = shelf.rollouts.evidence(tenant, ONE)
    assert evidence == shelf.rollouts.recounted(tenant, ONE)
    return evidence.waves


def test_current_answers_in_the_order_asked(shelf: Shelf) -> None:
    keys = [(TWO, DEVS[3]), (ONE, DEVS[0]), (ONE, DeviceId("ghost")), (TWO, DEVS[3]), (RolloutId(9), DEVS[0])]
    found = shelf.deployments.current(HERE, keys)
    assert [d and (d.rollout, d.device) for d in found] == [keys[0], keys[1], None, keys[3], None]
    assert shelf.deployments.current(HERE, []) == []


def test_actions_count_up_for_each_device(shelf: Shelf) -> None:
    assert shelf.deployments.allot(HERE, [DEVS[1], DEVS[0]]) == [1, 1]
    assert shelf.deployments.allot(HERE, [DEVS[1], DEVS[2]]) == [2, 1]
    assert shelf.deployments.allot(THERE, [DEVS[1]]) == [1]
    assert shelf.deployments.allot(HERE, []) == []
    with pytest.raises(NotFoundError):
        shelf.deployments.allot(HERE, [DEVS[0], DeviceId("ghost")])


def test_no_action_is_2_to_the_31_or_more(shelf: Shelf) -> None:
    last = update(device).where(device.c.tenant == HERE, device.c.device == DEVS[0])
    shelf.session.connection.execute(last.values(last_action=MAX_ACTION - 1))
    assert shelf.deployments.allot(HERE, [DEVS[0]]) == [MAX_ACTION]
    with pytest.raises(NotFoundError):
        shelf.deployments.allot(HERE, [DEVS[0]])


def test_what_is_saved_comes_back(shelf: Shelf) -> None:
    before = [member(shelf, ONE, name) for name in DEVS[:2]]
    after = [
        replace(
            before[0],
            state=State.DOWNLOADING,
            action=ActionId(5),
            changed_at=later(3),
            offered_at=later(1),
        ),
        replace(
            before[1],
            state=State.FAILED,
            action=ActionId(6),
            changed_at=later(4),
            offered_at=later(2),
            ended_at=later(4),
            reason="no 'space' left ü",
        ),
    ]
    shelf.deployments.save(HERE, list(zip(before, after, strict=True)))
    assert shelf.deployments.current(HERE, [(ONE, DEVS[0]), (ONE, DEVS[1])]) == after
    keys = [(DEVS[1], ActionId(6)), (DEVS[0], ActionId(6)), (DEVS[0], ActionId(5)), (DEVS[1], ActionId(6))]
    assert shelf.deployments.by_action(HERE, keys) == [after[1], None, after[0], after[1]]
    assert shelf.deployments.by_action(HERE, []) == []
    assert counted(shelf) == {0: Tally({State.SCHEDULED: 4, State.DOWNLOADING: 1, State.FAILED: 1})}
    shelf.deployments.save(HERE, [])
    silent = replace(after[1], reason="")
    shelf.deployments.save(HERE, [(after[1], silent)])
    assert member(shelf, ONE, DEVS[1]) == silent


def test_counters_follow_the_rows_not_the_caller(shelf: Shelf) -> None:
    before = member(shelf, ONE, DEVS[0])
    offered = replace(before, state=State.OFFERED, action=ActionId(1))
    shelf.deployments.save(HERE, [(before, offered)])
    shelf.deployments.save(HERE, [(before, replace(offered, state=State.INSTALLING))])
    assert counted(shelf) == {0: Tally({State.SCHEDULED: 5, State.INSTALLING: 1})}


def test_workers_count_in_shards_of_their_own(shelf: Shelf) -> None:
    others = shelf_on(Session(shelf.session.connection, shard=15))
    shelf.move(HERE, 1, DEVS[0], State.OFFERED)
    others.move(HERE, 1, DEVS[0], State.SUCCEEDED)
    others.rollouts.move_all(HERE, ONE, {State.SCHEDULED}, State.SKIPPED, "", later(3))
    assert counted(shelf) == {0: Tally({State.SUCCEEDED: 1, State.SKIPPED: 5})}


def test_a_past_attempt_moves_without_counters(shelf: Shelf) -> None:
    silent = shelf.move(HERE, 1, DEVS[0], State.SILENT)
    shelf.rollouts.retry(HERE, ONE, {State.SILENT}, later(5))
    tallies = counted(shelf)
    after = replace(silent, state=State.SUCCEEDED, changed_at=later(9))
    shelf.deployments.save(HERE, [(silent, after)])
    assert counted(shelf) == tallies
    assert shelf.deployments.by_action(HERE, [(DEVS[0], silent.action)]) == [after]
    assert member(shelf, ONE, DEVS[0]).attempt == 2


def test_a_stranger_is_not_saved(shelf: Shelf) -> None:
    ghost = replace(member(shelf, ONE, DEVS[0]), device=DeviceId("ghost"))
    known = member(shelf, ONE, DEVS[1])
    changes = [(known, replace(known, state=State.SKIPPED)), (ghost, replace(ghost, state=State.SKIPPED))]
    with pytest.raises(NotFoundError):
        shelf.deployments.save(HERE, changes)
    assert member(shelf, ONE, DEVS[1]) == known


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_device_has_one_open_deployment(shelf: Shelf, state: State) -> None:
    shelf.move(HERE, 1, DEVS[0], state)
    shelf.move(THERE, 2, DEVS[0], state)
    with pytest.raises(IntegrityError):
        shelf.move(HERE, 2, DEVS[0], State.OFFERED)


def test_one_call_may_close_a_deployment_and_open_the_next(shelf: Shelf) -> None:
    first, second = shelf.move(HERE, 1, DEVS[0], State.INSTALLING), member(shelf, TWO, DEVS[0])
    opened = replace(second, state=State.OFFERED, action=ActionId(2))
    shelf.deployments.save(HERE, [(second, opened), (first, replace(first, state=State.SUCCEEDED))])
    assert shelf.deployments.open_of(HERE, DEVS[0]) == opened


def test_open_of_names_the_open_one(shelf: Shelf) -> None:
    assert shelf.deployments.open_of(HERE, DEVS[0]) is None
    shelf.move(HERE, 1, DEVS[0], State.SUCCEEDED)
    assert shelf.deployments.open_of(HERE, DEVS[0]) is None
    opened = shelf.move(HERE, 2, DEVS[0], State.CANCELLING, "why")
    assert shelf.deployments.open_of(HERE, DEVS[0]) == opened


def test_unended_are_all_that_wait_or_are_open(shelf: Shelf) -> None:
    opened = shelf.move(HERE, 2, DEVS[0], State.INSTALLING, "why")
    assert shelf.deployments.unended_of(HERE, DEVS[0]) == [member(shelf, ONE, DEVS[0]), opened]
    shelf.move(HERE, 1, DEVS[0], State.FAILED)
    assert shelf.deployments.unended_of(HERE, DEVS[0]) == [opened]
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(5))
    shelf.move(HERE, 2, DEVS[0], State.SUCCEEDED)
    assert [(d.rollout, d.attempt) for d in shelf.deployments.unended_of(HERE, DEVS[0])] == [(ONE, 2)]
    assert shelf.deployments.unended_of(HERE, DeviceId("ghost")) == []
    assert shelf.deployments.unended_of(TenantId("nobody"), DEVS[0]) == []


def test_a_devices_history_is_newest_first(shelf: Shelf) -> None:
    shelf.move(HERE, 2, DEVS[0], State.FAILED, "words")
    history = shelf.deployments.of_device(HERE, DEVS[0], 10)
    assert [(d.rollout, d.state, d.reason) for d, _ in history] == [
        (2, State.FAILED, "words"),
        (1, State.SCHEDULED, ""),
    ]
    for deployment, rollout in history:
        stored = shelf.rollouts.get(HERE, deployment.rollout)
        assert stored is not None
        assert rollout == replace(stored, waves=(), segments=())
    assert len(shelf.deployments.of_device(HERE, DEVS[0], 1)) == 1
    assert shelf.deployments.of_device(HERE, DeviceId("ghost"), 10) == []


def test_pages_are_complete_and_without_duplicates(shelf: Shelf) -> None:
    shelf.move(HERE, 1, DEVS[1], State.FAILED)
    shelf.move(HERE, 1, DEVS[4], State.FAILED)
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(5))
    shelf.move(HERE, 1, DEVS[1], State.FAILED, "again")
    shelf.move(HERE, 1, DEVS[0], State.INSTALLING)
    for states, wanted in (
        ((), DEVS),
        ((State.SCHEDULED,), [DEVS[2], DEVS[3], DEVS[4], DEVS[5]]),
        ((State.SCHEDULED, State.FAILED), DEVS[1:]),
        ((State.FAILED, State.FAILED), [DEVS[1]]),
        ((State.SILENT,), []),
    ):
        for limit in (1, 2, 4, 100):
            after = None
            seen: list[Deployment] = []
            while page := shelf.deployments.page(HERE, ONE, states, after, limit):
                assert len(page) <= limit
                seen += page
                after = page[-1].device
            assert [d.device for d in seen] == wanted, (states, limit)
    assert [d.reason for d in shelf.deployments.page(HERE, ONE, (State.FAILED,), None, 9)] == ["again"]


def test_members_are_read_by_wave(shelf: Shelf) -> None:
    three = replace(a_rollout(3), policy=Policy(waves=(Share(2, False),)))
    for tenant in (HERE, THERE):
        shelf.launch(tenant, three, a_release())
    everybody = shelf.deployments.page(HERE, THREE, (), None, 9)
    for wave in range(2):
        wanted = [d for d in everybody if d.wave == wave]
        assert wanted
        for states in ((), (State.SCHEDULED, State.FAILED)):
            assert shelf.deployments.page(HERE, THREE, states, None, 9, wave) == wanted
            assert shelf.deployments.page(HERE, THREE, states, wanted[0].device, 1, wave) == wanted[1:2]
    assert shelf.deployments.page(HERE, THREE, (), None, 9, 7) == []


def test_who_of_a_wave_has_not_been_heard_of(shelf: Shelf) -> None:
    shelf.devices.contacts([(HERE, name, later(n), "") for n, name in enumerate(reversed(DEVS[:4]), start=1)])
    shelf.move(HERE, 1, DEVS[1], State.INSTALLING)
    shelf.move(HERE, 1, DEVS[2], State.FAILED)
    waves = {d.device: d.wave for d in shelf.deployments.page(HERE, ONE, (), None, 9)}

    def unheard(wave: int | None, seconds: int, limit: int = 9, among: int = 9) -> list[DeviceId]:
        return shelf.deployments.unheard(HERE, ONE, wave, later(seconds), limit, among)

    never = [DEVS[4], DEVS[5]]
    assert unheard(None, 0) == never
    assert unheard(None, 60) == [*never, DEVS[3], DEVS[1], DEVS[0]], "who has ended is not waited for"
    assert unheard(None, 2) == [*never, DEVS[3]]
    assert unheard(None, 60, limit=3) == [*never, DEVS[3]]
    assert unheard(None, 60, among=1) == [DEVS[1], DEVS[0]], "one of each state is looked at"
    assert unheard(7, 60) == []
    for wave in set(waves.values()):
        assert unheard(wave, 60) == [name for name in unheard(None, 60) if waves[name] == wave]


def test_reasons_are_counted_most_frequent_first(shelf: Shelf) -> None:
    for name in DEVS[:2]:
        shelf.move(HERE, 1, name, State.FAILED, "disk full")
    shelf.move(HERE, 1, DEVS[2], State.REVERTED, "no network")
    shelf.move(HERE, 1, DEVS[3], State.FAILED)
    shelf.move(HERE, 1, DEVS[4], State.SUCCEEDED, "installed")
    wanted = [(State.FAILED, "disk full", 2), (State.FAILED, "", 1), (State.REVERTED, "no network", 1)]
    assert shelf.deployments.reasons(HERE, ONE, 10) == wanted
    assert shelf.deployments.reasons(HERE, ONE, 1) == wanted[:1]
    assert shelf.deployments.reasons(HERE, ONE, 10, among=1) == [(State.FAILED, "disk full", 1), wanted[2]]
    assert shelf.deployments.reasons(HERE, ONE, 10, among=0) == []
    shelf.rollouts.retry(HERE, ONE, {State.FAILED}, later(5))
    assert shelf.deployments.reasons(HERE, ONE, 10) == wanted[2:]


def test_a_tenant_moves_its_own_deployments_only(shelf: Shelf) -> None:
    theirs = shelf.move(THERE, 1, DEVS[0], State.INSTALLING, "theirs")
    before = whole(THERE, shelf)
    shelf.move(HERE, 1, DEVS[0], State.FAILED, "mine")
    assert whole(THERE, shelf) == before
    assert counted(shelf, THERE) == {0: Tally({State.SCHEDULED: 5, State.INSTALLING: 1})}
    assert shelf.deployments.by_action(THERE, [(DEVS[0], theirs.action)]) == [theirs]
    assert shelf.deployments.open_of(HERE, DEVS[0]) is None
    assert shelf.deployments.open_of(THERE, DEVS[0]) == theirs
    nobody = TenantId("nobody")
    assert shelf.deployments.current(nobody, [(ONE, DEVS[0])]) == [None]
    assert shelf.deployments.by_action(nobody, [(DEVS[0], theirs.action)]) == [None]
    assert shelf.deployments.of_device(nobody, DEVS[0], 9) == []
    assert shelf.deployments.page(nobody, ONE, (), None, 9) == []
    assert shelf.deployments.page(nobody, ONE, tuple(State), None, 9) == []
    assert shelf.deployments.reasons(nobody, ONE, 9) == []
    with pytest.raises(NotFoundError):
        shelf.deployments.allot(nobody, [DEVS[0]])
    with pytest.raises(NotFoundError):
        shelf.deployments.save(nobody, [(theirs, replace(theirs, state=State.SUCCEEDED))])


def test_a_delay_is_kept_for_one_attempt_of_one_device(shelf: Shelf) -> None:
    mine, other = member(shelf, ONE, "dev-1"), member(shelf, TWO, "dev-1")
    assert shelf.deployments.delay(HERE, mine) is None
    for times in (1, 2):
        shelf.deployments.delay_until(HERE, mine, Delay(later(times), times))
    assert shelf.deployments.delay(HERE, mine) == Delay(later(2), 2)
    assert shelf.deployments.delay(HERE, other) is None
    assert shelf.deployments.delay(HERE, replace(mine, attempt=2)) is None
    assert shelf.deployments.delay(THERE, mine) is None
