"""Errands: people ask a device for its diagnostics, a command or a reboot; it takes them, and says how they went.

Whatever is asked, taken, ended or read is an event, and an entry of the audit log. A device hears of its errands with its poll;
what it says is taken once, by the machine of `domain.errand`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from otaru.domain.device import Lifecycle
from otaru.domain.errand import (
    ERRAND,
    MAX_BUNDLE,
    MAX_NUMBER,
    MAX_OPEN,
    MAX_OPEN_IN_ALL,
    MAX_OUTPUT,
    MAX_TOLD,
    OPEN,
    SAID,
    Asked,
    Errand,
    Event,
    State,
    Wanted,
    Went,
    What,
)
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import (
    ChecksumMismatchError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    RefusedError,
    TooLargeError,
)
from otaru.ports.store import Tx, one
from otaru.services.control import devices, monitoring
from otaru.services.control.world import SYSTEM, Actor, World

BUNDLES_KEPT = timedelta(days=14)
KEPT = timedelta(days=400)
_AT_ONCE = 500


async def ask(world: World, tenant: TenantId, actor: Actor, device: DeviceId, wanted: Wanted) -> Errand:
    """Ask something of a device: it hears of it with its next poll.

    Raises:
        NotFoundError: there is no such device.
        InvalidStateError: it is not in service.
        RefusedError: the tenant, or a group of the device, has it off.
        TooLargeError: it has MAX_OPEN to do, or all devices have MAX_OPEN_IN_ALL.
    """
    return await world.store.write(_ask, (tenant, actor, device, wanted, world.clock.now()))


async def cancel(world: World, tenant: TenantId, actor: Actor, device: DeviceId, number: int) -> Errand:
    """Call one off that waits; again, nothing changes.

    Raises:
        NotFoundError: there is none.
        InvalidStateError: the device has taken it, or it has ended.
    """
    return await world.store.write(_cancel, (tenant, actor, device, number, world.clock.now()))


async def show(world: World, tenant: TenantId, device: DeviceId, number: int) -> Errand:
    """One errand.

    Raises:
        NotFoundError: there is none.
    """
    return await world.store.glance(lambda tx: _found(tx, tenant, device, number))


async def of_device(world: World, tenant: TenantId, device: DeviceId, before: int | None, limit: int) -> list[Errand]:
    """A device's errands, newest first.

    Raises:
        NotFoundError: there is no such device.
    """

    def look(tx: Tx) -> list[Errand]:
        devices.found(tx, tenant, device)
        return tx.errands.of_device(tenant, device, before, limit)

    return await world.store.read(look)


async def bundle(world: World, tenant: TenantId, actor: Actor, device: DeviceId, number: int) -> bytes:
    """The diagnostics that a device sent. Who reads them stands in the record.

    Raises:
        NotFoundError: there are none, or no more.
    """
    return await world.store.write(_read, (tenant, actor, device, number, world.clock.now()))


async def told(world: World, tenant: TenantId, device: DeviceId) -> tuple[Asked, ...]:
    """What a device has to do, for its poll: nothing is read where it is nothing."""
    if device not in await world.registry.errands(tenant):
        return ()
    now = world.clock.now()
    found = await world.store.glance(lambda tx: tx.errands.open_of(tenant, device))
    due = [errand for errand in found if not errand.over(now)][:MAX_TOLD]
    return tuple(Asked(one.number, one.what, one.name, one.expires_at) for one in due)


async def hear(world: World, tenant: TenantId, device: DeviceId, said: Sequence[Went]) -> list[State | None]:
    """Take what a device says of errands, durably; where each stands then. None: there is no such errand."""
    return await world.store.write(_hear, (tenant, device, said, world.clock.now()))


async def received(world: World, tenant: TenantId, device: DeviceId, number: int) -> int:
    """How many bytes of an errand's diagnostics are here.

    Raises:
        NotFoundError: it is none that waits for any.
    """

    def look(tx: Tx) -> int:
        errand = _sending(tx, tenant, device, number)
        return errand.size if errand.size is not None else tx.errands.received(tenant, device, number)

    return await world.store.glance(look)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of diagnostics, of so many bytes in all with this digest."""

    first: int
    content: bytes
    size: int
    sha256: str


