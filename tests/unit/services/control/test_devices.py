from datetime import timedelta

import pytest

from otaru.domain.deployment import FINAL, OPEN, Deployment, State
from otaru.domain.device import MAX_COMPONENTS, Hardware, Lifecycle, LifecycleEvent, Source
from otaru.domain.events import START
from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, PreconditionFailedError, TooLargeError
from otaru.services.control import devices, survey
from otaru.services.control.devices import Change, NewDevice
from otaru.services.control.leaving import ended
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, NOW, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

DEVICE = DeviceId("dev-1")
NEW = NewDevice(DEVICE, Hardware("rpi4"), installed={"app": Version("1.0")})


@pytest.mark.parametrize("state", [State.SCHEDULED, *sorted(OPEN)])
def test_whatever_a_gone_device_was_at_ends(state: State) -> None:
    row = Deployment(RolloutId(1), DEVICE, 1, state, 0, 0, 0, ActionId(1), NOW)
    after = ended(row, NOW + timedelta(seconds=1))
    assert after.state in {State.CANCELLED, State.SKIPPED} <= FINAL
    assert (after.ended_at, after.changed_at) == (NOW + timedelta(seconds=1),) * 2


async def test_a_device_that_registers_itself_waits_for_acceptance(world: World) -> None:
    entry = await devices.register(world, ACME, DEVICE)
    assert entry.subject.lifecycle is Lifecycle.PENDING
    assert await devices.register(world, ACME, DEVICE) == entry
    assert (await devices.move(world, ACME, SYSTEM, DEVICE, LifecycleEvent.ACCEPT)).lifecycle is Lifecycle.ACTIVE
    assert (await devices.register(world, ACME, DEVICE)).subject.lifecycle is Lifecycle.ACTIVE
    found = await survey.events(world, ACME, START, 10, subject=DEVICE)
    assert [e.what.actor for e in found] == ["device:dev-1", "system"]


async def test_a_change_meets_what_is_known(world: World, clock: SettableClock) -> None:
    await devices.add(world, ACME, SYSTEM, NEW)
    clock.ahead = timedelta(hours=1)
    same = Change(installed={"app": Version("1.0")})
    assert (await devices.change(world, ACME, SYSTEM, DEVICE, same)).edition == 1
    more = Change(installed={"os": Version("12")}, attributes={"a": "b", "none": None})
    after = await devices.change(world, ACME, SYSTEM, DEVICE, more, edition=1)
    assert {(i.component, i.version, i.source) for i in after.installed} == {
        ("app", "1.0", Source.FACTORY),
        ("os", "12", Source.OFFLINE),
    }
    assert after.attributes == {"a": "b"}
    shown = await survey.device(world, ACME, DEVICE)
    assert shown.device == after
    assert (shown.state, shown.history) == (None, [])
    with pytest.raises(PreconditionFailedError):
        await devices.change(world, ACME, SYSTEM, DEVICE, Change(tags=frozenset({"a"})), edition=1)


async def test_a_change_does_not_pass_the_limits_together_with_what_is_known(world: World) -> None:
    await devices.add(world, ACME, SYSTEM, NEW)
    many = {f"c{n}": Version("1") for n in range(MAX_COMPONENTS)}
    with pytest.raises(TooLargeError):
        await devices.change(world, ACME, SYSTEM, DEVICE, Change(installed=many))
    assert (await survey.device(world, ACME, DEVICE)).device.edition == 1


async def test_the_registry_forgets_before_the_change_is_answered(world: World) -> None:
    added = await devices.add(world, ACME, SYSTEM, NEW)
    before = await world.registry.device(ACME, DEVICE)
    assert before is not None
    await devices.new_token(world, ACME, SYSTEM, DEVICE)
    after = await world.registry.device(ACME, DEVICE)
    assert after is not None
    assert after.token_hash != before.token_hash
    await devices.decommission(world, ACME, SYSTEM, DEVICE)
    gone = await world.registry.device(ACME, DEVICE)
    assert gone is not None
    assert gone.token_hash == b""
    assert added.token


async def test_every_edge_of_the_lifecycle_and_no_other(world: World) -> None:
    await devices.add(world, ACME, SYSTEM, NEW)
    for event, lifecycle in (
        (LifecycleEvent.ACCEPT, None),
        (LifecycleEvent.RELEASE, None),
        (LifecycleEvent.QUARANTINE, Lifecycle.QUARANTINED),
        (LifecycleEvent.QUARANTINE, None),
        (LifecycleEvent.RELEASE, Lifecycle.ACTIVE),
        (LifecycleEvent.DECOMMISSION, Lifecycle.DECOMMISSIONED),
        (LifecycleEvent.RELEASE, None),
    ):
        if lifecycle is None:
            with pytest.raises(InvalidStateError) as refused:
                await devices.move(world, ACME, SYSTEM, DEVICE, event)
            assert event not in refused.value.facts["allowed"]
        else:
            assert (await devices.move(world, ACME, SYSTEM, DEVICE, event)).lifecycle is lifecycle


async def test_nothing_is_done_to_a_device_of_another_tenant(world: World) -> None:
    await devices.add(world, ACME, SYSTEM, NEW)
    for forbidden in (
        devices.change(world, RIVAL, SYSTEM, DEVICE, Change(tags=frozenset({"a"}))),
        devices.move(world, RIVAL, SYSTEM, DEVICE, LifecycleEvent.QUARANTINE),
        devices.decommission(world, RIVAL, SYSTEM, DEVICE),
        devices.new_token(world, RIVAL, SYSTEM, DEVICE),
        survey.device(world, RIVAL, DEVICE),
        survey.why(world, RIVAL, DEVICE),
        survey.history(world, RIVAL, DEVICE, 10),
        survey.reports(world, RIVAL, DEVICE, ActionId(1), 10),
    ):
        with pytest.raises(NotFoundError):
            await forbidden
    assert (await survey.device(world, ACME, DEVICE)).device.edition == 1


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in it", "ünïcödé-is-none!", "x" * 257, "tab\tis-no-visible"]
)
async def test_tokens_that_devices_could_not_send(world: World, token: str) -> None:
    with pytest.raises(InvalidInputError):
        await devices.add(world, ACME, SYSTEM, NewDevice(DEVICE, Hardware("x"), token=token))
