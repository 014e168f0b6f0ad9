"""`/keys`: who may sign what, and what is signed."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Query, Response

from otaru.apps.server.api.call import Call, DeviceWork, Once, Reading, ReleaseWork, TenantWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import DeviceName
from otaru.apps.server.api.models.keys import (
    AcceptedOut,
    ChangeIn,
    KeysOut,
    MetadataIn,
    OutcomeOut,
    PermitIn,
    PermitOut,
    PublicKeyOut,
    RepositoryName,
    RequestIn,
)
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items
from otaru.domain.access import Permission, may
from otaru.domain.ids import DeviceId
from otaru.domain.release import Release
from otaru.errors import ForbiddenError
from otaru.ports.store import Tx
from otaru.services.control import metadata, permits
from otaru.services.control.metadata import Order, Outcome
from otaru.services.control.world import World
from otaru.trust.permit import Permit
from otaru.trust.tuf.names import TOP

router = noun("/keys", tag="keys")


def _show(_: Tx, outcome: Outcome) -> OutcomeOut:
    return OutcomeOut.of(outcome)


@router.get("", response_model=KeysOut, responses=errors())
async def show_keys(call: Reading) -> Response:
    """Show the roles of both repositories, when they end, and the keys that may sign them."""
    return answered(KeysOut.of(await metadata.status(call.world, call.tenant)))


@router.post("/online", status_code=201, response_model=PublicKeyOut, responses=errors(409, 507))
async def make_online_key(call: TenantWork, once: Once, repository: RepositoryName = "image") -> Response:
    """Make a key that the server keeps, for a root to name for what is signed all the time."""
    return await once(
        call,
        lambda world: metadata.online_key(world, call.tenant, call.actor, repository),
        lambda _, key: PublicKeyOut.of_key(key),
        201,
    )


@router.post("/changes", response_model=OutcomeOut, responses=errors(404, 409, 422, 507))
async def change_keys(call: TenantWork, once: Once, body: ChangeIn) -> Response:
    """Change who may sign. Done at once where the server holds the keys for it, else the answer is what is to be signed."""
    return await once(call, _ordered(call, body.change.parsed()), _show)


@router.post("/requests", response_model=OutcomeOut, responses=errors(404, 409, 422, 507))
async def request_signatures(call: ReleaseWork, once: Once, body: RequestIn) -> Response:
    """Have a role signed anew: before it ends, or to publish drafts. Done at once where the server holds the keys."""
    return await once(call, _ordered(call, body.parsed()), _show)


@router.post("/metadata", response_model=AcceptedOut, responses=errors(409, 422, 507))
async def import_metadata(call: ReleaseWork, once: Once, body: MetadataIn) -> Response:
    """Take in metadata that was signed elsewhere, all of it or nothing. Root and targets take an admin."""
    offered = body.parsed()
    needed = Permission.WRITE_TENANT
    if set(offered) & set(TOP) and not may(call.caller.role, needed):
        raise ForbiddenError("root and targets are an admin's to bring", hint=f"It needs {needed}.", needs=needed)

    def work(world: World) -> Awaitable[list[Release]]:
        return metadata.accept(world, call.tenant, call.actor, offered, body.repository)

    return await once(call, work, lambda _, published: AcceptedOut.of(offered, published))


@router.post("/permits", status_code=201, response_model=PermitOut, responses=errors(404, 409, 422, 507))
async def import_permit(call: DeviceWork, once: Once, body: PermitIn) -> Response:
    """Take in a permission to downgrade one device's component, signed by the offline keys of targets."""
    permit = body.parsed()

    def work(world: World) -> Awaitable[Permit]:
        return permits.bring(world, call.tenant, call.actor, permit)

    return await once(call, work, lambda _, brought: PermitOut.of(brought), 201)


@router.get("/permits", responses=errors(404))
async def list_permits(
    call: Reading, device: Annotated[DeviceName, Query(description="Of which device.")]
) -> Items[PermitOut]:
    """List the permissions to downgrade that a device has or had, one for each component."""
    found = await permits.of_device(call.world, call.tenant, DeviceId(device))
    return Items(items=[PermitOut.kept(device, one) for one in found], next=None)


def _ordered(call: Call, order: Order) -> Callable[[World], Awaitable[Outcome]]:
    return lambda world: metadata.change(world, call.tenant, call.actor, order)
