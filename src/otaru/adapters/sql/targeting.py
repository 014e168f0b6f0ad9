"""Target queries as SQL: the same answers as `domain.targeting.match` on both engines (a property test holds them together).

Text compares bytewise (`tables`), which is the order of code points; so a literal run before the first wildcard is a
range of an index. A term has two forms. As a *set* it names the devices that its own index lists: right when all that
match are wanted. As a *probe* it asks each device in turn, by key: right when devices come in another order already.
"""

import sys
from collections.abc import Iterator
from enum import Enum

from sqlalchemy import Column, ColumnElement, Select, and_, exists, func, literal, or_, select, true, union

from otaru.adapters.sql.session import Session
from otaru.adapters.sql.tables import device, device_attribute, device_tag
from otaru.domain.ids import TenantId
from otaru.domain.targeting import And, Field, Or, Query, Term

FEW = 10_000
"""Up to so many devices, a set is fetched whole and sorted; above, a page is read in the order of an index."""


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
        return _scan(tenant, true(), after, limit)
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
    """One alternative, read in the order of the index that gives the fewest devices to look at."""
    terms = [part for part in (query.parts if isinstance(query, And) else (query,)) if isinstance(part, Term)]
    sized = [(_size(session, tenant, term), term) for term in terms if term.pieces[0]]
    size, driver = min(sized, key=lambda pair: (pair[0], pair[1].exact is None), default=(FEW, None))
    rest = and_(true(), *(_condition(session, tenant, p, _Form.PROBE) for p in _others(query, driver)))
    if driver is None or driver.field is Field.ID or (size >= FEW and driver.exact is None):
        return _scan(tenant, _condition(session, tenant, query, _Form.PROBE), after, limit)
    if driver.exact is None:
        return _scan(tenant, and_(_condition(session, tenant, driver, _Form.SET), rest), after, limit)
    if driver.field is Field.HARDWARE:
        # Its index lies on `device` itself and is in the order of ids.
        return _scan(tenant, and_(_condition(session, tenant, driver, _Form.SET), rest), after, limit)
    listed = _listed(session, tenant, driver).subquery()
    return (
        select(listed.c.device)
        .join(device, and_(device.c.tenant == tenant, device.c.device == listed.c.device))
        .where(listed.c.device > after, rest)
        .order_by(listed.c.device)
        .limit(limit)
    )


def _scan(tenant: TenantId, where: ColumnElement[bool], after: str, limit: int) -> Select[tuple[str]]:
    ids = select(device.c.device).where(device.c.tenant == tenant, device.c.device > after, where)
    return ids.order_by(device.c.device).limit(limit)


def _others(query: Query, driver: Term | None) -> Iterator[Query]:
    if isinstance(query, And):
        yield from (part for part in query.parts if part is not driver)


def _size(session: Session, tenant: TenantId, term: Term) -> int:
    """How many devices a term's index lists, counted no further than FEW."""
    if term.field is Field.ID:
        return 1 if term.exact is not None else FEW
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
        case Field.TAG | Field.ATTRIBUTE:
            listed = _listed(session, tenant, term)
            if form is _Form.SET:
                return device.c.device.in_(listed)
            table = device_tag if term.field is Field.TAG else device_attribute
            return exists(
                listed.with_only_columns(literal(1)).where(table.c.device == device.c.device).correlate(device)
            )


def _listed(session: Session, tenant: TenantId, term: Term) -> Select[tuple[str]]:
    """The devices that a term's own index lists."""
    match term.field:
        case Field.ID | Field.HARDWARE:
            where = _term(session, tenant, term, _Form.SET)
            return select(device.c.device).where(device.c.tenant == tenant, where)
        case Field.TAG:
            where = _fits(session, device_tag.c.tag, term)
            return select(device_tag.c.device).where(device_tag.c.tenant == tenant, where)
        case Field.ATTRIBUTE:
            of_name = and_(device_attribute.c.tenant == tenant, device_attribute.c.name == term.name)
            where = _fits(session, device_attribute.c.value, term)
            return select(device_attribute.c.device).where(of_name, where)


def _fits(session: Session, column: Column[str], term: Term) -> ColumnElement[bool]:
    """Whether a column's text is one that the term's pieces and wildcards describe."""
    if term.exact is not None:
        return column == term.exact
    first, *rest = term.pieces
    bounds: list[ColumnElement[bool]] = []
    if first:
        bounds.append(column >= first)
        if (end := _behind(first)) is not None:
            bounds.append(column < end)
    if any(rest):
        bounds.append(_like(session, column, term.pieces))
    return and_(true(), *bounds)


def _like(session: Session, column: Column[str], pieces: tuple[str, ...]) -> ColumnElement[bool]:
    if session.postgres:
        literal_runs = (p.replace("!", "!!").replace("%", "!%").replace("_", "!_") for p in pieces)
        return column.like("%".join(literal_runs), escape="!")
    # In GLOB a class of one sign is that sign; a closing bracket outside a class is itself.
    signs = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
    return column.op("GLOB", is_comparison=True)("*".join(p.translate(signs) for p in pieces))


def _behind(prefix: str) -> str | None:
    """The first text behind all that start with `prefix`; None where nothing is behind them."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < sys.maxunicode:
            # Surrogates are no text: what follows U+D7FF is U+E000.
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None
