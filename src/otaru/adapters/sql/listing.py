"""What each field of a target has an index for: the devices that it lists, and whether they come in the order of ids.

A list is a statement over a table that is called `l` in it, whose rows say of whom they are in `l.device`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from otaru.adapters.sql import fleet
from otaru.adapters.sql.patterns import fits
from otaru.adapters.sql.piece import TRUE, Piece, all_of, among
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import micros
from otaru.domain import standing
from otaru.domain.attribute import number, sort_key
from otaru.domain.deployment import State
from otaru.domain.device import Assurance, Lifecycle
from otaru.domain.ids import TenantId
from otaru.domain.targeting import (
    And,
    Compared,
    Field,
    Known,
    Not,
    OneOf,
    Or,
    Query,
    Relation,
    Term,
    Timed,
    assurances_meant,
    lifecycles_meant,
    states_meant,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Who stands at a state: one of those that a term on `state` means."""

    state: State


Part: TypeAlias = Query | Standing
Listed: TypeAlias = Term | Timed | Compared | OneOf | Known | Standing

_ANY = ("", "")
_NONE = Piece("1 = 0")
_LISTS = {Field.TAG: ("device_tag", "l.tag"), Field.GROUP: ("group_member", "l.name")}
_BY_ID = frozenset({Field.ID, Field.LAST_CONTACT, Field.TELEMETRY, *_LISTS, Field.ATTRIBUTE, Field.INSTALLED})
_OF_ROW = frozenset({Field.HARDWARE, Field.REVISION, Field.LIFECYCLE, Field.ASSURANCE})
_IN_SERVICE = Piece(f"device.lifecycle <> '{Lifecycle.DECOMMISSIONED}'")
_RELATIONS = {Relation.BEFORE: "<", Relation.UNTIL: "<=", Relation.AFTER: ">", Relation.SINCE: ">="}


def indexed(part: Part) -> bool:
    """Whether an index lists the devices of a part."""
    match part:
        case Standing() | Compared() | OneOf():
            return True
        case Timed(field, relation, _):
            # Most devices have been heard of of late.
            return field is Field.CREATED or relation in {Relation.BEFORE, Relation.UNTIL}
        case Term(Field.LIFECYCLE):
            return Lifecycle.ACTIVE not in lifecycles_meant(part)
        case Term(Field.ASSURANCE):
            return Assurance.L1 not in assurances_meant(part)
        case Term(Field.STATE):
            return None not in states_meant(part)
        case Term(_, pieces):
            return bool(pieces[0])
        case _:
            return False


def ordered(part: Part) -> bool:
    """Whether that index lists them in the order of ids, each once."""
    match part:
        case Standing() | Term(Field.ID):
            return True
        case Term(Field.LIFECYCLE):
            return len(lifecycles_meant(part)) == 1
        case Term(Field.ASSURANCE):
            return len(assurances_meant(part)) == 1
        case Term(Field.STATE):
            return len(states_meant(part)) == 1
        case Term():
            return part.exact is not None
        case _:
            return False


def uneven(part: Part) -> bool:
    """Whether its devices may all stand at one end of the ids."""
    return isinstance(part, Timed) and part.field is Field.CREATED


def counts(part: Part) -> bool:
    """Whether as many devices are listed as are meant: each once, and no other."""
    match part:
        case Term(Field.ID | Field.HARDWARE | Field.REVISION | Field.LIFECYCLE | Field.ASSURANCE):
            return False
        case Term(Field.STATE):
            return indexed(part)
        case Term():
            return part.exact is not None
        case Known(Field.ATTRIBUTE | Field.INSTALLED | Field.TELEMETRY | Field.LAST_CONTACT) | Timed() | Compared():
            return True
        case OneOf():
            return True
        case _:
            return False


def by_id(part: Part) -> bool:
    """Whether the id is enough to ask it of a device: nothing of the device's own row is read."""
    match part:
        case And(parts) | Or(parts):
            return all(map(by_id, parts))
        case Not(one):
            return by_id(one)
        case Standing() | Compared() | OneOf():
            return True
        case Term(Field.STATE):
            return indexed(part)
        case Term(field) | Timed(field) | Known(field):
            return field in _BY_ID


def of_row(part: Part) -> bool:
    """Whether the index is one of the device's own rows, with one value of the column and then the id."""
    return isinstance(part, Term) and part.field in _OF_ROW and ordered(part)


