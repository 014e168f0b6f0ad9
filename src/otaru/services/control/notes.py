"""What a device says by notes, on the native road or in a receipt: each counts once by its id."""

from datetime import datetime, timedelta
from hashlib import sha256

from otaru.domain.deployment import Report, State
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.link import Batch, Note
from otaru.domain.offer import Subject
from otaru.services.control import feedback, pieces
from otaru.services.control.world import World

_APART = timedelta(microseconds=1)
"""Of what came at once: so it is also shown in the order in which it was said."""


async def hear(
    world: World, tenant: TenantId, subject: Subject, said: Batch, *, offline: bool = False
) -> list[State | None]:
    """Keep notes, durably, in their order; where each one's action is after it, None where the device has none such.

    `offline`: they were carried here.

    Raises:
        OverloadedError: too much is waiting.
    """
    now = world.clock.now()
    told = [_report(subject.id, note, now + nth * _APART, offline=offline) for nth, note in enumerate(said.notes)]
    return await feedback.reports(world, tenant, await pieces.whole(world, tenant, subject, told, said.installed))


def _report(device: DeviceId, note: Note, now: datetime, *, offline: bool) -> Report:
    words = [*note.text]
    if note.done is not None:
        words.append(f"{note.done} of {note.of}")
    if note.code:
        words[-1:] = [f"{note.code}: {words[-1]}" if words else note.code]
    return Report(
        device=device,
        action=note.action,
        received_at=now,
        event=note.event,
        execution="progress" if note.event is None else str(note.event),
        result=note.code,
        messages=tuple(words),
        digest=sha256(b"native note " + note.id.encode()).digest(),
        device_time="" if note.at is None else note.at.isoformat(timespec="seconds"),
        has_id=True,
        offline=offline,
    )
