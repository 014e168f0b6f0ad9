"""The syntax tree of a query, and how a device in memory is held against it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from otaru.domain.device import Device


class Field(StrEnum):
    """What a term asks of a device."""

    ID = "id"
    HARDWARE = "hardware"
    LIFECYCLE = "lifecycle"
    TAG = "tag"
    ATTRIBUTE = "attr"
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison. `pieces` are the literal runs between wildcards: `eu-*` is ("eu-", ""), `eu` is ("eu",)."""

    field: Field
    pieces: tuple[str, ...]
    name: str = ""
    """The attribute's or component's name, where the field is one."""

    @property
    def exact(self) -> str | None:
        """The whole value, where there is no wildcard in it."""
        return self.pieces[0] if len(self.pieces) == 1 else None


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds."""

    parts: tuple["Query", ...]


Query: TypeAlias = Term | And | Or


def match(query: Query, device: Device) -> bool:
    """Whether `device` is among those that `query` names. Text compares exactly, case included."""
    match query:
        case And(parts):
            return all(match(part, device) for part in parts)
        case Or(parts):
            return any(match(part, device) for part in parts)
        case Term():
            return any(_fits(query.pieces, value) for value in _values(query, device))


def _values(term: Term, device: Device) -> tuple[str, ...]:
    match term.field:
        case Field.ID:
            return (device.id,)
        case Field.HARDWARE:
            return (device.hardware.model,)
        case Field.LIFECYCLE:
            return (device.lifecycle,)
        case Field.TAG:
            return tuple(device.tags)
        case Field.ATTRIBUTE:
            return (device.attributes[term.name],) if term.name in device.attributes else ()
        case Field.INSTALLED:
            return tuple(i.version for i in device.installed if i.component == term.name)


def _fits(pieces: tuple[str, ...], value: str) -> bool:
    if len(pieces) == 1:
        return value == pieces[0]
    first, *middle, last = pieces
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
