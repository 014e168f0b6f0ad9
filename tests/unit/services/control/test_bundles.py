"""Sticks and receipts: who is aboard, what a device makes of it, and whose receipts are believed."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware, Source
from otaru.domain.events import START, Kind
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.link import Batch, Note
from otaru.domain.rollout import ClassicRule, Policy, RolloutEvent, Share
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, NothingToDoError, OtaruError, ReceiptError
from otaru.services.control import (
    artifacts,
    bundles,
    credentials,
    devices,
    receipts,
    releases,
    rollouts,
    survey,
    tenants,
    transparency,
)
from otaru.services.control.bundles import Made, Wanted
from otaru.services.control.devices import NewDevice
from otaru.services.control.poll import poll
from otaru.services.control.receipts import Taken
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.transparency import integrate
from otaru.services.control.world import SYSTEM, World
from otaru.trust.log.entries import Log
from otaru.trust.log.notes import verifier
from otaru.trust.pki.certificates import fingerprint
from otaru.trust.receipt import Receipt, text
from otaru.trust.verify.fitness import Me
from otaru.trust.verify.offline import verify_offline
from otaru.trust.verify.proof import LogPolicy
from otaru.trust.verify.state import provisioned
from otaru.trust.verify.steps import Keep, Want, run
from otaru.trust.verify.steps import Source as From
from otaru.trust.verify.update import Verdict
from tests.support.enrolling import Newborn
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

APP, BOARD = ProductName("app"), Hardware("board")
DEVICES = [DeviceId(f"dev-{n}") for n in range(1, 5)]
DAY = timedelta(days=1)
STAGED = Policy(waves=(Share(2, percent=False), Share(100, percent=True)), rule=ClassicRule(0.9, 0.1))


@dataclass
class Fleet:
    """Four devices with keys, and a rollout that has opened a wave of two."""

    world: World
    clock: SettableClock
    rollout: RolloutId
    born: dict[str, Newborn] = field(default_factory=dict)

    async def export(self, *, days: float = 30, target: str | None = None) -> Made:
        return await bundles.export(
            self.world, ACME, SYSTEM, Wanted(self.rollout, self.clock.now() + days * DAY, target)
        )

    async def states(self) -> list[State]:
        shown = [await survey.device(self.world, ACME, device) for device in DEVICES]
        return [one.history[0][0].state for one in shown]

    async def brings(self, receipt: Receipt, *said: Note, tenant: TenantId = ACME) -> Taken:
        return await receipts.take(self.world, tenant, SYSTEM, receipt, Batch(said, {"app": Version("2")}))


def a_receipt(born: Newborn, bundle: str, *, tenant: TenantId = ACME, device: str = "", said: bytes = b"{}") -> Receipt:
    whose = DeviceId(device or born.id)
    key = fingerprint(born.public)
    signed = text(tenant, whose, bundle, 7, key, said)
    return Receipt(tenant, whose, bundle, 7, said, born.public, born.sign(signed.decode()))


def note(event: Event, action: int = 1, name: str = "") -> Note:
    return Note(name or f"1-1-{event}", ActionId(action), event)


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    async def content() -> AsyncIterator[bytes]:
        yield b"it"

    stored = await artifacts.store(world, ACME, content())
    part = Part(stored.blob.sha256, "app.bin", "app", [BOARD])
    await releases.create(world, ACME, SYSTEM, NewRelease(APP, Version("2"), [part]))
    born: dict[str, Newborn] = {}
    for device in DEVICES:
        await devices.add(world, ACME, SYSTEM, NewDevice(device, BOARD))
        born[device] = Newborn(device, tenant=ACME)
        await credentials.add_key(world, ACME, SYSTEM, device, born[device].pem)
    wanted = Intention(APP, Version("2"), "id==*", STAGED, start=True)
    rollout = (await rollouts.create(world, ACME, SYSTEM, wanted)).id
    await integrate(world)
    return Fleet(world, clock, rollout, born)


async def test_those_aboard_are_offered_and_the_others_wait(fleet: Fleet) -> None:
    made = await fleet.export()
    assert (len(made.passengers), dict(made.left_out), made.next) == (2, {"due": 2}, None)
    assert sorted(await fleet.states()) == [State.OFFERED] * 2 + [State.SCHEDULED] * 2
    assert made.missing is None, "development keys sign by themselves"
    assert (await bundles.page(fleet.world, ACME, fleet.rollout, 9)) == [made.exported]
    again = await fleet.export()
    assert again.bundle.devices.keys() == made.bundle.devices.keys(), "a second stick for those of the first"
    assert again.exported.id != made.exported.id
    events = await survey.events(fleet.world, ACME, START, 99, str(fleet.rollout))
    assert [e.what.kind for e in events].count(Kind.ROLLOUT_EXPORTED) == 2


async def test_a_device_verifies_it_a_month_later(fleet: Fleet) -> None:
    made = await fleet.export()
    passenger = made.passengers[0]
    device, issued = passenger.subject.id, passenger.issued

    head = (await transparency.state(fleet.world, ACME, Log.RELEASE)).tree.verifier
    assert head is not None
    log = LogPolicy(verifier(head))

    def verified(days: float, me: DeviceId = device, *, graced: bool = True, proof: str = made.proof) -> Verdict:
        state = provisioned(made.director["1.root.json"], made.image["1.root.json"], fleet.clock.now())
        version = issued.version
        own = {
            "timestamp.json": issued.timestamp,
            f"{version}.snapshot.json": issued.snapshot,
            f"{version}.targets.json": issued.targets,
        }

        def fetch(want: Want) -> bytes | None:
            if want.source is From.LOG:
                return proof.encode()
            files = made.image if want.source is From.IMAGE else {**made.director, **own}
            return files.get(want.name)

        def keep(_: Keep) -> None:
            pass

        bundle = made.bundle if graced else replace(made.bundle, devices={device: version + 1})
        now = fleet.clock.now() + days * DAY
        return run(verify_offline(state, Me(ACME, me, {BOARD}, log=log), bundle, now), fetch, keep)

    (update,) = verified(29).updates
    assert (update.target.version, update.order.facts["action"]) == ("2", passenger.due.membership.action)
    refused: list[tuple[Callable[[], Verdict], str]] = [
        (lambda: verified(31), "metadata_expired"),
        (lambda: verified(29, graced=False), "metadata_expired"),
        (lambda: verified(29, proof=""), "log_proof"),
        (lambda: verified(29, made.passengers[1].subject.id), "wrong_device"),
        (lambda: verified(29, DeviceId("stranger")), "offline_bundle"),
    ]
    for act, code in refused:
        with pytest.raises(OtaruError) as caught:
            act()
        assert caught.value.code == code


async def test_who_asks_meanwhile_is_told_the_same(fleet: Fleet) -> None:
    made = await fleet.export()
    device, action = made.passengers[0].subject.id, made.passengers[0].due.membership.action
    tenant, entry = await fleet.world.registry.tenant(ACME), await fleet.world.registry.device(ACME, device)
    assert tenant is not None
    assert entry is not None
    _, due, _ = await poll(fleet.world, tenant, entry)
    assert due is not None
    assert due.membership.action == action


async def test_what_cannot_be_exported(fleet: Fleet) -> None:
    world = fleet.world
    for days in (-1, 0, 367):
        with pytest.raises(InvalidInputError):
            await fleet.export(days=days)
    with pytest.raises(InvalidInputError) as late:
        await fleet.export(days=200)
    assert "product.app.stable ends" in late.value.message
    with pytest.raises(NothingToDoError):
        await fleet.export(target="id==nobody")
    with pytest.raises(NotFoundError):
        await bundles.export(world, ACME, SYSTEM, Wanted(RolloutId(99), fleet.clock.now() + DAY))
    with pytest.raises(NotFoundError):
        await bundles.export(world, RIVAL, SYSTEM, Wanted(fleet.rollout, fleet.clock.now() + DAY))
    await tenants.halt(world, ACME, SYSTEM, "lunch")
    with pytest.raises(InvalidStateError):
        await fleet.export()
    await tenants.lift(world, ACME, SYSTEM)
    await rollouts.order(world, ACME, SYSTEM, fleet.rollout, RolloutEvent.PAUSE)
    with pytest.raises(InvalidStateError):
        await fleet.export()
    assert await fleet.states() == [State.SCHEDULED] * 4, "nobody was told anything"


async def test_a_receipt_counts_once(fleet: Fleet) -> None:
    made = await fleet.export()
    device = made.passengers[0].subject.id
    receipt, said = a_receipt(fleet.born[device], made.exported.id), note(Event.SUCCEED)
    taken = await fleet.brings(receipt, note(Event.DOWNLOAD), said)
    assert (taken.actions, taken.moved) == ({ActionId(1): State.SUCCEEDED}, True)
    shown = await survey.device(fleet.world, ACME, device)
    assert [(one.version, one.source) for one in shown.device.installed] == [("2", Source.OFFLINE)]
    assert not (await fleet.brings(receipt, note(Event.DOWNLOAD), said)).moved
    assert not (await fleet.brings(receipt, note(Event.FAIL, name="later"))).moved, "what has ended stays ended"


async def test_a_late_one_moves_nothing_and_says_what_runs(fleet: Fleet) -> None:
    made = await fleet.export()
    device = made.passengers[0].subject.id
    await rollouts.cancel(fleet.world, ACME, SYSTEM, fleet.rollout, device, force=True)
    taken = await fleet.brings(a_receipt(fleet.born[device], made.exported.id), note(Event.SUCCEED))
    assert taken.actions == {ActionId(1): State.CANCELLED}, "called off by hand: that stays"
    shown = await survey.device(fleet.world, ACME, device)
    assert [one.version for one in shown.device.installed] == ["2"], "and yet this is what it runs"


async def test_whose_receipts_are_refused(fleet: Fleet) -> None:
    made = await fleet.export()
    device, other = (one.subject.id for one in made.passengers)
    own, name = fleet.born[device], made.exported.id
    good = a_receipt(own, name)
    ashore = next(one for one in DEVICES if one not in {device, other})
    bad = (
        replace(good, said=b"other"),
        replace(good, time_s=8),
        replace(good, device=other),
        replace(good, bundle="another"),
        replace(good, signature=good.signature[:-1] + b"x"),
        a_receipt(own, name, device=other),
        a_receipt(Newborn(device, tenant=ACME), name),
        a_receipt(own, "r1-unknown"),
        a_receipt(own, name, tenant=RIVAL),
        a_receipt(Newborn("stranger", tenant=ACME), name),
        a_receipt(fleet.born[ashore], name),
    )
    for receipt in bad:
        with pytest.raises(ReceiptError):
            await fleet.brings(receipt, note(Event.SUCCEED))
    with pytest.raises(ReceiptError):
        await fleet.brings(good, note(Event.SUCCEED), tenant=RIVAL)
    (key,) = [one for one in await credentials.page(fleet.world, ACME, device) if one.kind == "key"]
    await credentials.revoke(fleet.world, ACME, SYSTEM, device, key.id)
    with pytest.raises(ReceiptError):
        await fleet.brings(good, note(Event.SUCCEED))
    assert sorted(await fleet.states()) == [State.OFFERED] * 2 + [State.SCHEDULED] * 2


async def test_a_bundle_goes_on_after_a_device(fleet: Fleet) -> None:
    first = sorted(one.subject.id for one in (await fleet.export()).passengers)
    wanted = Wanted(fleet.rollout, fleet.clock.now() + DAY, None, first[0])
    made = await bundles.export(fleet.world, ACME, SYSTEM, wanted)
    assert [one.subject.id for one in made.passengers] == first[1:]
    by_target = replace(wanted, target="id==dev-*")
    made = await bundles.export(fleet.world, ACME, SYSTEM, by_target)
    assert [one.subject.id for one in made.passengers] == first[1:]
