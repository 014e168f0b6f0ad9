"""API tokens: stored as SHA-256, shown once."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from otaru.domain.access import Role
from otaru.domain.ids import TenantId, TokenId


class TokenKind(StrEnum):
    """What a token is for."""

    API = "api"
    LOGIN = "login"
    """Good once: exchanged for a session by the login page."""
    SESSION = "session"


_SHARED = re.compile(rf"user:(?:login|local|(?:{'|'.join(Role)}) [0-9a-f]{{32}})")


def is_one_person(actor: str) -> bool:
    """Whether an actor, as the record names it, is a person that can be told from others.

    The holder of a token without a label is not, nor is who comes by the login link or the server's own socket: the same
    person may hold another token.
    """
    return actor.startswith("user:") and _SHARED.fullmatch(actor) is None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is stored."""

    tenant: TenantId
    id: TokenId
    kind: TokenKind
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    parent: TokenId | None = None
    """Of a session: the API token that it was opened with. They end together."""

    def good(self, now: datetime) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
