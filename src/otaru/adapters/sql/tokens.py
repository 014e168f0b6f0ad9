"""API tokens in SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from otaru.adapters.sql import tables
from otaru.adapters.sql.lean import fetch
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import moment
from otaru.domain.access import Role
from otaru.domain.ids import TenantId, TokenId
from otaru.domain.token import Token, TokenKind

_T = tables.token.c
_SELECT = select(
    _T.tenant, _T.token, _T.kind, _T.role, _T.label, _T.created_at, _T.expires_at, _T.revoked_at, _T.parent
)


# Asked in every call of the REST API.
_BY_HASH = """
SELECT tenant, token, kind, role, label, created_at, expires_at, revoked_at, parent FROM token WHERE digest = ?"""


def _at(micros: int | None) -> datetime | None:
    return None if micros is None else moment(micros)


def _token(row: Row[*tuple[Any, ...]]) -> Token:
    tenant, token, kind, role, label, created_at, expires_at, revoked_at, parent = row
    return Token(tenant, token, TokenKind(kind), Role(role), label, created_at, expires_at, revoked_at, parent)


@dataclass(frozen=True, slots=True)
class SqlTokens:
    """`ports.store.Tokens`."""

    session: Session

    def every_by_hash(self, digest: bytes) -> Token | None:
        for tenant, token, kind, role, label, created, expires, revoked, parent in fetch(
            self.session, _BY_HASH, digest
        ):
            return Token(
                tenant, token, TokenKind(kind), Role(role), label, moment(created), _at(expires), _at(revoked), parent
            )
        return None

    def add(self, token: Token, digest: bytes) -> None:
        self.session.connection.execute(
            insert(tables.token),
            {
                "tenant": token.tenant,
                "token": token.id,
                "digest": digest,
                "kind": token.kind,
                "role": token.role,
                "label": token.label,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "revoked_at": token.revoked_at,
                "parent": token.parent,
            },
        )

    def page(self, tenant: TenantId, after: TokenId | None, limit: int) -> list[Token]:
        query = _SELECT.where(_T.tenant == tenant, _T.kind == TokenKind.API).order_by(_T.token).limit(limit)
        if after is not None:
            query = query.where(_T.token > after)
        return [_token(row) for row in self.session.connection.execute(query)]

    def get(self, tenant: TenantId, token: TokenId) -> Token | None:
        query = _SELECT.where(_T.tenant == tenant, _T.token == token)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else _token(row)

    def revoke(self, tenant: TenantId, token: TokenId, at: datetime) -> bool:
        revoked = self.session.connection.execute(
            update(tables.token)
            .where(_T.tenant == tenant, _T.token == token, _T.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        if revoked.rowcount == 1:
            # A session ends with the token that opened it. No index: who revokes a token can wait for this look.
            sessions = update(tables.token).where(_T.tenant == tenant, _T.parent == token, _T.revoked_at.is_(None))
            self.session.connection.execute(sessions.values(revoked_at=at))
        return revoked.rowcount == 1
