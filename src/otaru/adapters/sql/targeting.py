"""Target queries as SQL: the same answers as `domain.targeting.matches` on both engines (a property test holds them together).

Text compares bytewise (`tables`), which is the order of code points; so a literal run before the first wildcard is a
range of an index. A term has two forms. As a *set* it names the devices that its own index lists: right when all that
match are wanted. As a *probe* it asks each device in turn, by key: right when devices come in another order already.
What each field has an index for is in `listing`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, not_, or_, select, true, union

from otaru.adapters.sql import listing
from otaru.adapters.sql.patterns import beneath, like
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import device
from otaru.domain.ids import TenantId
from otaru.domain.targeting import And, Field, Known, Not, Or, Query, Term, Timed, states_meant

FEW = 10_000
"""Up to so many devices, a set is fetched whole and sorted; above, only an index that is in the order of ids is read."""
UNEVEN = 10
"""… and up to so many times more where to look through all devices in the order of ids might take longest."""
_SAMPLE = 100
"""So many of a long list tell how dense it is."""


class _Form(Enum):
    SET = "set"
    PROBE = "probe"
    JOIN = "join"
    """A probe that PostgreSQL's planner makes a join of."""


@dataclass(frozen=True, slots=True)
class _Leader:
    """The part of an `and` whose index is read; `many` where it lists too many devices to sort them."""

    part: Term | Timed
    many: bool = False


def condition(session: Session, tenant: TenantId, query: Query) -> ColumnElement[bool]:
    """Which rows of `device` match, for statements that want all of them."""
    # Under an `or` PostgreSQL has no good way to keep a large set.
    return _condition(session, tenant, query, _Form.JOIN if session.postgres else _Form.SET)


def page(session: Session, tenant: TenantId, query: Query | None, after: str, limit: int) -> Select[tuple[str]]:
    """The first ids above `after` that match, in order.

    Each alternative of an `or` brings its own first ones: the first of all are among them.
    """
    if query is None:
        return _scan(tenant, device.c.device > after, limit)
    arms = [_arm(session, tenant, part, after, limit).subquery() for part in _alternatives(query)]
    if len(arms) == 1:
        return select(arms[0].c.device).order_by(arms[0].c.device)
    every = union(*(select(arm.c.device) for arm in arms)).subquery()
    return select(every.c.device).order_by(every.c.device).limit(limit)


def _alternatives(query: Query) -> Iterator[Query]:
    if isinstance(query, Or):
        for part in query.parts:
            yield from _alternatives(part)
    else:
        yield query


def _arm(session: Session, tenant: TenantId, query: Query, after: str, limit: int) -> Select[tuple[str]]:
    """One alternative, led by the part whose index leaves the fewest devices to look at."""
    parts = query.parts if isinstance(query, And) else (query,)
    leader = _leader(session, tenant, [part for part in parts if isinstance(part, Term | Timed)], after)
    asked = [part for part in parts if leader is None or part is not leader.part or not listing.whole(part)]
    rest = and_(true(), *(_condition(session, tenant, part, _Form.PROBE) for part in asked))
    above = device.c.device > after
    if leader is None:
        return _scan(tenant, and_(above, rest), limit)
    if isinstance(leader.part, Term) and leader.part.field is Field.ID:
        return _scan(tenant, and_(_ids_from(session, leader.part, after), rest), limit)
    if listing.of_row(leader.part):
        return _scan(tenant, and_(above, _condition(session, tenant, leader.part, _Form.PROBE), rest), limit)
    listed = listing.listed(session, tenant, leader.part, many=leader.many)
    if not listing.ordered(leader.part) and not leader.many:
        return _scan(tenant, and_(device.c.device.in_(listing.behind(leader.part, listed, after)), rest), limit)
    found = listed.subquery()
    return (
        select(found.c.device)
        .join(device, and_(device.c.tenant == tenant, device.c.device == found.c.device))
        # Said of both sides, so that a merge of the two starts there on both.
        .where(found.c.device > after, above, rest)
        .order_by(found.c.device)
        .limit(limit)
    )


