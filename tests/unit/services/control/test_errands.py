"""Errands and alerts at the server: once, bounded, expiring, in the record; and each tenant for itself."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from otaru.domain.device import Hardware
from otaru.domain.errand import MAX_BUNDLE, MAX_OPEN, State, Wanted, Went, What, wanted
from otaru.domain.events import START, Kind
from otaru.domain.health import Kind as Health
from otaru.domain.health import Told
from otaru.domain.ids import DeviceId
from otaru.errors import (
    AlreadyExistsError,
    ChecksumMismatchError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    OtaruError,
    QuerySyntaxError,
    TooLargeError,
    UnavailableError,
)
from otaru.ports.mailer import Message
from otaru.services.control import alerts, devices, errands, health, survey
from otaru.services.control.alerts import New
from otaru.services.control.devices import NewDevice
from otaru.services.control.errands import Part
from otaru.services.control.world import Actor, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
ALICE = Actor("user:alice")
DATA = bytes(range(256)) * 1000
WHOLE = sha256(DATA).hexdigest()


@pytest.fixture
async def device(world: World) -> DeviceId:
    for tenant in (ACME, RIVAL):
        await devices.add(world, tenant, ALICE, NewDevice(DEV, Hardware("board")))
    return DEV


async def asked(world: World, what: What = What.DIAGNOSE, name: str = "", life: timedelta | None = None) -> int:
    return (await errands.ask(world, ACME, ALICE, DEV, wanted(what, name, life))).number


async def said(world: World, number: int, state: State, code: str = "", text: str = "") -> State | None:
    (found,) = await errands.hear(world, ACME, DEV, [Went(number, state, code, text)])
    return found


async def record(world: World, kind: Kind = Kind.DEVICE_ERRAND) -> list[tuple[str, str]]:
    found = await survey.events(world, ACME, START, 1000)
    return [(one.what.actor, str(one.what.data.get("to"))) for one in found if one.what.kind is kind]


async def test_an_errand_is_told_until_it_has_ended(world: World, device: DeviceId) -> None:
    assert await errands.told(world, ACME, device) == ()
    number = await asked(world, What.RUN, "restart")
    (one,) = await errands.told(world, ACME, device)
    assert (one.number, one.what, one.name) == (1, What.RUN, "restart")
    assert await errands.told(world, RIVAL, device) == ()
    assert await said(world, number, State.TAKEN) is State.TAKEN
    assert await said(world, number, State.TAKEN) is State.TAKEN
    assert len(await errands.told(world, ACME, device)) == 1
    assert await said(world, number, State.FAILED, "exit_3", "no\n") is State.FAILED
    assert await said(world, number, State.DONE) is State.FAILED, "what ended stays"
    assert await errands.told(world, ACME, device) == ()
    shown = await errands.show(world, ACME, device, number)
    assert (shown.code, shown.text, shown.by) == ("exit_3", "no\n", "user:alice")
    assert await record(world) == [("user:alice", "waiting"), ("device:dev-1", "taken"), ("device:dev-1", "failed")]
    assert await said(world, 9, State.TAKEN) is None
    with pytest.raises(NotFoundError):
        await errands.show(world, RIVAL, device, number)


async def test_what_was_not_taken_is_not_done(world: World, device: DeviceId) -> None:
    number = await asked(world, What.REBOOT)
    assert await said(world, number, State.DONE) is State.WAITING
    await errands.cancel(world, ACME, ALICE, device, number)
    assert (await errands.cancel(world, ACME, ALICE, device, number)).state is State.CANCELLED
    assert await said(world, number, State.TAKEN) is State.CANCELLED
    second = await asked(world, What.REBOOT)
    await said(world, second, State.TAKEN)
    with pytest.raises(InvalidStateError, match="no longer"):
        await errands.cancel(world, ACME, ALICE, device, second)


async def test_an_errand_expires(world: World, clock: SettableClock, device: DeviceId) -> None:
    first = await asked(world, life=timedelta(hours=1))
    second = await asked(world, life=timedelta(hours=1))
    await said(world, second, State.TAKEN)
    clock.ahead = timedelta(hours=2)
    assert [one.number for one in await errands.told(world, ACME, device)] == [second]
    assert await said(world, first, State.TAKEN) is State.EXPIRED
    await errands.expire(world)
    states = {one.number: one.state for one in await errands.of_device(world, ACME, device, None, 9)}
    assert states == {first: State.EXPIRED, second: State.TAKEN}
    clock.ahead = timedelta(hours=26)
    await errands.expire(world)
    assert (await errands.show(world, ACME, device, second)).state is State.EXPIRED
    clock.ahead = timedelta(days=500)
    await errands.expire(world)
    assert [one.number for one in await errands.of_device(world, ACME, device, None, 9)] == [second]
    assert await asked(world) == 3, "no number comes twice"


async def test_there_are_only_so_many(world: World, device: DeviceId) -> None:
    for _ in range(MAX_OPEN):
        await asked(world)
    with pytest.raises(TooLargeError):
        await asked(world)
    await devices.decommission(world, ACME, ALICE, device)
    with pytest.raises(InvalidStateError):
        await asked(world)
    with pytest.raises(NotFoundError):
        await errands.ask(world, ACME, ALICE, DeviceId("nobody"), Wanted(What.REBOOT))


async def send(world: World, number: int, first: int, end: int, digest: str = WHOLE, size: int = len(DATA)) -> int:
    return await errands.receive(world, ACME, DEV, number, Part(first, DATA[first:end], size, digest))


async def test_diagnostics_come_in_parts_and_are_read_on_the_record(
    world: World, clock: SettableClock, device: DeviceId
) -> None:
    number = await asked(world)
    with pytest.raises(NotFoundError):
        await send(world, number, 0, 9)  # it was not taken
    await said(world, number, State.TAKEN)
    assert await errands.received(world, ACME, device, number) == 0
    assert await send(world, number, 0, 100_000) == 100_000
    assert await send(world, number, 0, 100_000) == 100_000, "the same again"
    assert await send(world, number, 200_000, 256_000) == 100_000, "it does not continue"
    assert await said(world, number, State.DONE) is State.TAKEN, "not all is here"
    with pytest.raises(NotFoundError):
        await errands.bundle(world, ACME, ALICE, device, number)
    assert await send(world, number, 100_000, len(DATA)) == len(DATA)
    assert await errands.received(world, ACME, device, number) == len(DATA)
    assert await said(world, number, State.DONE) is State.DONE
    assert await errands.bundle(world, ACME, ALICE, device, number) == DATA
    assert (await record(world))[-1] == ("user:alice", "read")
    with pytest.raises(NotFoundError):
        await errands.bundle(world, RIVAL, ALICE, device, number)
    clock.ahead = errands.BUNDLES_KEPT + timedelta(minutes=1)
    await errands.expire(world)
    with pytest.raises(NotFoundError, match="no diagnostics"):
        await errands.bundle(world, ACME, ALICE, device, number)


async def test_what_is_something_else_is_forgotten(world: World, device: DeviceId) -> None:
    number = await asked(world)
    await said(world, number, State.TAKEN)
    with pytest.raises(ChecksumMismatchError):
        await send(world, number, 0, len(DATA), "0" * 64)
    assert await errands.received(world, ACME, device, number) == 0
    for size in (0, MAX_BUNDLE + 1):
        with pytest.raises(TooLargeError):
            await send(world, number, 0, 9, size=size)
    with pytest.raises(InvalidInputError):
        await send(world, number, 0, 9, size=5)


class Box:
    """A mail server that takes what it gets, or not."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.down: OtaruError | None = None

    async def send(self, message: Message) -> None:
        if self.down is not None:
            raise self.down
        self.got.append(message)


