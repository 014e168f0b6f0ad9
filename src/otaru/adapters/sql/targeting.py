"""Target queries as SQL: the same answers as `domain.targeting.matches` on both engines (a property test holds them together).

Text compares bytewise (`tables`), which is the order of code points; so a literal run before the first wildcard is a
range of an index. A term has two forms. As a *set* it names the devices that its own index lists: right when all that
match are wanted. As a *probe* it asks each device in turn, by key: right when devices come in another order already.
What each field has an index for is in `listing`.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import TextClause

from otaru.adapters.sql import listing
from otaru.adapters.sql.listing import Listed, Part, Standing
from otaru.adapters.sql.patterns import beneath, like
from otaru.adapters.sql.piece import Piece, all_of, one_of, rows
from otaru.adapters.sql.session import Session
from otaru.domain.deployment import State
from otaru.domain.ids import TenantId
from otaru.domain.targeting import And, Compared, Field, Known, Not, OneOf, Or, Query, Term, Timed, states_meant

FEW = 10_000
"""Up to so many devices, a set is fetched whole and sorted; above, the order of ids has to come from elsewhere."""
UNEVEN = 10
"""… and up to so many times more where to look through all devices in the order of ids might take longest."""
SAMPLE = 1_000
"""The next so many of a list that is in the order of ids tell how dense it is, and whether it ends there."""


def condition(session: Session, tenant: TenantId, query: Query) -> TextClause:
    """Which rows of `device` match, for statements that want all of them."""
    return _wanted(session, tenant, query).clause()


def count(session: Session, tenant: TenantId, query: Query | None) -> int:
    """How many devices match."""
    devices: int = rows(session, _counted(session, tenant, query))[0][0]
    return devices


def page(session: Session, tenant: TenantId, query: Query | None, after: str, limit: int) -> list[str]:
    """The first ids above `after` that match, in order."""
    if query is None:
        asked = _scan(tenant, Piece("device.device > ?", (after,)), limit)
    else:
        asked = _Search(session, tenant, after, limit).ids(query)
    return [device for (device,) in rows(session, asked)]


class _Search:
    """A page of devices is looked for: the first ids above `after`."""

    def __init__(self, session: Session, tenant: TenantId, after: str, limit: int) -> None:
        self._session = session
        self._tenant = tenant
        self._after = after
        self._limit = limit
        self._sizes: dict[Part, int] = {}
        self._reaches: dict[Part, tuple[bool, str]] = {}

    def ids(self, query: Query) -> Piece:
        """The statement. Each alternative of an `or` brings its own first ones: the first of all are among them."""
        arms = [self._arm(parts) for parts in _alternatives(query)]
        if len(arms) == 1:
            return arms[0]
        first, *others = (arm.within("SELECT asked.device FROM (", ") AS asked") for arm in arms)
        every = sum((other.within("UNION ", "") for other in others), start=first)
        return every.within("SELECT asked.device FROM (", ") AS asked") + self._first("asked")

    def _first(self, table: str) -> Piece:
        return Piece(f"ORDER BY {table}.device LIMIT ?", (self._limit,))

    def _arm(self, parts: Sequence[Part]) -> Piece:
        """One alternative, led by the part whose index leaves the fewest devices to look at."""
        leader = self._leader([part for part in parts if isinstance(part, Listed)])
        probes = [_asked(self._session, self._tenant, part, sets=False) for part in parts if part is not leader]
        above = Piece("device.device > ?", (self._after,))
        if leader is None:
            return _scan(self._tenant, all_of(above, *probes), self._limit)
        if isinstance(leader, Term) and leader.field is Field.ID:
            return _scan(self._tenant, all_of(*self._ids_of(leader), *probes), self._limit)
        if isinstance(leader, Term) and listing.of_row(leader):
            of_row = listing.of_device(self._session, leader)
            return _scan(self._tenant, all_of(above, of_row, *probes), self._limit)
        listed = listing.behind(leader, listing.listed(self._session, self._tenant, leader), self._after)
        if not listing.ordered(leader):
            few = listed.within("device.device IN (", ")")
            return _scan(self._tenant, all_of(few, *probes), self._limit)
        if not probes:
            return listed + self._first("l")
        if all(part is leader or listing.by_id(part) for part in parts):
            # Their names are enough for what else is asked: the list stands for the table.
            return (
                listed.within("SELECT device.device FROM (", ") AS device WHERE")
                + all_of(*probes)
                + self._first("device")
            )
        joined = listed.within("SELECT asked.device FROM (", ") AS asked JOIN device ON device.device = asked.device")
        # Said of both sides, so that a merge of the two starts there on both.
        of_both = Piece("WHERE device.tenant = ? AND", (self._tenant,)) + all_of(above, *probes)
        return joined + of_both + self._first("asked")

    def _ids_of(self, term: Term) -> Iterator[Piece]:
        """Ids above `after` that a term means. Of two lower bounds SQLite would take either one: it is given the higher."""
        column, after = "device.device", self._after
        if term.exact is not None:
            yield from (Piece(f"{column} = ?", (term.exact,)), Piece(f"{column} > ?", (after,)))
            return
        first = term.pieces[0]
        yield Piece(f"{column} > ?", (after,)) if after >= first else Piece(f"{column} >= ?", (first,))
        yield from beneath(column, first)
        yield from like(self._session, column, term.pieces)

    def _leader(self, parts: Sequence[Listed]) -> Listed | None:
        """The part whose index lists the fewest devices behind `after`; none where all are many and in another order."""
        listed = [part for part in parts if listing.indexed(part)]
        ordered = [part for part in listed if listing.ordered(part)]
        others = [part for part in listed if not listing.ordered(part)]
        if len(ordered) == 1 and not others:
            return ordered[0]
        sparsest = max(ordered, key=self._reach, default=None)
        if sparsest is not None and self._reach(sparsest)[0]:
            return sparsest
        return min((part for part in others if self._size(part) < _few(part)), key=self._size, default=sparsest)

    def _size(self, part: Listed) -> int:
        if part not in self._sizes:
            listed = listing.listed(self._session, self._tenant, part) + Piece("LIMIT ?", (_few(part),))
            counted = listed.within("SELECT count(*) FROM (", ") AS asked")
            self._sizes[part] = rows(self._session, counted)[0][0]
        return self._sizes[part]

    def _reach(self, part: Listed) -> tuple[bool, str]:
        """How far the next SAMPLE devices of a part go: whether to the end, and else to which id."""
        if part not in self._reaches:
            listed = listing.behind(part, listing.listed(self._session, self._tenant, part), self._after)
            found = rows(self._session, listed + Piece("ORDER BY l.device LIMIT 1 OFFSET ?", (SAMPLE - 1,)))
            self._reaches[part] = (not found, str(found[0][0]) if found else "")
        return self._reaches[part]


def _alternatives(query: Query) -> Iterator[tuple[Part, ...]]:
    """What is listed one by one: each has parts that all hold. A state is one of those that its word means."""
    match query:
        case Or(parts):
            for part in parts:
                yield from _alternatives(part)
        case And(parts):
            stated = next((part for part in parts if _of_states(part)), None)
            others = tuple(part for part in parts if part is not stated)
            yield from ((state, *others) for state in _states(stated)) if stated else (parts,)
        case _ if _of_states(query):
            yield from ((state,) for state in _states(query))
        case _:
            yield (query,)


def _of_states(part: Query) -> bool:
    return isinstance(part, Term) and part.field is Field.STATE and listing.indexed(part)


def _states(part: Query) -> Iterator[Standing]:
    assert isinstance(part, Term)  # noqa: S101 - of states
    return (Standing(state) for state in State if state in states_meant(part))


def _few(part: Part) -> int:
    return FEW * UNEVEN if listing.uneven(part) else FEW


def _scan(tenant: TenantId, where: Piece, limit: int) -> Piece:
    scanned = Piece("SELECT device.device FROM device WHERE device.tenant = ? AND", (tenant,)) + where
    return scanned + Piece("ORDER BY device.device LIMIT ?", (limit,))


def _counted(session: Session, tenant: TenantId, query: Query | None) -> Piece:
    if query is None:
        return Piece("SELECT count(*) FROM device WHERE tenant = ?", (tenant,))
    if isinstance(query, Listed) and listing.counts(query):
        return listing.listed(session, tenant, query).within("SELECT count(*) FROM (", ") AS asked")
    if isinstance(query, Not) and isinstance(query.part, Listed) and listing.counts(query.part):
        all_, others = _counted(session, tenant, None), _counted(session, tenant, query.part)
        return all_.within("SELECT (", ")") + others.within("- (", ")")
    asked = Piece("SELECT count(*) FROM device WHERE device.tenant = ? AND", (tenant,))
    return asked + _wanted(session, tenant, query)


def _wanted(session: Session, tenant: TenantId, query: Query) -> Piece:
    # Under an `or` PostgreSQL has no good way to keep a large set; of a probe its planner makes a join.
    return _asked(session, tenant, query, sets=not session.postgres)


def _asked(session: Session, tenant: TenantId, part: Part, *, sets: bool) -> Piece:
    match part:
        case And(parts):
            # Most may stand at a state: where something else lists devices, each of those is asked.
            led = any(listing.indexed(one) and not _of_states(one) for one in parts)
            of = ((one, sets and not (led and _of_states(one))) for one in parts)
            return all_of(*(_asked(session, tenant, one, sets=set_) for one, set_ in of))
        case Or(parts):
            return one_of(*(_asked(session, tenant, one, sets=sets) for one in parts))
        case Not(one):
            return _asked(session, tenant, one, sets=sets).within("NOT (", ")")
        case Standing(state):
            return listing.stands(tenant, [state])
        case Term(Field.STATE) if not sets or not listing.indexed(part):
            return listing.stands(tenant, states_meant(part))
        case Timed(Field.CREATED):
            return listing.compared("device.created_at", part)
        case Term(Field.TAG | Field.GROUP | Field.ATTRIBUTE | Field.INSTALLED | Field.STATE) | Timed():
            return _listed(session, tenant, part, sets=sets)
        case (
            Compared()
            | OneOf()
            | Known(Field.TAG | Field.ATTRIBUTE | Field.INSTALLED | Field.TELEMETRY | Field.LAST_CONTACT)
        ):
            return _listed(session, tenant, part, sets=sets)
        case Term() | Known():
            return listing.of_device(session, part)


def _listed(session: Session, tenant: TenantId, part: Listed, *, sets: bool) -> Piece:
    listed = listing.listed(session, tenant, part)
    if sets:
        return listed.within("device.device IN (", ")")
    return listed.within("EXISTS (", " AND l.device = device.device)")