async def receive(world: World, tenant: TenantId, device: DeviceId, number: int, part: Part) -> int:
    """Take a part of an errand's diagnostics; how many bytes are here then. One that does not continue changes nothing.

    Raises:
        NotFoundError: it is none that waits for any.
        TooLargeError: they are larger than MAX_BUNDLE.
        ChecksumMismatchError: all are here, and they are others: they are forgotten.
    """
    if not 0 < part.size <= MAX_BUNDLE:
        raise TooLargeError(f"diagnostics have at most {MAX_BUNDLE} bytes", limit=MAX_BUNDLE)
    if part.first + len(part.content) > part.size:
        raise InvalidInputError("the part goes beyond the end")
    here, same = await world.store.write(_receive, (tenant, device, number, part, world.clock.now()))
    if not same:
        raise ChecksumMismatchError("the diagnostics are not what their digest says", hint="Send them again.")
    return here


async def expire(world: World) -> None:
    """Let errands end whose time is over, and forget old ones. Again, nothing changes."""
    now = world.clock.now()
    for tenant in await world.store.read(lambda tx: _late(tx, now)):
        await world.store.write(_expire, (tenant, now))
    while await world.store.write(_prune, now) >= _AT_ONCE:
        pass


@one
def _ask(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, Wanted, datetime]) -> Errand:
    tenant, actor, device, wanted, now = asked
    known = devices.found(tx, tenant, device)
    if known.lifecycle is not Lifecycle.ACTIVE:
        raise InvalidStateError(f"device {device} is {known.lifecycle}: it is asked for nothing")
    _check_policy(tx, tenant, device, wanted.what, now)
    if len(tx.errands.open_of(tenant, device)) >= MAX_OPEN:
        raise TooLargeError(f"device {device} has {MAX_OPEN} errands to run", limit=MAX_OPEN)
    if tx.errands.open_in_all(tenant) >= MAX_OPEN_IN_ALL:
        raise TooLargeError(f"{MAX_OPEN_IN_ALL} errands wait for their devices", limit=MAX_OPEN_IN_ALL)
    number = tx.errands.newest(tenant, device) + 1
    if number > MAX_NUMBER:
        raise TooLargeError("the device's numbers are used up", limit=MAX_NUMBER)
    ends = now + wanted.life
    errand = Errand(device, number, wanted.what, wanted.name, State.WAITING, actor.name, now, ends, now)
    tx.errands.add(tenant, errand)
    tx.events.add([_happening(tenant, errand, actor, now)])
    return errand


@one
def _cancel(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, int, datetime]) -> Errand:
    tenant, actor, device, number, now = asked
    errand = _found(tx, tenant, device, number)
    if errand.state is State.CANCELLED:
        return errand
    if ERRAND.next(errand.state, Event.CANCEL) is None:
        raise InvalidStateError(f"errand {number} of {device} is {errand.state}: it can no longer be called off")
    return _moved(tx, tenant, errand, Event.CANCEL, actor, now)


@one
def _read(tx: Tx, asked: tuple[TenantId, Actor, DeviceId, int, datetime]) -> bytes:
    tenant, actor, device, number, now = asked
    errand = _found(tx, tenant, device, number)
    if errand.size is None:
        raise NotFoundError(
            f"errand {number} of {device} has no diagnostics",
            hint=f"They are here {BUNDLES_KEPT.days} days, once the device has sent them.",
        )
    tx.events.add([_happening(tenant, errand, actor, now, to="read")])
    return b"".join(tx.errands.parts(tenant, device, number))


@one
def _hear(tx: Tx, heard: tuple[TenantId, DeviceId, Sequence[Went], datetime]) -> list[State | None]:
    tenant, device, said, now = heard
    return [_heard(tx, tenant, device, one, now) for one in said]