async def battery(world: World, device: str, value: float, id_: str) -> None:
    await health.tell(world, ACME, DeviceId(device), [Told(id_, Health.SAMPLE, name="battery", value=value)])


async def test_an_alert_is_raised_told_and_closed_once(world: World, device: DeviceId) -> None:
    box = Box()
    await devices.add(world, ACME, ALICE, NewDevice(DeviceId("dev-2"), Hardware("board")))
    new = New("low", "telemetry.battery<20", "hardware==board", 1, 0.5, ("ops@example.org",))
    await alerts.add(world, ACME, ALICE, new)
    assert await alerts.look(world) == 0
    await battery(world, device, 5, "1")
    assert await alerts.look(world) == 1
    assert await alerts.look(world) == 0
    box.down = UnavailableError("it does not answer")
    assert await alerts.tell(world, box) == 0
    assert (await alerts.show(world, ACME, "low")).trouble == "it does not answer"
    assert await alerts.tell(world, None) == 0
    assert "smtp" in (await alerts.show(world, ACME, "low")).trouble
    box.down = None
    assert [await alerts.tell(world, box, "https://ota.example") for _ in range(2)] == [1, 0]
    assert box.got[0].subject == "ALERT: low (1 of 2 devices)"
    assert "telemetry.battery<20" in box.got[0].text
    assert (await alerts.show(world, ACME, "low")).trouble == ""
    await battery(world, device, 90, "2")
    assert await alerts.look(world) == 1
    assert await alerts.tell(world, box) == 1
    assert box.got[1].subject == "Over: low (0 of 2 devices)"
    assert box.got[0].mark != box.got[1].mark
    kinds = [one.what.kind for one in await survey.events(world, ACME, START, 1000) if one.what.subject == "low"]
    assert kinds == [Kind.ALERT_ADDED, Kind.ALERT_RAISED, Kind.ALERT_CLOSED]
    assert await alerts.listed(world, RIVAL, None, 9) == []


