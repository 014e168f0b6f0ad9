"""Answers to requests with an Idempotency-Key, in SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from otaru.adapters.sql import tables
from otaru.adapters.sql.session import Session
from otaru.domain.ids import TenantId, TokenId

_I = tables.idempotency.c


@dataclass(frozen=True, slots=True)
class SqlIdempotency:
    """`ports.store.Idempotency`."""

    session: Session

    def get(self, tenant: TenantId, token: TokenId, key: str) -> tuple[bytes, int, bytes] | None:
        query = select(_I.request, _I.status, _I.body).where(_I.tenant == tenant, _I.token == token, _I.key == key)
        row = self.session.connection.execute(query).one_or_none()
        return None if row is None else (bytes(row.request), row.status, bytes(row.body))

    def add(
        self, tenant: TenantId, token: TokenId, key: str, request: bytes, status: int, body: bytes, at: datetime
    ) -> None:
        self.session.connection.execute(
            insert(tables.idempotency),
            {
                "tenant": tenant,
                "token": token,
                "key": key,
                "request": request,
                "status": status,
                "body": body,
                "created_at": at,
            },
        )

    def prune(self, before: datetime) -> int:
        return self.session.connection.execute(delete(tables.idempotency).where(_I.created_at < before)).rowcount
