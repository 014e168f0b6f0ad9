"""`/tokens`: API tokens, made and revoked by admins."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import Path, Response

from otaru.apps.server.api.call import Once, TokenWork
from otaru.apps.server.api.errors import errors
from otaru.apps.server.api.models.fields import span
from otaru.apps.server.api.models.tokens import IssuedToken, NewToken, TokenOut
from otaru.apps.server.api.noun import noun
from otaru.apps.server.api.paging import Items, Wanted, text
from otaru.domain.ids import TokenId
from otaru.ports.store import Tx
from otaru.services.control import tokens
from otaru.services.control.tokens import Issued
from otaru.services.control.world import World

router = noun("/tokens", tag="tokens")

Token = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z]+$")]


@router.post("", status_code=201, response_model=IssuedToken, responses=errors(409, 507))
async def create_token(call: TokenWork, once: Once, body: NewToken) -> Response:
    """Make a token. Its secret is shown in this answer only."""

    def work(world: World) -> Awaitable[Issued]:
        return tokens.create(world, call.tenant, call.actor, body.role, body.label, span(body.expires_in_s))

    def show(_: Tx, issued: Issued) -> IssuedToken:
        return IssuedToken.issued(issued)

    return await once(call, work, show, 201)


@router.get("", responses=errors())
async def list_tokens(call: TokenWork, wanted: Wanted) -> Items[TokenOut]:
    """List tokens in the order of their making, the revoked ones too; never their secrets."""
    after = wanted.after(text(TokenId))
    found = await tokens.page(call.world, call.tenant, after[0] if after else None, wanted.limit + 1)
    items, following = wanted.page(found, TokenOut.of, lambda token: (token.id,))
    return Items(items=items, next=following)


@router.delete("/{token}", status_code=204, responses=errors(404, 507))
async def revoke_token(call: TokenWork, token: Token) -> None:
    """Revoke a token: it is dead at once."""
    await tokens.revoke(call.world, call.tenant, call.actor, TokenId(token))