async def test_a_look_that_finds_nothing_new_writes_nothing(
    world: World, clock: SettableClock, device: DeviceId
) -> None:
    await alerts.add(world, ACME, ALICE, New("low", "telemetry.battery<20", "", 1, 0.0, ("ops@example.org",)))
    await battery(world, device, 5, "1")
    await alerts.look(world)
    await alerts.tell(world, None)
    stands = await alerts.show(world, ACME, "low")
    clock.ahead += timedelta(minutes=30)
    await alerts.look(world)
    await alerts.tell(world, None)
    assert await alerts.show(world, ACME, "low") == stands
    clock.ahead += timedelta(hours=1)
    await alerts.look(world)
    found = await alerts.show(world, ACME, "low")
    assert found.looked_at != stands.looked_at, "that it is looked at is seen"
    assert replace(found, looked_at=stands.looked_at) == stands


async def test_alerts_that_make_no_sense_are_refused(world: World) -> None:
    for when, of in (("telemetry.battery<", ""), ("id==*", "group==nothing"), ("id==*)", ""), ("x", "")):
        with pytest.raises(QuerySyntaxError):
            await alerts.add(world, ACME, ALICE, New("a", when, of))
    await alerts.add(world, ACME, ALICE, New("a", "id==*"))
    with pytest.raises(AlreadyExistsError):
        await alerts.add(world, ACME, ALICE, New("a", "id==*"))
    with pytest.raises(NotFoundError):
        await alerts.remove(world, RIVAL, ALICE, "a")
    await alerts.remove(world, ACME, ALICE, "a")
    with pytest.raises(NotFoundError):
        await alerts.show(world, ACME, "a")


async def test_an_alert_whose_share_is_of_others_counts_both(world: World, device: DeviceId) -> None:
    await battery(world, device, 5, "1")
    await alerts.add(world, ACME, ALICE, New("or", "telemetry.battery<20,id==zzz", "id==other", 1, 0.0))
    await alerts.look(world)
    assert (await alerts.show(world, ACME, "or")).found.devices == 0, "of others is none"
