"""`/tenant`: the caller's own tenant."""

from collections.abc import Awaitable

from fastapi import Response

from otaru.apps.server.api.call import Edition, Once, Reading, TenantWork, answered
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.tenants import GatewayToken, HaltIn, TenantIn, TenantOut
from otaru.apps.server.api.noun import noun
from otaru.domain.tenant import Tenant
from otaru.ports.store import Tx
from otaru.services.control import tenants
from otaru.services.control.world import World

router = noun("/tenant", tag="tenant")


def _show(tx: Tx, tenant: Tenant) -> TenantOut:
    return TenantOut.of(tenants.seen(tx, tenant.id))


@router.get("", response_model=TenantOut, responses=errors())
async def show_tenant(call: Reading) -> Response:
    """Show the tenant's settings and what it uses."""
    return answered(TenantOut.of(await tenants.show(call.world, call.tenant)))


@router.patch("", response_model=TenantOut, responses=errors(412, 413, 507))
async def change_tenant(call: TenantWork, edition: Edition, body: TenantIn) -> Response:
    """Change settings; those that are left out stay."""
    await tenants.change(call.world, call.tenant, call.actor, body.settings.parsed(), edition)
    return answered(TenantOut.of(await tenants.show(call.world, call.tenant)))


@router.post("/halt", response_model=TenantOut, responses=errors(409, 507))
async def halt_tenant(call: TenantWork, once: Once, body: HaltIn | None = None) -> Response:
    """Hold every rollout at once: no device is offered anything. Halting twice only renews the reason."""

    def work(world: World) -> Awaitable[Tenant]:
        return tenants.halt(world, call.tenant, call.actor, body.reason if body else "")

    return await once(call, work, _show)


@router.post("/lift", response_model=TenantOut, responses=errors(409, 507))
async def lift_tenant(call: TenantWork, once: Once) -> Response:
    """End a halt; where there is none nothing changes."""
    return await once(call, lambda world: tenants.lift(world, call.tenant, call.actor), _show)


@router.post("/gateway-token", status_code=201, response_model=GatewayToken, responses=errors(409, 507))
async def make_gateway_token(call: TenantWork, once: Once) -> Response:
    """Make a new gateway token, which acts for every device; an older one dies. It is shown in this answer only."""

    def show(_: Tx, secret: str) -> GatewayToken:
        return GatewayToken(token=secret)

    return await once(call, lambda world: tenants.new_gateway_token(world, call.tenant, call.actor), show, 201)


@router.delete("/gateway-token", status_code=204, responses=errors(507))
async def drop_gateway_token(call: TenantWork) -> None:
    """Have no gateway token (any more)."""
    await tenants.drop_gateway_token(call.world, call.tenant, call.actor)
