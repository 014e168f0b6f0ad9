"""A browser's session: its cookie, who stands behind it, and which requests our own pages made.

A browser sends the cookie whatever page made the request, so what changes something must come from our own pages (Fetch
Metadata, or Origin where a browser does not send that). `SameSite=Lax` lets a link in a mail or chat lead to a page
without a second login; requests that change something it keeps to us, as the check here does once more.

Every request looks its session up anew (one read by key), so one that was ended is dead at once, in every worker.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from otaru.domain.access import Permission, Role, may
from otaru.domain.ids import TenantId, TokenId
from otaru.domain.token import TokenKind
from otaru.errors import ForbiddenError, UnauthenticatedError
from otaru.services.control import tokens
from otaru.services.control.world import Actor, World

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "otaru_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_COOKIES = 8192


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the pages."""

    tenant: TenantId
    session: TokenId
    role: Role
    label: str
    actor: Actor

    def may(self, permission: str) -> bool:
        """Whether the visitor may do what needs `permission`: templates hide what would be refused."""
        return may(self.role, Permission(permission))


async def visitor(world: World, scope: Scope, public_url: str = "") -> Visitor:
    """Who makes a request. `public_url` is the address that a proxy in front makes of ours.

    Raises:
        UnauthenticatedError: there is no session, or it has ended.
        ForbiddenError: a browser was led here by a page of somebody else.
    """
    secret = session_of(scope)
    if not secret:
        raise UnauthenticatedError("nobody is logged in")
    token = await tokens.check(world, secret, TokenKind.SESSION)
    if scope["method"] not in SAFE:
        refuse_other_pages(scope, public_url)
    return Visitor(token.tenant, token.id, token.role, token.label, tokens.user(token))


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


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
