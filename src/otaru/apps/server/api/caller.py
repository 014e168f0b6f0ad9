"""Who calls: found before anything of the request is looked at.

A caller shows an API token (`Authorization: Bearer`) or, in a browser, the session's cookie. A cookie is sent by the
browser whatever page made the request, so with one, requests that change something must come from our own pages
(Fetch Metadata, or Origin where a browser does not send that). Requests over the admin socket need neither: only the
owner of the data folder can open it.

Every request looks its token up anew (one read by key), so a revoked one is dead at once, in every worker.
"""

from dataclasses import dataclass

from otaru.apps.console.session import SAFE, Scope, header, refuse_other_pages, session_of
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId, TokenId
from otaru.domain.token import Token, TokenKind
from otaru.errors import UnauthenticatedError
from otaru.services.control import tokens
from otaru.services.control.world import Actor, World

_LOCAL = TokenId("local")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, with the secret that was shown (empty on the admin socket)."""

    tenant: TenantId
    token: TokenId
    role: Role
    actor: Actor
    secret: str = ""
    kind: TokenKind | None = None
    """What was shown; None on the admin socket."""


async def identify(world: World, scope: Scope, public_url: str = "") -> Caller:
    """Who makes a request. `public_url` is the address that a proxy in front makes of ours.

    Raises:
        UnauthenticatedError: nobody we know.
        ForbiddenError: a browser was led here by a page of somebody else.
    """
    if (authorization := header(scope, b"authorization")) is not None:
        scheme, _, secret = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise UnauthenticatedError("the Authorization is not of the form Bearer TOKEN")
        return _caller(await tokens.check(world, secret.strip()), secret.strip())
    if scope.get("state", {}).get("local_admin"):
        return Caller(DEFAULT_TENANT, _LOCAL, Role.ADMIN, Actor("user:local"))
    secret = session_of(scope)
    if not secret:
        raise UnauthenticatedError("the request has no token", hint="Send Authorization: Bearer TOKEN.")
    token = await tokens.check(world, secret, TokenKind.SESSION)
    if scope["method"] not in SAFE:
        refuse_other_pages(scope, public_url)
    return _caller(token, secret)


def _caller(token: Token, secret: str) -> Caller:
    return Caller(token.tenant, token.id, token.role, tokens.user(token), secret, token.kind)


async def still_good(world: World, caller: Caller) -> bool:
    """Whether a caller of a moment ago would still be let in: for answers that take long."""
    if caller.kind is None:
        return True
    try:
        await tokens.check(world, caller.secret, caller.kind)
    except UnauthenticatedError:
        return False
    return True
