"""API tokens, one-time login codes and sessions: made, checked, revoked.

A secret is stored as its SHA-256 and shown once. Secrets are random (`Clock.token`, 128 bits and more), so their plain
digest is safe to look up by: an index on it leaks nothing that helps to guess one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.access import Role
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId, TokenId
from otaru.domain.token import Token, TokenKind
from otaru.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from otaru.ports.store import Tx, one
from otaru.services.control.world import SYSTEM, Actor, World

MAX_LABEL = 128
MAX_SECRET = 512
MAX_LIFE = timedelta(days=3650)
LOGIN_LIFE = timedelta(hours=1)
SESSION_LIFE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token with its secret: the only time that it is seen."""

    token: Token
    secret: str


async def create(
    world: World, tenant: TenantId, actor: Actor, role: Role, label: str = "", life: timedelta | None = None
) -> Issued:
    """Make an API token. Without `life` it is good until it is revoked.

    Raises:
        InvalidInputError: the label or the life is out of its bounds.
    """
    return await _issue(world, tenant, actor, TokenKind.API, role, label, life)


async def login_code(world: World, tenant: TenantId, role: Role = Role.ADMIN, label: str = "login") -> str:
    """Make a code for the login page: good once, for an hour, for a session with `role`."""
    return (await _issue(world, tenant, SYSTEM, TokenKind.LOGIN, role, label, LOGIN_LIFE)).secret


async def log_in(world: World, code: str) -> Issued:
    """Exchange a login code for a session. Of two who try with one code, one gets it.

    Raises:
        UnauthenticatedError: the code is unknown, used or expired.
    """
    now = world.clock.now()
    return await world.store.write(_log_in, (_digest(code), world.clock.token(), TokenId(world.clock.unique()), now))


async def open_session(world: World, secret: str) -> Issued:
    """Open a session with an API token; it ends with the token at the latest.

    Raises:
        UnauthenticatedError: the token is unknown, expired or revoked.
    """
    asked = (_digest(secret), world.clock.token(), TokenId(world.clock.unique()), world.clock.now())
    return await world.store.write(_open_session, asked)


async def check(world: World, secret: str, kind: TokenKind = TokenKind.API) -> Token:
    """The token that a presented secret stands for. Looked up each time, so a revoked one is dead at once.

    Raises:
        UnauthenticatedError: there is none of this kind, or it has expired or was revoked.
    """
    digest = _digest(secret)
    token = await world.store.glance(lambda tx: tx.tokens.every_by_hash(digest))
    if token is None or token.kind is not kind or not token.good(world.clock.now()):
        # One sentence for all: who guesses learns nothing about what was nearly right.
        raise UnauthenticatedError(
            "the token is unknown, expired or revoked",
            hint="Make a new one: otaru token create --data DIR --role admin",
        )
    return token


async def revoke(world: World, tenant: TenantId, actor: Actor, token: TokenId) -> None:
    """Revoke a token or session at once; a second time changes nothing.

    Raises:
        NotFoundError: there is none.
    """
    await world.store.write(_revoke, (tenant, actor, token, world.clock.now()))


async def page(world: World, tenant: TenantId, after: TokenId | None, limit: int) -> list[Token]:
    """API tokens in the order of their making, the revoked ones too."""
    return await world.store.read(lambda tx: tx.tokens.page(tenant, after, limit))


def _digest(secret: str) -> bytes:
    if len(secret) > MAX_SECRET:
        raise UnauthenticatedError("no token is that long")
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class _Issuing:
    token: Token
    secret: str
    actor: Actor


async def _issue(
    world: World, tenant: TenantId, actor: Actor, kind: TokenKind, role: Role, label: str, life: timedelta | None
) -> Issued:
    if len(label) > MAX_LABEL or not (label.isprintable() or not label):
        raise InvalidInputError(f"a label has at most {MAX_LABEL} characters and no control characters")
    if life is not None and not timedelta(0) < life <= MAX_LIFE:
        raise InvalidInputError(f"a token lives between 1 second and {MAX_LIFE.days} days, or without an end")
    now = world.clock.now()
    expires = None if life is None else now + life
    token = Token(tenant, TokenId(world.clock.unique()), kind, role, label, now, expires)
    return await world.store.write(_create, _Issuing(token, world.clock.token(), actor))


@one
def _create(tx: Tx, issuing: _Issuing) -> Issued:
    token = issuing.token
    tx.tokens.add(token, _digest(issuing.secret))
    tx.events.add([_happening(token, Kind.TOKEN_CREATED, issuing.actor, token.created_at)])
    return Issued(token, issuing.secret)


@one
def _log_in(tx: Tx, asked: tuple[bytes, str, TokenId, datetime]) -> Issued:
    digest, secret, session_id, now = asked
    code = tx.tokens.every_by_hash(digest)
    usable = code is not None and code.kind is TokenKind.LOGIN and code.good(now)
    if code is None or not usable or not tx.tokens.revoke(code.tenant, code.id, now):
        raise UnauthenticatedError("this login link is unknown, used or expired", hint="Ask for a new one.")
    session = Token(code.tenant, session_id, TokenKind.SESSION, code.role, code.label, now, now + SESSION_LIFE)
    tx.tokens.add(session, _digest(secret))
    actor = user(code)
    tx.events.add(
        [_happening(code, Kind.TOKEN_REVOKED, actor, now), _happening(session, Kind.TOKEN_CREATED, actor, now)]
    )
    return Issued(session, secret)


@one
def _open_session(tx: Tx, asked: tuple[bytes, str, TokenId, datetime]) -> Issued:
    digest, secret, session_id, now = asked
    token = tx.tokens.every_by_hash(digest)
    if token is None or token.kind is not TokenKind.API or not token.good(now):
        raise UnauthenticatedError("this token is unknown, expired or revoked", hint="Make one: otaru token create")
    ends = now + SESSION_LIFE if token.expires_at is None else min(now + SESSION_LIFE, token.expires_at)
    session = Token(token.tenant, session_id, TokenKind.SESSION, token.role, token.label, now, ends, parent=token.id)
    tx.tokens.add(session, _digest(secret))
    tx.events.add([_happening(session, Kind.TOKEN_CREATED, user(token), now)])
    return Issued(session, secret)


@one
def _revoke(tx: Tx, asked: tuple[TenantId, Actor, TokenId, datetime]) -> None:
    tenant, actor, token_id, now = asked
    token = tx.tokens.get(tenant, token_id)
    if token is None:
        raise NotFoundError(f"there is no token {token_id}")
    if tx.tokens.revoke(tenant, token_id, now):
        tx.events.add([_happening(token, Kind.TOKEN_REVOKED, actor, now)])


def user(token: Token) -> Actor:
    """A token's holder as the record names them; a session's is that of the token that opened it."""
    return Actor(f"user:{token.label or f'{token.role} {token.parent or token.id}'}")


def _happening(token: Token, kind: Kind, actor: Actor, at: datetime) -> Happening:
    data = {"kind": str(token.kind), "role": str(token.role), "label": token.label}
    if token.parent is not None:
        data["token"] = token.parent
    return Happening(token.tenant, at, actor.name, kind, token.id, data)
