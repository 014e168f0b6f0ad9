"""Attributes with types, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import Body, Name, Out
from otaru.domain.attribute import AttributeChange, AttributeKind, Declared
from otaru.services.control.declaring import Fact, Seen


class DeclareIn(Body):
    """An attribute's type."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "battery.level", "kind": "number"}]})

    name: Name
    kind: AttributeKind


class DeclaredOut(Out):
    """An attribute whose type is declared."""

    name: str
    kind: AttributeKind
    created_at: datetime
    ready: Annotated[bool, Field(description="Whether all that devices have of it is read, and it may be compared.")]

    @classmethod
    def of(cls, declared: Declared) -> "DeclaredOut":
        """As it is stored."""
        return cls(name=declared.name, kind=declared.kind, created_at=declared.created_at, ready=declared.ready)


class SeenAttribute(DeclaredOut):
    """The same, with what devices make of it."""

    unreadable: Annotated[int, Field(description="Devices that say what is no value of its type.")]

    @classmethod
    def seen(cls, seen: Seen) -> "SeenAttribute":
        """As it was counted."""
        return cls(**DeclaredOut.of(seen.declared).model_dump(), unreadable=seen.unreadable)


class FactOut(Out):
    """An attribute of a device."""

    name: str
    value: str
    kind: Annotated[AttributeKind | None, Field(description="Its type, where one is declared.")]
    readable: Annotated[bool | None, Field(description="Whether the value is one of that type.")]

    @classmethod
    def of(cls, fact: Fact) -> "FactOut":
        """As it is known."""
        return cls(name=fact.name, value=fact.value, kind=fact.kind, readable=fact.readable)


class ChangeOut(Out):
    """What became of an attribute."""

    at: datetime
    name: str
    before: Annotated[str | None, Field(description="Null: it had none.")]
    after: Annotated[str | None, Field(description="Null: it has none since.")]

    @classmethod
    def of(cls, change: AttributeChange) -> "ChangeOut":
        """As it is kept."""
        return cls(at=change.at, name=change.name, before=change.before, after=change.after)
