"""`/trust-anchors`: whom the tenant trusts to sign images."""

from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import Once, Reading, TenantWork
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.images import AnchorId, AnchorIn, AnchorOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain import ids
from otaru.images.facts import Format
from otaru.services.control import anchors

router = noun("/trust-anchors", tag="keys")

Kind = Annotated[Format, Path(description="The format whose images it signs.")]


@router.get("", responses=errors())
async def list_trust_anchors(call: Reading, wanted: Wanted) -> Items[AnchorOut]:
    """List whom the tenant trusts to sign images, by format and id."""
    after = wanted.after(text(Format), text(ids.sha256))
    found = await anchors.page(call.world, call.tenant, (after[0], after[1]) if after else None, wanted.limit + 1)
    items, following = wanted.page(found, AnchorOut.of, lambda anchor: (anchor.format, anchor.id))
    return Items(items=items, next=following)


@router.post("", status_code=201, response_model=AnchorOut, responses=errors(409, 413, 507))
async def add_trust_anchor(call: TenantWork, once: Once, body: AnchorIn) -> Response:
    """Trust certificates or a public key for images of a format. The verdicts on them are renewed in the background."""
    return await once(
        call,
        lambda world: anchors.add(world, call.tenant, call.actor, body.format, body.pem),
        lambda _, anchor: AnchorOut.of(anchor),
        201,
    )


@router.delete("/{format}/{anchor}", status_code=204, responses=errors(404, 507))
async def remove_trust_anchor(call: TenantWork, format: Kind, anchor: AnchorId) -> None:  # noqa: A002 - as in the address
    """Trust it no more. The verdicts on images of the format are renewed in the background."""
    await anchors.remove(call.world, call.tenant, call.actor, format, anchor)
