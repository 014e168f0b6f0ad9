"""Members that can no longer carry a rollout out: no rollout waits for them, and none takes them up again."""

from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware, LifecycleEvent
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import Policy, RolloutEvent, RolloutState
from otaru.errors import InvalidStateError, NothingToDoError
from otaru.services.control import devices, releases, rollouts
from otaru.services.control.devices import Change
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, BOARD, Fleet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    return made


async def decommission(fleet: Fleet, *names: str) -> None:
    for name in names:
        await devices.move(fleet.world, ACME, SYSTEM, DeviceId(name), LifecycleEvent.DECOMMISSION)


async def test_a_planned_rollout_does_not_wait_for_who_is_gone(fleet: Fleet) -> None:
    await fleet.add("a")
    planned = await rollouts.create(fleet.world, ACME, SYSTEM, Intention(APP, Version("2"), "id==*", Policy()))
    await decommission(fleet, "a")
    await fleet.hold_counters(planned.id)
    assert await fleet.counts(planned.id) == {State.SKIPPED: 1}
    await rollouts.order(fleet.world, ACME, SYSTEM, planned.id, RolloutEvent.START)
    assert (await fleet.show(planned.id)).state is RolloutState.FINISHED


async def test_a_scheduled_rollout_does_not_wait_for_who_is_gone(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.add("a")
    start_at = clock.now() + timedelta(hours=1)
    wanted = Intention(APP, Version("2"), "id==*", Policy(), start_at=start_at)
    scheduled = await rollouts.create(fleet.world, ACME, SYSTEM, wanted)
    await decommission(fleet, "a")
    assert await fleet.counts(scheduled.id) == {State.SKIPPED: 1}
    clock.ahead = timedelta(hours=2)
    assert (await fleet.show(scheduled.id)).state is RolloutState.FINISHED


async def test_every_rollout_lets_go_of_who_is_gone(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    await fleet.release("3")
    running = await fleet.roll_out("2")
    planned = await rollouts.create(fleet.world, ACME, SYSTEM, Intention(APP, Version("3"), "id==*", Policy()))
    assert await fleet.poll("a") is State.OFFERED
    await decommission(fleet, "a")
    assert await fleet.counts(running) == {State.CANCELLED: 1, State.SCHEDULED: 1}
    assert await fleet.counts(planned.id) == {State.SKIPPED: 1, State.SCHEDULED: 1}, "the other one stays"


async def test_who_is_gone_is_not_tried_again(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    rollout = await fleet.roll_out()
    for name in ("a", "b"):
        await fleet.poll(name)
        await fleet.say(name, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    await decommission(fleet, "a")
    await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.counts(rollout) == {State.FAILED: 1, State.SCHEDULED: 1}
    assert await fleet.poll("b") is State.OFFERED
    await fleet.say("b", Event.SUCCEED, action=2)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED, "nobody waits for the one that is gone"
    with pytest.raises(NothingToDoError):
        await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)


async def finished(fleet: Fleet, policy: Policy | None = None) -> RolloutId:
    """A rollout that has failed on its one device."""
    await fleet.add("a")
    rollout = await fleet.roll_out(policy=policy)
    await fleet.poll("a")
    await fleet.say("a", Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    return rollout


async def test_what_is_withdrawn_is_not_tried_again(fleet: Fleet) -> None:
    rollout = await finished(fleet)
    await releases.move(fleet.world, ACME, SYSTEM, APP, Version("2"), ReleaseEvent.WITHDRAW)
    with pytest.raises(InvalidStateError, match="withdrawn"):
        await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.counts(rollout) == {State.FAILED: 1}
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_what_is_deprecated_may_be_tried_again(fleet: Fleet) -> None:
    rollout = await finished(fleet)
    await releases.move(fleet.world, ACME, SYSTEM, APP, Version("2"), ReleaseEvent.DEPRECATE)
    await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.poll("a") is State.OFFERED


async def test_an_expired_rollout_is_not_tried_again(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await finished(fleet, Policy(expires_after=timedelta(days=1)))
    clock.ahead = timedelta(days=1, seconds=1)
    with pytest.raises(InvalidStateError, match="expired"):
        await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.counts(rollout) == {State.FAILED: 1}
    clock.ahead = timedelta(hours=23)
    await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.poll("a") is State.OFFERED, "before that it may be"


async def rebuild(fleet: Fleet, name: str, hardware: Hardware) -> None:
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId(name), Change(hardware=hardware))


async def moves(fleet: Fleet, name: str) -> list[tuple[str, str, str]]:
    """From, to and reason of the deployments' moves of a device, as recorded."""
    found = await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 1000, name))
    moved = [one.what.data for one in found if one.what.kind is Kind.DEPLOYMENT_MOVED]
    return [(data["from"], data["to"], data.get("reason", "")) for data in moved]


async def test_a_device_rebuilt_after_the_offer_is_free_again(fleet: Fleet) -> None:
    other = Hardware("other")
    await fleet.add("a")
    await fleet.release("3", [BOARD, other])
    first, second = await fleet.roll_out("2"), await fleet.roll_out("3")
    assert await fleet.poll("a") is State.OFFERED
    await rebuild(fleet, "a", other)
    entry = await fleet.world.registry.device(ACME, DeviceId("a"))
    assert entry is not None
    assert entry.subject.open is not None
    assert entry.subject.open.state is State.CANCELLING, "the device is told at its next poll"
    await fleet.hold_counters(first)
    assert (await moves(fleet, "a"))[-1] == ("offered", "cancelling", "app 2 has nothing for other")
    assert await fleet.say("a", Event.CANCEL_DONE) is State.CANCELLED
    assert (await fleet.show(first)).state is RolloutState.FINISHED
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.counts(second) == {State.OFFERED: 1}


async def test_who_has_not_agreed_yet_is_cancelled_at_once(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out(policy=Policy(consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await rebuild(fleet, "a", Hardware("other"))
    assert await fleet.counts(rollout) == {State.CANCELLED: 1}
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_who_fits_still_goes_on(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    await rebuild(fleet, "a", Hardware("board", "b"))
    assert await fleet.poll("a") is State.OFFERED
    await rebuild(fleet, "a", Hardware("other"))
    await rebuild(fleet, "a", Hardware("another"))
    assert await fleet.counts(rollout) == {State.CANCELLING: 1}
    assert len(await moves(fleet, "a")) == 2, "an order to cancel is given once"
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED, "it was faster"
