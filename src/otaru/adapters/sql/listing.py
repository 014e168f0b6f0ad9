"""What each field of a target has an index for: the devices that it lists, and whether they come in the order of ids."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, func, literal_column, select, text, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import Join

from otaru.adapters.sql import fleet
from otaru.adapters.sql.patterns import fits
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import (
    OPEN_STATES,
    deployment,
    device,
    device_attribute,
    device_component,
    device_contact,
    device_failed,
    device_tag,
    micros,
    rollout,
)
from otaru.domain import standing
from otaru.domain.deployment import FAILURES, OPEN, State
from otaru.domain.device import Assurance, Lifecycle
from otaru.domain.ids import TenantId
from otaru.domain.targeting import (
    Field,
    Known,
    Query,
    Relation,
    Term,
    Timed,
    assurances_meant,
    lifecycles_meant,
    states_meant,
)


class _Nested(Join):
    """Both are read as they are written: for each on the left, those on the right. SQLite's planner would guess."""

    inherit_cache = True


@compiles(_Nested, "sqlite")
def _in_this_order(join: _Nested, compiler: SQLCompiler, **options: Any) -> str:
    left, right = (compiler.process(side, **{**options, "asfrom": True}) for side in (join.left, join.right))
    assert join.onclause is not None  # noqa: S101 - there is one wherever this is made
    return f"{left} CROSS JOIN {right} ON {compiler.process(join.onclause, **options)}"


_ANY = ("", "")
_OF_ROW = frozenset({Field.HARDWARE, Field.REVISION, Field.LIFECYCLE, Field.ASSURANCE})
_IS_OPEN = text(f"deployment.state IN ({OPEN_STATES})")
"""Word for word what the partial index of open deployments says."""
_IN_SERVICE = device.c.lifecycle != literal_column(f"'{Lifecycle.DECOMMISSIONED}'")


def indexed(part: Query) -> bool:
    """Whether an index lists the devices of a part, or a few more."""
    match part:
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


def ordered(part: Query) -> bool:
    """Whether that index lists them in the order of ids."""
    match part:
        case Term(Field.ID):
            return True
        case Term(Field.LIFECYCLE):
            return len(lifecycles_meant(part)) == 1
        case Term(Field.ASSURANCE):
            return len(assurances_meant(part)) == 1
        case Term(Field.STATE):
            return states_meant(part) == FAILURES
        case Term():
            return part.exact is not None
        case _:
            return False


def uneven(part: Query) -> bool:
    """Whether its devices may all stand at one end of the ids, or few of those listed be meant."""
    return part.field is Field.CREATED if isinstance(part, Timed) else not whole(part)


def ordered_when_many(part: Query) -> bool:
    """Whether another index lists them in the order of ids, and more of them."""
    return (
        isinstance(part, Term)
        and part.field is Field.STATE
        and (states_meant(part) <= OPEN or states_meant(part) <= FAILURES)
    )


def of_row(part: Query) -> bool:
    """Whether the index is one of the device's own rows, with one value of the column and then the id."""
    return isinstance(part, Term) and part.field in _OF_ROW and ordered(part)


def whole(part: Query) -> bool:
    """Whether no more are listed than are meant."""
    return not (isinstance(part, Term) and part.field is Field.STATE) or states_meant(part) == FAILURES


def listed(session: Session, tenant: TenantId, part: Term | Timed | Known, *, many: bool = False) -> Select[tuple[str]]:
    """The devices that a part's own index lists; with `many`, in the order of ids (`ordered_when_many`)."""
    match part:
        case Timed(Field.CREATED):
            made = device.alias("made")
            return select(made.c.device).where(made.c.tenant == tenant, compared(made.c.created_at, part))
        case Timed(_, _, at):
            return _heard(tenant, compared(device_contact.c.last_contact, part), at if indexed(part) else None)
        case Known(Field.LAST_CONTACT):
            return _heard(tenant, true(), None)
        case Known(field, name):
            return listed(session, tenant, Term(field, _ANY, name))
        case Term(Field.TAG, pieces):
            where = fits(session, device_tag.c.tag, pieces)
            return select(device_tag.c.device).where(device_tag.c.tenant == tenant, where)
        case Term(Field.ATTRIBUTE, pieces, name):
            of_name = and_(device_attribute.c.tenant == tenant, device_attribute.c.name == name)
            return select(device_attribute.c.device).where(of_name, fits(session, device_attribute.c.value, pieces))
        case Term(Field.INSTALLED, pieces, name):
            of_component = and_(device_component.c.tenant == tenant, device_component.c.component == name)
            where = fits(session, device_component.c.version, pieces)
            return select(device_component.c.device).where(of_component, where)
        case Term(Field.STATE):
            return _standing(tenant, states_meant(part), many=many)
        case Term():
            return select(device.c.device).where(device.c.tenant == tenant, of_device(session, part))


