"""Organisations, who may speak for them, and what they were answered."""

from datetime import datetime
from typing import Protocol

from otaru.domain.ids import TenantId, TokenId
from otaru.domain.tenant import Tenant
from otaru.domain.token import Token


class Tenants(Protocol):
    """Organisations and their settings."""

    def get(self, tenant: TenantId) -> Tenant | None: ...
    def add(self, tenant: Tenant) -> bool:
        """False where one of this name exists (nothing is changed)."""
        ...

    def save(self, tenant: Tenant) -> None:
        """Replace settings, halt and edition."""
        ...

    def every_tenant(self) -> list[Tenant]: ...


class Tokens(Protocol):
    """API tokens by the SHA-256 of their secret."""

    def every_by_hash(self, digest: bytes) -> Token | None:
        """Whose token this is; the tenant is what the token says, so no tenant is asked for."""
        ...

    def add(self, token: Token, digest: bytes) -> None: ...
    def page(self, tenant: TenantId, after: TokenId | None, limit: int) -> list[Token]:
        """API tokens by id (which sorts by time)."""
        ...

    def get(self, tenant: TenantId, token: TokenId) -> Token | None: ...
    def revoke(self, tenant: TenantId, token: TokenId, at: datetime) -> bool:
        """False where it is unknown or revoked already: of two who try, one gets True. The sessions it opened end too."""
        ...


class Idempotency(Protocol):
    """Answers given to requests that carried an Idempotency-Key."""

    def get(self, tenant: TenantId, token: TokenId, key: str) -> tuple[bytes, int, bytes] | None:
        """Request digest, status and body of the answer that was given."""
        ...

    def add(
        self, tenant: TenantId, token: TokenId, key: str, request: bytes, status: int, body: bytes, at: datetime
    ) -> None: ...
    def prune(self, before: datetime) -> int: ...
