"""API tokens, as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import LINE, MAX_SECONDS, Body, Out
from otaru.domain.access import Role
from otaru.domain.token import Token
from otaru.services.control.tokens import Issued


class NewToken(Body):
    """A token as somebody asks for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "operator", "label": "ci"}]})

    role: Role
    label: Annotated[str, Field(max_length=128, pattern=LINE, description="Whose it is: the record names it.")] = ""
    expires_in_s: Annotated[
        float | None, Field(ge=1, le=MAX_SECONDS, description="How long it is good; without it until it is revoked.")
    ] = None


class TokenOut(Out):
    """A token without its secret."""

    id: str
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> "TokenOut":
        """As it is stored."""
        return cls.model_validate(token, from_attributes=True)


class IssuedToken(TokenOut):
    """A new token with its secret, which is shown once."""

    token: Annotated[str, Field(description="The secret: stored as SHA-256, never shown again.")]

    @classmethod
    def issued(cls, issued: Issued) -> "IssuedToken":
        """As it was made."""
        return cls(**TokenOut.of(issued.token).model_dump(), token=issued.secret)