def listed(session: Session, tenant: TenantId, part: Listed) -> Piece:
    """The devices that a part's own index lists."""
    match part:
        case Standing() | Term(Field.STATE):
            return _list("device_standing", tenant, among("l.state", _meant(part)))
        case Timed(Field.CREATED):
            return _list("device", tenant, compared("l.created_at", part))
        case Timed(_, _, at):
            hour = Piece("l.hour <= ?", (fleet.hour_of(micros(at)),)) if indexed(part) else TRUE
            return _list("device_contact", tenant, hour, compared("l.last_contact", part))
        case Compared() | OneOf():
            return _in_order(tenant, part)
        case Known():
            return _has(session, tenant, part)
        case Term(Field.TAG | Field.GROUP as field, pieces):
            table, column = _LISTS[field]
            return _list(table, tenant, fits(session, column, pieces))
        case Term(Field.ATTRIBUTE, pieces, name):
            return _list("device_attribute", tenant, Piece("l.name = ?", (name,)), fits(session, "l.value", pieces))
        case Term(Field.INSTALLED, pieces, name):
            of_component = Piece("l.component = ?", (name,))
            return _list("device_component", tenant, of_component, fits(session, "l.version", pieces))
        case Term():
            return _list("device", tenant, of_device(session, part, "l"))


def _has(session: Session, tenant: TenantId, part: Known) -> Piece:
    if part.field is Field.LAST_CONTACT:
        return _list("device_contact", tenant)
    if part.field is Field.TELEMETRY:
        return _list("telemetry_last", tenant, Piece("l.name = ?", (part.name,)))
    return listed(session, tenant, Term(part.field, _ANY, part.name))


def _in_order(tenant: TenantId, part: Compared | OneOf) -> Piece:
    """Who has a value that compares so. What is no value of its type has no key, and compares with nothing."""
    if isinstance(part, OneOf):
        of_component = Piece("l.component = ?", (part.name,))
        return _list(
            "device_component", tenant, of_component, among("l.version", part.values) if part.values else _NONE
        )
    sign, named = _RELATIONS[part.relation], Piece("l.name = ?", (part.name,))
    if part.field is Field.TELEMETRY:
        return _list("telemetry_last", tenant, named, Piece(f"l.value {sign} ?", (number(part.text),)))
    key = None if part.kind is None else sort_key(part.kind, part.text)
    return _list("attribute_sort", tenant, named, _NONE if key is None else Piece(f"l.sort {sign} ?", (key,)))


def of_device(session: Session, part: Term | Known, row: str = "device") -> Piece:
    """A condition on the device's own row."""
    match part:
        case Known(Field.STATE):
            return _IN_SERVICE
        case Known(Field.REVISION):
            return _has_revision(row)
        case Term(Field.ID, pieces):
            return fits(session, f"{row}.device", pieces)
        case Term(Field.HARDWARE, pieces):
            return fits(session, f"{row}.model", pieces)
        case Term(Field.REVISION, pieces):
            return all_of(_has_revision(row), fits(session, f"{row}.hardware_revision", pieces))
        case Term(Field.LIFECYCLE):
            meant = lifecycles_meant(part)
            # Word for word what the partial index says.
            rare = Piece(f"{row}.lifecycle <> '{Lifecycle.ACTIVE}'")
            return all_of(TRUE if Lifecycle.ACTIVE in meant else rare, among(f"{row}.lifecycle", meant))
        case Term(Field.ASSURANCE):
            levels = assurances_meant(part)
            more = Piece(f"{row}.assurance <> '{Assurance.L1}'")
            return all_of(TRUE if Assurance.L1 in levels else more, among(f"{row}.assurance", levels))
        case _:
            return TRUE


def stands(tenant: TenantId, meant: Collection[State | None]) -> Piece:
    """Whether a device, asked by its key, stands where it is meant to (`domain.standing`)."""
    own = "EXISTS (SELECT 1 FROM device_standing l WHERE l.tenant = ? AND l.device = device.device"
    if None not in meant:
        return Piece(own, (tenant,)) + among("l.state", _told(meant)).within("AND ", ")")
    others = [state for state in standing.STANDINGS if state is not None and state not in meant]
    if not others:
        return _IN_SERVICE
    elsewhere = Piece(f"NOT {own}", (tenant,)) + among("l.state", others).within("AND ", ")")
    return all_of(_IN_SERVICE, elsewhere)


def compared(column: str, timed: Timed) -> Piece:
    """A time of the device against the moment that is asked for."""
    return Piece(f"{column} {_RELATIONS[timed.relation]} ?", (micros(timed.at),))


def behind(part: Part, listed: Piece, after: str) -> Piece:
    """Those of a list whose ids are above `after`."""
    # The same said of no column: the index of times is to be read, not the key from `after` on.
    column = "l.device || ''" if isinstance(part, (Timed, Compared)) else "l.device"
    return listed + Piece(f"AND {column} > ?", (after,))


def _has_revision(row: str) -> Piece:
    return Piece(f"{row}.hardware_revision <> ''")


def _meant(part: Standing | Term) -> list[State]:
    return [part.state] if isinstance(part, Standing) else _told(states_meant(part))


def _told(states: Collection[State | None]) -> list[State]:
    return [state for state in states if state is not None]


def _list(table: str, tenant: TenantId, *where: Piece) -> Piece:
    return Piece(f"SELECT l.device FROM {table} l WHERE l.tenant = ? AND", (tenant,)) + all_of(*where)
