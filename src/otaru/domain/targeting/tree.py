"""The syntax tree of a query, and how a device in memory is held against it."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from otaru.domain import standing
from otaru.domain.attribute import AttributeKind, number, sort_key
from otaru.domain.deployment import State
from otaru.domain.device import Assurance, Device, Lifecycle


class Field(StrEnum):
    """What a term asks of a device."""

    ID = "id"
    HARDWARE = "hardware"
    REVISION = "revision"
    TAG = "tag"
    GROUP = "group"
    LIFECYCLE = "lifecycle"
    ASSURANCE = "assurance"
    STATE = "state"
    LAST_CONTACT = "last_contact"
    CREATED = "created"
    ATTRIBUTE = "attr"
    INSTALLED = "installed"
    TELEMETRY = "telemetry"


class Relation(StrEnum):
    """How a time is compared."""

    BEFORE = "=lt="
    UNTIL = "=le="
    AFTER = "=gt="
    SINCE = "=ge="


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
class Timed:
    """A time, `created` or `last_contact`, compared with a moment. Who was never heard of has no last contact."""

    field: Field
    relation: Relation
    at: datetime


@dataclass(frozen=True, slots=True)
class Compared:
    """A value that has an order, compared with another one.

    An attribute's kind is what the tenant declared (`meaning`); a version's order is its product's, so that `meaning`
    makes `OneOf` of it; telemetry is numbers.
    """

    field: Field
    name: str
    relation: Relation
    text: str
    kind: AttributeKind | None = None


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value, which has a name, is one of these."""

    field: Field
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """The device has a value of this field at all."""

    field: Field
    name: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: "Query"


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds."""

    parts: tuple["Query", ...]


Query: TypeAlias = Term | Timed | Compared | OneOf | Known | Not | And | Or


@dataclass(frozen=True, slots=True)
class Facts:
    """What a query may ask of a device."""

    device: Device
    state: State | None = None
    """Where it stands (`domain.standing`); None is nowhere yet."""
    groups: frozenset[str] = frozenset()
    """The static groups that list it."""
    telemetry: Mapping[str, float] = field(default_factory=dict)
    """The last that it told of what it measures."""


_RELATIONS: Mapping[Relation, Callable[[Any, Any], bool]] = {
    Relation.BEFORE: operator.lt,
    Relation.UNTIL: operator.le,
    Relation.AFTER: operator.gt,
    Relation.SINCE: operator.ge,
}


def matches(query: Query, facts: Facts) -> bool:
    """Whether a device is among those that `query` names. Text compares exactly, case included."""
    match query:
        case And(parts):
            return all(matches(part, facts) for part in parts)
        case Or(parts):
            return any(matches(part, facts) for part in parts)
        case Not(part):
            return not matches(part, facts)
        case Known(field, name):
            return _moment(field, facts.device) is not None or bool(_values(field, name, facts))
        case Timed(field, relation, at):
            moment = _moment(field, facts.device)
            return moment is not None and _RELATIONS[relation](moment, at)
        case Compared():
            return _compares(query, facts)
        case OneOf(field, name, values):
            return any(value in values for value in _values(field, name, facts))
        case Term(field, pieces, name):
            return any(fits(pieces, value) for value in _values(field, name, facts))


def _compares(query: Compared, facts: Facts) -> bool:
    relation = _RELATIONS[query.relation]
    if query.field is Field.TELEMETRY:
        value, than = facts.telemetry.get(query.name), number(query.text)
        return value is not None and than is not None and relation(value, than)
    text = facts.device.attributes.get(query.name)
    if text is None or query.kind is None:
        return False
    mine, other = sort_key(query.kind, text), sort_key(query.kind, query.text)
    return mine is not None and other is not None and relation(mine, other)


def states_meant(term: Term) -> frozenset[State | None]:
    """The states that a term on `state` means, by every word for them; None is idle."""
    return frozenset(
        state for state in standing.STANDINGS if any(fits(term.pieces, word) for word in standing.words(state))
    )


def lifecycles_meant(term: Term) -> frozenset[Lifecycle]:
    """The lifecycles that a term on `lifecycle` means."""
    return frozenset(lifecycle for lifecycle in Lifecycle if fits(term.pieces, lifecycle))


def assurances_meant(term: Term) -> frozenset[Assurance]:
    """The levels that a term on `assurance` means."""
    return frozenset(level for level in Assurance if fits(term.pieces, level))


def _moment(field: Field, device: Device) -> datetime | None:
    if field is Field.CREATED:
        return device.created_at
    return device.last_contact if field is Field.LAST_CONTACT else None


def _values(field: Field, name: str, facts: Facts) -> tuple[str, ...]:
    device = facts.device
    match field:
        case Field.ID:
            return (device.id,)
        case Field.HARDWARE:
            return (device.hardware.model,)
        case Field.REVISION:
            return (device.hardware.revision,) if device.hardware.revision else ()
        case Field.LIFECYCLE | Field.ASSURANCE:
            return (device.lifecycle if field is Field.LIFECYCLE else device.assurance,)
        case Field.STATE:
            return () if device.lifecycle is Lifecycle.DECOMMISSIONED else tuple(standing.words(facts.state))
        case Field.TAG | Field.GROUP:
            return tuple(device.tags if field is Field.TAG else facts.groups)
        case Field.ATTRIBUTE | Field.INSTALLED | Field.TELEMETRY:
            return _named(field, name, facts)
        case Field.LAST_CONTACT | Field.CREATED:
            return ()


def _named(field: Field, name: str, facts: Facts) -> tuple[str, ...]:
    device = facts.device
    if field is Field.INSTALLED:
        return tuple(i.version for i in device.installed if i.component == name)
    if field is Field.TELEMETRY:
        return (str(facts.telemetry[name]),) if name in facts.telemetry else ()
    return (device.attributes[name],) if name in device.attributes else ()


def fits(pieces: tuple[str, ...], value: str) -> bool:
    """Whether a value is one that literal runs with wildcards between them describe."""
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
