"""Receipts of devices without a network: carried here by anybody, believed once the device's own key has signed them.

What they say counts as if the device had said it now, each note once by its id: brought twice, or beside what the device
itself has said since, nothing changes. Late ones are as late reports are: progress only goes forward, and what has ended
stays ended, but for who was given up as silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otaru.domain.deployment import State
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import ActionId, DeviceId, TenantId
from otaru.domain.link import Batch, Note
from otaru.errors import ReceiptError
from otaru.ports.store import Tx, one
from otaru.services.control import admission, grants, notes
from otaru.services.control.world import Actor, World
from otaru.trust.receipt import Receipt, check


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a receipt."""

    device: DeviceId
    bundle: str
    actions: dict[ActionId, State]
    """Where each action that it speaks of is now."""
    moved: bool
    """It told something new."""


async def take(world: World, tenant: TenantId, actor: Actor, receipt: Receipt, said: Batch) -> Taken:
    """Take in a receipt.

    Raises:
        ReceiptError: it is another tenant's, of no device or key that we know, of a bundle that was not for it, or not as it
            was signed.
        OverloadedError: too much is waiting.
    """
    key, device = check(receipt), receipt.device
    if receipt.tenant != tenant:
        raise ReceiptError(f"the receipt of {device} is for another tenant", device=device)
    entry = await admission.device(world, tenant, device)
    now = world.clock.now()
    if entry is None or not grants.holds(entry, key, now) or await admission.is_denied(world, tenant, key):
        # One sentence for all, as where a device shows its key.
        raise ReceiptError(f"the key that has signed the receipt is no credential of a device {device}", device=device)
    if not await world.store.glance(lambda tx: tx.bundles.holds(tenant, receipt.bundle, device)):
        raise ReceiptError(f"{receipt.bundle} was not exported for {device}", device=device)
    before = await _states(world, tenant, device, said.notes)
    after = await notes.hear(world, tenant, entry.subject, said, offline=True)
    states = {note.action: state for note, state in zip(said.notes, after, strict=True) if state is not None}
    moved = before != states
    if moved:
        told = {"bundle": receipt.bundle, "actions": len(states), "signed_at": receipt.time_s}
        event = Happening(tenant, now, actor.name, Kind.DEVICE_RECEIPT, device, told)
        await world.store.write(_note, event)
    return Taken(device, receipt.bundle, states, moved)


async def _states(world: World, tenant: TenantId, device: DeviceId, said: Sequence[Note]) -> dict[ActionId, State]:
    keys = [(device, action) for action in dict.fromkeys(note.action for note in said)]
    rows = await world.store.glance(lambda tx: tx.deployments.by_action(tenant, keys))
    return {row.action: row.state for row in rows if row is not None}


@one
def _note(tx: Tx, event: Happening) -> None:
    tx.events.add([event])