def _heard(tx: Tx, tenant: TenantId, device: DeviceId, said: Went, now: datetime) -> State | None:
    errand, event = tx.errands.get(tenant, device, said.number), SAID.get(said.state)
    if errand is None or event is None:
        return None
    after = ERRAND.next(errand.state, event)
    if event is Event.TAKE and errand.state is State.WAITING and errand.over(now):
        return State.EXPIRED  # as it will be in a moment
    if event is Event.TAKE and errand.state is State.WAITING:
        try:
            _check_policy(tx, tenant, device, errand.what, now)
        except RefusedError:  # it was asked for earlier
            return _moved(tx, tenant, errand, Event.CANCEL, SYSTEM, now).state
    if after is None:
        return errand.state
    if after is State.DONE and errand.what is What.DIAGNOSE and errand.size is None:
        return errand.state  # it says that it has sent them, and they are not here
    told = replace(errand, code=said.code, text=said.text[-MAX_OUTPUT:])
    return _moved(tx, tenant, told, event, Actor(f"device:{device}"), now).state


@one
def _receive(tx: Tx, sent: tuple[TenantId, DeviceId, int, Part, datetime]) -> tuple[int, bool]:
    """How many bytes are here, and whether they are what their digest says as far as that is known."""
    tenant, device, number, part, now = sent
    errand = _sending(tx, tenant, device, number)
    if errand.size is not None:
        return errand.size, True
    here = tx.errands.received(tenant, device, number)
    if part.first == here and part.content:
        tx.errands.put_part(tenant, device, number, part.first, part.content)
        here += len(part.content)
    if here < part.size:
        return here, True
    whole = sha256(b"".join(tx.errands.parts(tenant, device, number))).hexdigest()
    if here != part.size or whole != part.sha256:
        tx.errands.drop_parts(tenant, device, number)
        return 0, False
    tx.errands.save(tenant, replace(errand, size=here, sha256=whole, changed_at=now))
    return here, True


def _check_policy(tx: Tx, tenant: TenantId, device: DeviceId, what: What, now: datetime) -> None:
    counts = monitoring.found(tx, tenant, device, now)
    if not counts.allows(what):
        name = "diagnostics" if what is What.DIAGNOSE else "commands"
        group = counts.said_by.get(name)
        whose = "the tenant's settings" if group is None else f"group {group}"
        raise RefusedError(f"{name} of {device} are off, by {whose}", hint="See otaru device monitoring.")


def _late(tx: Tx, now: datetime) -> list[TenantId]:
    """Tenants with errands whose time may be over."""
    return [known.id for known in tx.tenants.every_tenant() if tx.errands.due(known.id, now, 1)]


@one
def _expire(tx: Tx, asked: tuple[TenantId, datetime]) -> None:
    tenant, now = asked
    for errand in tx.errands.due(tenant, now, _AT_ONCE):
        if errand.over(now):
            tx.errands.drop_parts(tenant, errand.device, errand.number)
            _moved(tx, tenant, errand, Event.EXPIRE, SYSTEM, now)


@one
def _prune(tx: Tx, now: datetime) -> int:
    return tx.errands.prune(now - BUNDLES_KEPT, now - KEPT, _AT_ONCE)


def _moved(tx: Tx, tenant: TenantId, errand: Errand, event: Event, actor: Actor, now: datetime) -> Errand:
    state = ERRAND.next(errand.state, event) or errand.state
    after = replace(errand, state=state, changed_at=now, ended_at=None if state in OPEN else now)
    tx.errands.save(tenant, after)
    tx.events.add([_happening(tenant, after, actor, now)])
    return after


def _happening(tenant: TenantId, errand: Errand, actor: Actor, now: datetime, to: str = "") -> Happening:
    facts = {"errand": errand.number, "what": errand.what, "to": to or errand.state}
    facts |= {name: value for name, value in (("name", errand.name), ("code", errand.code)) if value}
    return Happening(tenant, now, actor.name, Kind.DEVICE_ERRAND, errand.device, facts)


def _found(tx: Tx, tenant: TenantId, device: DeviceId, number: int) -> Errand:
    devices.found(tx, tenant, device)
    errand = tx.errands.get(tenant, device, number)
    if errand is None:
        raise NotFoundError(f"device {device} has no errand {number}")
    return errand


def _sending(tx: Tx, tenant: TenantId, device: DeviceId, number: int) -> Errand:
    errand = tx.errands.get(tenant, device, number)
    if errand is None or errand.state is not State.TAKEN or errand.what is not What.DIAGNOSE:
        raise NotFoundError(f"device {device} has no errand {number} that waits for diagnostics")
    return errand
