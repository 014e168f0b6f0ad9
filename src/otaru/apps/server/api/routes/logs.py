"""`/log`: the transparency logs. What anybody may check of them is at `/log/{tenant}/…` (`roads/log.py`)."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Query, Response

from otaru.apps.server.api.call import AuditReading, Call, Once, Reading, TenantWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import WholeNumber
from otaru.apps.server.api.models.logs import CheckpointOut, CosignatureIn, EntryOut, LogOut, LogsOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Paging, Wanted, number
from otaru.ports.store import Signed, Tx
from otaru.services.control import transparency
from otaru.services.control.world import World
from otaru.trust.log.entries import Log

router = noun("/log", tag="log")

Index = Annotated[WholeNumber, Path(ge=0, lt=2**63, description="The entry's place.")]


@router.get("", response_model=LogsOut, responses=errors())
async def show_logs(call: Reading) -> Response:
    """Show how far the tenant's logs have come, and their public keys."""
    states = [await transparency.state(call.world, call.tenant, log) for log in Log]
    return answered(LogsOut(logs=[LogOut.of(state) for state in states]))


@router.get("/release/entries", responses=errors())
async def list_release_entries(
    call: Reading,
    wanted: Wanted,
    subject: Annotated[
        str | None,
        Query(max_length=260, pattern=r"^[!-~]+$", description="Only of this: PRODUCT:VERSION, or a rollout's number."),
    ] = None,
) -> Items[EntryOut]:
    """List entries of the release log, the newest first."""
    return await _page(call, wanted, Log.RELEASE, subject)


@router.get("/audit/entries", responses=errors())
async def list_audit_entries(call: AuditReading, wanted: Wanted) -> Items[EntryOut]:
    """List entries of the audit log with what they commit to, the newest first."""
    return await _page(call, wanted, Log.AUDIT, None)


async def _page(call: Call, wanted: Paging, log: Log, subject: str | None) -> Items[EntryOut]:
    before = wanted.after(number)
    found = await transparency.entries(
        call.world, call.tenant, log, subject, before[0] if before else None, wanted.limit + 1
    )
    items, following = wanted.page(found, EntryOut.of, lambda placed: (placed[0],))
    return Items(items=items, next=following)


@router.delete("/audit/entries/{index}/text", status_code=204, responses=errors(404, 507))
async def erase_audit_text(call: TenantWork, index: Index) -> None:
    """Erase what an audit entry commits to. The entry stays, the log can be checked as before; the erasure is logged."""
    await transparency.erase(call.world, call.tenant, call.actor, index)


@router.post("/{log}/cosignatures", response_model=CheckpointOut, responses=errors(404, 409, 507))
async def add_cosignature(call: TenantWork, once: Once, log: Log, body: CosignatureIn) -> Response:
    """Keep a witness's signature of the newest checkpoint beside it."""

    def work(world: World) -> Awaitable[Signed]:
        return transparency.cosign(world, call.tenant, log, body.note, body.witness)

    def show(_: Tx, kept: Signed) -> CheckpointOut:
        return CheckpointOut(size=kept.size, note=kept.note)

    return await once(call, work, show)