def _scan(tenant: TenantId, where: ColumnElement[bool], limit: int) -> Select[tuple[str]]:
    ids = select(device.c.device).where(device.c.tenant == tenant, where)
    return ids.order_by(device.c.device).limit(limit)


def _ids_from(session: Session, term: Term, after: str) -> ColumnElement[bool]:
    """Ids above `after` that a term means. Of two lower bounds SQLite would take either one: it is given the higher."""
    if term.exact is not None:
        return and_(device.c.device == term.exact, device.c.device > after)
    first = term.pieces[0]
    bound = device.c.device > after if after >= first else device.c.device >= first
    return and_(bound, *beneath(device.c.device, first), *like(session, device.c.device, term.pieces))


def _leader(session: Session, tenant: TenantId, parts: Sequence[Term | Timed], after: str) -> _Leader | None:
    """The part whose index lists the fewest devices, counted to FEW; none where all are many and in another order.

    Of several that list many, it is the one that lists the fewest right behind `after`.
    """
    parts = [part for part in parts if listing.indexed(part)]
    if len(parts) == 1 and listing.ordered(parts[0]):
        return _Leader(parts[0])
    sized = [(_size(session, tenant, part, _few(part)), part) for part in parts]
    if few := [(size, part) for size, part in sized if size < _few(part)]:
        return _Leader(min(few, key=lambda pair: pair[0])[1])
    many = [_Leader(part, many=True) for part in parts if listing.ordered(part) or listing.ordered_when_many(part)]
    return max(many, key=lambda leader: _reach(session, tenant, leader, after), default=None)


def _reach(session: Session, tenant: TenantId, leader: _Leader, after: str) -> tuple[bool, str]:
    """How far the next _SAMPLE devices of a part go: whether to the end, and else to which id."""
    listed = listing.listed(session, tenant, leader.part, many=True)
    (key,) = listed.selected_columns
    last = listed.where(key > after).order_by(key).offset(_SAMPLE - 1).limit(1)
    found = session.connection.execute(last).scalar_one_or_none()
    return found is None, "" if found is None else str(found)


def _few(part: Term | Timed) -> int:
    return FEW * UNEVEN if listing.uneven(part) else FEW


def _size(session: Session, tenant: TenantId, part: Term | Timed, most: int) -> int:
    few = listing.listed(session, tenant, part).limit(most).subquery()
    return session.connection.execute(select(func.count()).select_from(few)).scalar_one()


def _condition(session: Session, tenant: TenantId, query: Query, form: _Form) -> ColumnElement[bool]:
    match query:
        case And(parts):
            return and_(*(_condition(session, tenant, part, form) for part in parts))
        case Or(parts):
            return or_(*(_condition(session, tenant, part, form) for part in parts))
        case Not(part):
            return not_(_condition(session, tenant, part, form))
        case Term(Field.STATE):
            return _stands(session, tenant, query, form)
        case Timed(Field.CREATED):
            return listing.compared(device.c.created_at, query)
        case Term(Field.TAG | Field.ATTRIBUTE | Field.INSTALLED) | Timed():
            return _listed(session, tenant, query, form)
        case Known(Field.TAG | Field.ATTRIBUTE | Field.INSTALLED | Field.LAST_CONTACT):
            return _listed(session, tenant, query, form)
        case Term() | Known():
            return listing.of_device(session, query)


def _stands(session: Session, tenant: TenantId, term: Term, form: _Form) -> ColumnElement[bool]:
    if form is _Form.SET and listing.whole(term):
        return _listed(session, tenant, term, form)
    probe = listing.stands(tenant, states_meant(term))
    if form is _Form.PROBE or listing.whole(term) or not listing.indexed(term):
        return probe
    # More are listed than are meant: only they are asked.
    return and_(_listed(session, tenant, term, _Form.SET), probe)


def _listed(session: Session, tenant: TenantId, part: Term | Timed | Known, form: _Form) -> ColumnElement[bool]:
    listed = listing.listed(session, tenant, part)
    if form is _Form.SET:
        return device.c.device.in_(listed)
    (key,) = listed.selected_columns
    return exists(listed.with_only_columns(literal(1)).where(key == device.c.device).correlate(device))
