"""What a query means in a tenant: names of saved queries in it are replaced by what was saved under them.

`group==NAME` of a static group stays a term, which its list answers. A dynamic one stands for its query, read at the same
moment; a group may be made of groups, a few deep and never of itself.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from otaru.domain.group import Group
from otaru.domain.targeting.parse import parse
from otaru.domain.targeting.tree import And, Field, Known, Not, Or, Query, Term, Timed
from otaru.errors import InvalidInputError

MAX_GROUP_DEPTH = 4
"""Groups in groups."""
MAX_MEANT = 256
"""Comparisons of a query with those of its groups."""

Saved = Callable[[str], Group | None]


def groups_in(query: Query) -> frozenset[str]:
    """The groups that a query names itself."""
    return frozenset(part.pieces[0] for part in _terms(query) if isinstance(part, Term) and part.field is Field.GROUP)


def meaning(query: Query, saved: Saved, now: datetime, trail: tuple[str, ...] = ()) -> Query:
    """A query without dynamic groups. `saved` finds a group by its name; `trail` are groups that it is saved under.

    Raises:
        InvalidInputError: there is no such group, groups stand too deep in groups, or one in itself; or what it comes to
            compares too often.
    """
    return _Meaning(saved, now).of(query, trail)


class _Meaning:
    """Each group is read once, however often it is named: its size counts each time."""

    def __init__(self, saved: Saved, now: datetime) -> None:
        self._saved = saved
        self._now = now
        self._known: dict[str, tuple[Query, int, int]] = {}

    def of(self, query: Query, trail: tuple[str, ...]) -> Query:
        read = {name: self._group(name, trail) for name in sorted(groups_in(query))}
        self._check(query, read)
        return _replaced(query, {name: part for name, (part, _, _) in read.items()})

    def _check(self, query: Query, read: Mapping[str, tuple[Query, int, int]]) -> int:
        size = sum(_size(part, read) for part in _terms(query))
        if size > MAX_MEANT:
            raise InvalidInputError(
                f"with its groups the query compares {size} times, {MAX_MEANT} are allowed",
                hint="Make one of them a static group, or give the devices a tag.",
            )
        return size

    def _group(self, name: str, trail: tuple[str, ...]) -> tuple[Query, int, int]:
        """What a group stands for, its size, and how many groups deep it is."""
        way = " → ".join((*trail, name))
        if name in trail:
            raise InvalidInputError(f"the group {name!r} would be part of itself: {way}", hint="Leave it out of one.")
        if len(trail) >= MAX_GROUP_DEPTH:
            raise _too_deep(way)
        if name not in self._known:
            self._known[name] = self._read(name, trail)
        if len(trail) + self._known[name][2] > MAX_GROUP_DEPTH:
            raise _too_deep(way)
        return self._known[name]

    def _read(self, name: str, trail: tuple[str, ...]) -> tuple[Query, int, int]:
        group = self._saved(name)
        if group is None:
            of = f", which the group {trail[-1]!r} names" if trail else ""
            raise InvalidInputError(f"there is no group {name!r}{of}", hint="See otaru group list.")
        if group.query is None:
            return Term(Field.GROUP, (name,)), 1, 1
        query = parse(group.query, self._now)
        read = {inner: self._group(inner, (*trail, name)) for inner in sorted(groups_in(query))}
        size = self._check(query, read)
        deep = 1 + max((deep for _, _, deep in read.values()), default=0)
        return _replaced(query, {inner: part for inner, (part, _, _) in read.items()}), size, deep


def _too_deep(way: str) -> InvalidInputError:
    return InvalidInputError(
        f"groups stand more than {MAX_GROUP_DEPTH} deep in groups: {way}", hint="Write out what one of them asks."
    )


def _size(part: Term | Timed | Known, read: Mapping[str, tuple[Query, int, int]]) -> int:
    return read[part.pieces[0]][1] if isinstance(part, Term) and part.field is Field.GROUP else 1


def _terms(query: Query) -> Iterator[Term | Timed | Known]:
    match query:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _terms(part)
        case Not(part):
            yield from _terms(part)
        case _:
            yield query


def _replaced(query: Query, groups: Mapping[str, Query]) -> Query:
    match query:
        case And(parts):
            return And(tuple(_replaced(part, groups) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, groups) for part in parts))
        case Not(part):
            return Not(_replaced(part, groups))
        case Term(Field.GROUP, (name,)):
            return groups[name]
        case _:
            return query
