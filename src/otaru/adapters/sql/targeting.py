"""Target queries as SQL: the same answers as `domain.targeting.match` on both engines (a property test holds them together).

Text compares bytewise (`tables`), which is the order of code points; so a literal run before the first wildcard is a
range of an index. A term has two forms. As a *set* it names the devices that its own index lists: right when all that
match are wanted. As a *probe* it asks each device in turn, by key: right when devices come in another order already.
"""

import sys
from collections.abc import Iterator, Sequence
from enum import Enum

from sqlalchemy import Column, ColumnElement, Select, and_, exists, func, literal, or_, select, true, union

from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import device, device_attribute, device_component, device_tag
from otaru.domain.ids import TenantId
from otaru.domain.targeting import And, Field, Or, Query, Term

FEW = 10_000
"""Up to so many devices, a set is fetched whole and sorted; above, only an index that is in the order of ids is read."""


_SAMPLE = 100
"""So many of a long list tell how dense it is."""


class _Form(Enum):
    SET = "set"
    PROBE = "probe"


def condition(session: Session, tenant: TenantId, query: Query) -> ColumnElement[bool]:
    """Which rows of `device` match, for statements that want all of them."""
    # PostgreSQL's planner makes a join of a probe, but under an `or` it has no good way to keep a large set.
    return _condition(session, tenant, query, _Form.PROBE if session.postgres else _Form.SET)


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
    """One alternative, led by the term whose index leaves the fewest devices to look at."""
    parts = query.parts if isinstance(query, And) else (query,)
    leader = _leader(session, tenant, [part for part in parts if isinstance(part, Term) and _indexed(part)], after)
    rest = and_(true(), *(_condition(session, tenant, part, _Form.PROBE) for part in parts if part is not leader))
    if leader is None:
        return _scan(tenant, and_(device.c.device > after, rest), limit)
    if leader.field is Field.ID:
        return _scan(tenant, and_(_ids_from(session, leader, after), rest), limit)
    if leader.exact is not None and leader.field is Field.HARDWARE:
        return _scan(tenant, and_(device.c.device > after, device.c.model == leader.exact, rest), limit)
    listed = _listed(session, tenant, leader)
    if leader.exact is None:
        (key,) = listed.selected_columns
        return _scan(tenant, and_(device.c.device.in_(listed.where(key > after)), rest), limit)
    found = listed.subquery()
    return (
        select(found.c.device)
        .join(device, and_(device.c.tenant == tenant, device.c.device == found.c.device))
        # Said of both sides, so that a merge of the two starts there on both.
        .where(found.c.device > after, device.c.device > after, rest)
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
    return and_(bound, *_beneath(device.c.device, first), *_like(session, device.c.device, term.pieces))


def _indexed(term: Term) -> bool:
    """Whether an index finds a term's devices. None has the lifecycle: nearly all are active."""
    return bool(term.pieces[0]) and term.field is not Field.LIFECYCLE


def _leader(session: Session, tenant: TenantId, terms: Sequence[Term], after: str) -> Term | None:
    """The term whose index lists the fewest devices, counted to FEW; none where all are many and in another order.

    Of several that list many, it is the one that lists the fewest right behind `after`.
    """
    in_order = [term for term in terms if term.exact is not None or term.field is Field.ID]
    if len(terms) == len(in_order) <= 1:
        return next(iter(terms), None)
    sized = [(_size(session, tenant, term), term) for term in terms]
    fewest, leader = min(sized, key=lambda pair: pair[0], default=(0, None))
    if fewest < FEW:
        return leader
    return max(in_order, key=lambda term: _reach(session, tenant, term, after), default=None)


def _reach(session: Session, tenant: TenantId, term: Term, after: str) -> tuple[bool, str]:
    """How far the next _SAMPLE devices of a term go: whether to the end, and else to which id."""
    listed = _listed(session, tenant, term)
    (key,) = listed.selected_columns
    last = listed.where(key > after).order_by(key).offset(_SAMPLE - 1).limit(1)
    found = session.connection.execute(last).scalar_one_or_none()
    return found is None, "" if found is None else str(found)


def _size(session: Session, tenant: TenantId, term: Term) -> int:
    few = _listed(session, tenant, term).limit(FEW).subquery()
    return session.connection.execute(select(func.count()).select_from(few)).scalar_one()


def _condition(session: Session, tenant: TenantId, query: Query, form: _Form) -> ColumnElement[bool]:
    match query:
        case And(parts):
            return and_(*(_condition(session, tenant, part, form) for part in parts))
        case Or(parts):
            return or_(*(_condition(session, tenant, part, form) for part in parts))
        case Term():
            return _term(session, tenant, query, form)


def _term(session: Session, tenant: TenantId, term: Term, form: _Form) -> ColumnElement[bool]:
    match term.field:
        case Field.ID:
            return _fits(session, device.c.device, term)
        case Field.HARDWARE:
            return _fits(session, device.c.model, term)
        case Field.LIFECYCLE:
            return _fits(session, device.c.lifecycle, term)
        case Field.TAG | Field.ATTRIBUTE | Field.INSTALLED:
            listed = _listed(session, tenant, term)
            if form is _Form.SET:
                return device.c.device.in_(listed)
            (key,) = listed.selected_columns
            return exists(listed.with_only_columns(literal(1)).where(key == device.c.device).correlate(device))


def _listed(session: Session, tenant: TenantId, term: Term) -> Select[tuple[str]]:
    """The devices that a term's own index lists."""
    match term.field:
        case Field.ID | Field.HARDWARE | Field.LIFECYCLE:
            where = _term(session, tenant, term, _Form.SET)
            return select(device.c.device).where(device.c.tenant == tenant, where)
        case Field.TAG:
            where = _fits(session, device_tag.c.tag, term)
            return select(device_tag.c.device).where(device_tag.c.tenant == tenant, where)
        case Field.ATTRIBUTE:
            of_name = and_(device_attribute.c.tenant == tenant, device_attribute.c.name == term.name)
            where = _fits(session, device_attribute.c.value, term)
            return select(device_attribute.c.device).where(of_name, where)
        case Field.INSTALLED:
            of_component = and_(device_component.c.tenant == tenant, device_component.c.component == term.name)
            where = _fits(session, device_component.c.version, term)
            return select(device_component.c.device).where(of_component, where)


def _fits(session: Session, column: Column[str], term: Term) -> ColumnElement[bool]:
    """Whether a column's text is one that the term's pieces and wildcards describe."""
    if term.exact is not None:
        return column == term.exact
    first = term.pieces[0]
    above = [column >= first] if first else []
    return and_(true(), *above, *_beneath(column, first), *_like(session, column, term.pieces))


def _beneath(column: Column[str], first: str) -> Iterator[ColumnElement[bool]]:
    """The upper bound of all that starts with `first`, where it has one."""
    if first and (end := _behind(first)) is not None:
        yield column < end


def _like(session: Session, column: Column[str], pieces: tuple[str, ...]) -> Iterator[ColumnElement[bool]]:
    """The pattern, where it says more than how the text starts."""
    if not any(pieces[1:]):
        return
    if session.postgres:
        literal_runs = (p.replace("!", "!!").replace("%", "!%").replace("_", "!_") for p in pieces)
        yield column.like("%".join(literal_runs), escape="!")
    else:
        # In GLOB a class of one sign is that sign; a closing bracket outside a class is itself.
        signs = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
        yield column.op("GLOB", is_comparison=True)("*".join(p.translate(signs) for p in pieces))


def _behind(prefix: str) -> str | None:
    """The first text behind all that start with `prefix`; None where nothing is behind them."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < sys.maxunicode:
            # Surrogates are no text: what follows U+D7FF is U+E000.
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None
