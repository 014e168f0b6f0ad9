"""Permissions to downgrade: who may give them, and that they are gone by until they expire, for one device."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Hardware
from otaru.domain.ids import ActionId, DeviceId, ProductName, TenantId, Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy
from otaru.domain.terms import Terms
from otaru.errors import (
    AssignmentRefusedError,
    MetadataExpiredError,
    MetadataSignatureError,
    MetadataUnsignedError,
    NotFoundError,
    PermitError,
)
from otaru.ports.director import Assignment
from otaru.services.control import (
    artifacts,
    devices,
    directing,
    feedback,
    metadata,
    permits,
    releases,
    rollouts,
    survey,
)
from otaru.services.control.devices import NewDevice
from otaru.services.control.metadata import Replace
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.transparency import integrate
from otaru.services.control.world import SYSTEM, World
from otaru.trust.permit import Permit, new_permit
from otaru.trust.tuf.director import Share
from otaru.trust.tuf.names import TARGETS
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

APP, BOARD, DEV, OTHER = ProductName("app"), Hardware("board"), DeviceId("dev-1"), DeviceId("dev-2")
DAY = timedelta(days=1)


async def release(world: World, version: str, terms: Terms | None = None) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield version.encode()

    stored = await artifacts.store(world, ACME, content())
    part = Part(stored.blob.sha256, "app.bin", "app", [BOARD])
    await releases.create(world, ACME, SYSTEM, NewRelease(APP, Version(version), [part], terms=terms or Terms()))


async def rolled_out(world: World, version: str) -> None:
    await rollouts.create(world, ACME, SYSTEM, Intention(APP, Version(version), "id==*", Policy(), start=True))
    await integrate(world)


async def polled(world: World, device: DeviceId = DEV) -> str | None:
    tenant, entry = await world.registry.tenant(ACME), await world.registry.device(ACME, device)
    assert tenant is not None
    assert entry is not None
    _, due, _ = await poll(world, tenant, entry)
    return None if due is None else due.plan.release.version


async def installed(world: World, device: DeviceId) -> None:
    shown = await survey.device(world, ACME, device)
    action = next(d.action for d, _ in shown.history if d.state is State.OFFERED)
    said = Report(device, action, world.clock.now(), Event.SUCCEED, "closed", "success", (), b"%d" % action)
    await feedback.report(world, ACME, said)


async def targets_key(world: World) -> str:
    found = await metadata.status(world, ACME)
    return next(role.keys[0] for role in found.roles if role.name == TARGETS)


async def permit(
    world: World,
    *,
    device: DeviceId = DEV,
    component: str = "app",
    counter: int = 0,
    days: float = 1,
    tenant: TenantId = ACME,
) -> Permit:
    """A permission, signed by the key that targets has now."""
    made = new_permit(tenant, device, component, counter, world.clock.now() + days * DAY)
    name = await targets_key(world)
    return made.with_signature(name, world.keyring.of(ACME, [name])[name].sign(made.signed_bytes))


@pytest.fixture
async def burnt(world: World) -> World:
    """Two devices on a release that has burnt counter 3, and one from before it."""
    await release(world, "1.0")
    await release(world, "1.1", Terms(security_floor=3))
    for device in (DEV, OTHER):
        await devices.add(world, ACME, SYSTEM, NewDevice(device, BOARD))
    await rolled_out(world, "1.1")
    for device in (DEV, OTHER):
        assert await polled(world, device) == "1.1"
        await installed(world, device)
    return world


async def told(world: World) -> object:
    entry = await world.registry.device(ACME, DEV)
    assert entry is not None
    timestamp = json.loads((await directing.file(world, ACME, entry, "timestamp.json")).content)
    name = f"{timestamp['signed']['version']}.targets.json"
    targets = json.loads((await directing.file(world, ACME, entry, name)).content)["signed"]["targets"]
    return next((target["custom"].get("allowDowngradeTo") for target in targets.values()), "nothing is due")


async def test_one_device_goes_below_and_the_director_says_why(burnt: World) -> None:
    assert await told(burnt) == "nothing is due"
    signed = await permit(burnt)
    await permits.bring(burnt, ACME, SYSTEM, signed)
    await rolled_out(burnt, "1.0")
    assert await polled(burnt) == "1.0"
    assert await told(burnt) == signed.to_dict()
    assert await polled(burnt, OTHER) is None
    shown = await survey.device(burnt, ACME, OTHER)
    assert [d.state for d, _ in shown.history if d.rollout == 2] == [State.SKIPPED]
    (kept,) = await permits.of_device(burnt, ACME, DEV)
    assert (kept.component, kept.counter) == ("app", 0)
    assert await permits.of_device(burnt, ACME, OTHER) == []


async def test_an_expired_one_is_none(burnt: World, clock: SettableClock) -> None:
    await permits.bring(burnt, ACME, SYSTEM, await permit(burnt))
    clock.ahead = 2 * DAY
    await rolled_out(burnt, "1.0")
    assert [a.rule for a in await survey.why(burnt, ACME, DEV)] == [Rule.SECURITY_FLOOR]
    assert await polled(burnt) is None


async def test_what_expires_or_loses_its_key_meanwhile_is_not_directed(burnt: World, clock: SettableClock) -> None:
    await permits.bring(burnt, ACME, SYSTEM, await permit(burnt))
    await rolled_out(burnt, "1.0")
    assert await polled(burnt) == "1.0"
    asked = Assignment(ACME, DEV, Share((await survey.device(burnt, ACME, DEV)).history[0][1].id, 1, ActionId(2)))
    assert (await burnt.director.sign(asked)).permit
    await metadata.change(burnt, ACME, SYSTEM, Replace(await targets_key(burnt), made=True))
    await integrate(burnt)
    with pytest.raises(AssignmentRefusedError, match="none of its keys"):
        await burnt.director.sign(asked)
    await permits.bring(burnt, ACME, SYSTEM, await permit(burnt))
    assert (await burnt.director.sign(asked)).permit
    clock.ahead = 2 * DAY
    with pytest.raises(AssignmentRefusedError, match="expired"):
        await burnt.director.sign(asked)


async def test_who_may_give_one(burnt: World) -> None:
    good = await permit(burnt)
    unsigned = new_permit(ACME, DEV, "app", 0, burnt.clock.now() + DAY)
    stranger = burnt.keyring.make(ACME)
    forged = unsigned.with_signature(stranger.key.keyid, stranger.sign(unsigned.signed_bytes))
    name = await targets_key(burnt)
    moved = new_permit(ACME, OTHER, "app", 0, good.expires).with_signature(
        name, bytes.fromhex(good.document.signatures[name])
    )
    for wrong, error in (
        (unsigned, MetadataUnsignedError),
        (forged, MetadataSignatureError),
        (moved, MetadataSignatureError),
        (await permit(burnt, days=-1), MetadataExpiredError),
        (await permit(burnt, device=DeviceId("nobody")), NotFoundError),
        (await permit(burnt, tenant=RIVAL), PermitError),
    ):
        with pytest.raises(error):
            await permits.bring(burnt, ACME, SYSTEM, wrong)
    with pytest.raises(NotFoundError):
        await permits.bring(burnt, RIVAL, SYSTEM, good)
    assert await permits.of_device(burnt, ACME, DEV) == []


async def test_it_goes_no_lower_than_it_says_and_for_no_other_component(burnt: World) -> None:
    for brought in (await permit(burnt, counter=1), await permit(burnt, component="os")):
        await permits.bring(burnt, ACME, SYSTEM, brought)
    await rolled_out(burnt, "1.0")
    assert await polled(burnt) is None
