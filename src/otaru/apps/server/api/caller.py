"""Who calls: found before anything of the request is looked at.

A caller shows an API token (`Authorization: Bearer`) or, in a browser, the session's cookie. A cookie is sent by the
browser whatever page made the request, so with one, requests that change something must come from our own pages
(Fetch Metadata, or Origin where a browser does not send that). Requests over the admin socket need neither: only the
owner of the data folder can open it.

Every request looks its token up anew (one read by key), so a revoked one is dead at once, in every worker.
"""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from otaru.apps.server.body import Scope, header
from otaru.domain.access import Role
from otaru.domain.ids import DEFAULT_TENANT, TenantId, TokenId
from otaru.domain.token import Token, TokenKind
from otaru.errors import ForbiddenError, UnauthenticatedError
from otaru.services.control import tokens
from otaru.services.control.world import Actor, World

COOKIE = "otaru_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL = TokenId("local")
_MAX_COOKIES = 8192


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


def session_of(scope: Scope) -> str:
    """The session's secret in the request's cookies, or nothing."""
    for name, value in scope["headers"]:
        if name == b"cookie" and len(value) <= _MAX_COOKIES:
            try:
                cookies: SimpleCookie = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                continue
            if COOKIE in cookies:
                return cookies[COOKIE].value
    return ""


def refuse_other_pages(scope: Scope, public_url: str) -> None:
    """Refuse a browser's request that a page of somebody else made.

    Raises:
        ForbiddenError: it did, or nothing says that it did not.
    """
    site = header(scope, b"sec-fetch-site")
    if site is not None:
        ours = site in {b"same-origin", b"none"}
    else:
        origin = (header(scope, b"origin") or b"").decode("latin-1").lower()
        host = (header(scope, b"host") or b"").decode("latin-1").lower()
        ours = bool(origin) and origin in {f"{scope['scheme']}://{host}", origin_of(public_url)}
    if not ours:
        raise ForbiddenError(
            "this request was made by a page of another site", hint="Programs use a token instead of the cookie."
        )


def origin_of(url: str) -> str:
    """Scheme and host of an address; nothing of an empty one."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
