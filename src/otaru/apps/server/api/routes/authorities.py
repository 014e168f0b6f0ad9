"""`/authorities`: the tenant's certificate authority, and others that some of its devices come from."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import Once, Reading, TenantWork
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.identity import AuthorityIn, AuthorityOut, CertificateIn, MadeAuthority
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items
from otaru.domain.authority import Authority
from otaru.ports.store import Tx
from otaru.services.control import authorities
from otaru.services.control.authorities import Made
from otaru.services.control.world import World

router = noun("/authorities", tag="authorities")

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="The authority's id.")]


@router.get("", responses=errors())
async def list_authorities(call: Reading) -> Items[AuthorityOut]:
    """List certificate authorities in the order of their making."""
    now = call.world.clock.now()
    found = await authorities.page(call.world, call.tenant)
    return Items(items=[AuthorityOut.of(one, now) for one in found], next=None)


@router.post("", status_code=201, response_model=MadeAuthority, responses=errors(404, 409, 413, 507))
async def make_authority(call: TenantWork, once: Once, body: AuthorityIn) -> Response:
    """Make the tenant's certificate authority: a root, or one whose certificate a root elsewhere is to sign."""

    def work(world: World) -> Awaitable[Made]:
        return authorities.create(world, call.tenant, call.actor, key=body.key, below=body.below)

    def show(_: Tx, made: Made) -> MadeAuthority:
        return MadeAuthority.made(made, call.world.clock.now())

    return await once(call, work, show, 201)


@router.post("/{authority}/certificate", response_model=AuthorityOut, responses=errors(404, 409, 507))
async def certify_authority(call: TenantWork, once: Once, authority: Id, body: CertificateIn) -> Response:
    """Bring the certificate that a root elsewhere has given the authority."""

    def work(world: World) -> Awaitable[Authority]:
        return authorities.certify(world, call.tenant, call.actor, authority, body.pem)

    def show(_: Tx, certified: Authority) -> AuthorityOut:
        return AuthorityOut.of(certified, call.world.clock.now())

    return await once(call, work, show)


@router.post("/{authority}/retire", response_model=AuthorityOut, responses=errors(404, 409, 507))
async def retire_authority(call: TenantWork, once: Once, authority: Id) -> Response:
    """Have an authority sign nothing new; what it has signed stays good."""

    def work(world: World) -> Awaitable[Authority]:
        return authorities.retire(world, call.tenant, call.actor, authority)

    def show(_: Tx, retired: Authority) -> AuthorityOut:
        return AuthorityOut.of(retired, call.world.clock.now())

    return await once(call, work, show)