def of_device(session: Session, part: Term | Known) -> ColumnElement[bool]:
    """A condition on the device's own row."""
    match part:
        case Known(Field.STATE):
            return _IN_SERVICE
        case Known(Field.REVISION):
            return _has_revision()
        case Term(Field.ID, pieces):
            return fits(session, device.c.device, pieces)
        case Term(Field.HARDWARE, pieces):
            return fits(session, device.c.model, pieces)
        case Term(Field.REVISION, pieces):
            return and_(_has_revision(), fits(session, device.c.hardware_revision, pieces))
        case Term(Field.LIFECYCLE):
            meant = lifecycles_meant(part)
            # Word for word what the partial index says.
            rare = device.c.lifecycle != literal_column(f"'{Lifecycle.ACTIVE}'")
            return and_(true() if Lifecycle.ACTIVE in meant else rare, _among(device.c.lifecycle, meant))
        case Term(Field.ASSURANCE):
            levels = assurances_meant(part)
            more = device.c.assurance != literal_column(f"'{Assurance.L1}'")
            return and_(true() if Assurance.L1 in levels else more, _among(device.c.assurance, levels))
        case _:
            return true()


def stands(tenant: TenantId, meant: Collection[State | None]) -> ColumnElement[bool]:
    """Whether a device, asked by its key, stands where it is meant to (`domain.standing`)."""
    own = and_(deployment.c.tenant == tenant, deployment.c.device == device.c.device)
    if meant == FAILURES:
        on_list = and_(device_failed.c.tenant == tenant, device_failed.c.device == device.c.device)
        return select(device_failed.c.device).where(on_list).correlate(device).exists()
    if set(meant) <= OPEN:
        open_ = select(deployment.c.device).where(own, _IS_OPEN, _among(deployment.c.state, meant))
        return and_(_IN_SERVICE, open_.correlate(device).exists())
    newest = (
        select(deployment.c.state)
        .where(own, deployment.c.state != State.SCHEDULED.value)
        .order_by(
            deployment.c.ended_at.is_not(None),
            deployment.c.ended_at.desc(),
            deployment.c.rollout.desc(),
            deployment.c.attempt.desc(),
        )
        .limit(1)
        .correlate(device)
        .scalar_subquery()
    )
    among = func.coalesce(newest, standing.IDLE).in_(sorted(state or standing.IDLE for state in meant))
    # Who has an action is not idle: that is seen without looking further.
    untold = device.c.last_action == 0 if set(meant) == {None} else true()
    return and_(_IN_SERVICE, untold, among)


def compared(column: Column[datetime], timed: Timed) -> ColumnElement[bool]:
    """A time of the device against the moment that is asked for."""
    match timed.relation:
        case Relation.BEFORE:
            return column < timed.at
        case Relation.UNTIL:
            return column <= timed.at
        case Relation.AFTER:
            return column > timed.at
        case Relation.SINCE:
            return column >= timed.at


def behind(part: Query, listed: Select[tuple[str]], after: str) -> Select[tuple[str]]:
    """Those of a list whose ids are above `after`."""
    (key,) = listed.selected_columns
    if isinstance(part, Timed):
        # The same said of no column: the index of times is to be read, not the key from `after` on.
        return listed.where(key.concat("") > after)
    return listed.where(key > after)


def _has_revision() -> ColumnElement[bool]:
    return device.c.hardware_revision != literal_column("''")


def _among(column: Column[str], words: Collection[str | None]) -> ColumnElement[bool]:
    known = sorted(str(word) for word in words)
    return column == known[0] if len(known) == 1 else column.in_(known)


def _heard(tenant: TenantId, where: ColumnElement[bool], until: datetime | None) -> Select[tuple[str]]:
    hour = true() if until is None else device_contact.c.hour <= fleet.hour_of(micros(until))
    return select(device_contact.c.device).where(device_contact.c.tenant == tenant, hour, where)


def _standing(tenant: TenantId, meant: frozenset[State | None], *, many: bool) -> Select[tuple[str]]:
    """Devices with a deployment in one of these states, in whichever rollout; or with `many`, of the lists in order."""
    if meant == FAILURES or (many and meant <= FAILURES):
        return select(device_failed.c.device).where(device_failed.c.tenant == tenant)
    of_state = _among(deployment.c.state, meant)
    if many:
        return select(deployment.c.device).where(deployment.c.tenant == tenant, _IS_OPEN, of_state)
    of_rollout = and_(deployment.c.tenant == rollout.c.tenant, deployment.c.rollout == rollout.c.rollout)
    return (
        select(deployment.c.device)
        .select_from(_Nested(rollout, deployment, of_rollout))
        .where(rollout.c.tenant == tenant, deployment.c.tenant == tenant, of_state)
    )
