"""What a query means in a tenant: names of saved queries in it are replaced by what was saved under them.

`group==NAME` of a static group stays a term, which its list answers. A dynamic one stands for its query, read at the same
moment; a group may be made of groups, a few deep and never of itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from otaru.domain.attribute import AttributeKind, Declared, sort_key
from otaru.domain.group import Group
from otaru.domain.ids import Version
from otaru.domain.targeting.parse import parse
from otaru.domain.targeting.tree import And, Compared, Field, Known, Not, OneOf, Or, Query, Relation, Term, Timed
from otaru.domain.versions import VersionOrder, key
from otaru.errors import InvalidInputError

MAX_GROUP_DEPTH = 4
"""Groups in groups."""
MAX_MEANT = 256
"""Comparisons of a query with those of its groups."""

MAX_VERSIONS = 2000
"""Versions of one component that a comparison looks at."""

Part: TypeAlias = Term | Timed | Compared | OneOf | Known
"""What a query is made of at its ends."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a tenant has names for."""

    saved: Callable[[str], Group | None]
    declared: Callable[[str], Declared | None]
    """An attribute whose type is declared."""
    versions: Callable[[str], tuple[VersionOrder, Sequence[str]]]
    """The order that versions of a component follow, and the first MAX_VERSIONS + 1 that run somewhere."""


def groups_in(query: Query) -> frozenset[str]:
    """The groups that a query names itself."""
    return frozenset(part.pieces[0] for part in _terms(query) if isinstance(part, Term) and part.field is Field.GROUP)


def meaning(query: Query, catalogue: Catalogue, now: datetime, trail: tuple[str, ...] = ()) -> Query:
    """A query without dynamic groups, its comparisons by type. `trail` are groups that it is saved under.

    Raises:
        InvalidInputError: there is no such group, groups stand too deep in groups, or one in itself; or what it comes to
            compares too often. An attribute has no order, or what it is compared with is not of its type.
    """
    return _Meaning(catalogue, now).of(query, trail)


class _Meaning:
    """Each group is read once, however often it is named: its size counts each time."""

    def __init__(self, catalogue: Catalogue, now: datetime) -> None:
        self._catalogue = catalogue
        self._now = now
        self._known: dict[str, tuple[Query, int, int]] = {}

    def of(self, query: Query, trail: tuple[str, ...]) -> Query:
        read = {name: self._group(name, trail) for name in sorted(groups_in(query))}
        self._check(query, read)
        return _replaced(query, {name: part for name, (part, _, _) in read.items()}, self._catalogue)

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
        group = self._catalogue.saved(name)
        if group is None:
            of = f", which the group {trail[-1]!r} names" if trail else ""
            raise InvalidInputError(f"there is no group {name!r}{of}", hint="See otaru group list.")
        if group.query is None:
            return Term(Field.GROUP, (name,)), 1, 1
        query = parse(group.query, self._now)
        read = {inner: self._group(inner, (*trail, name)) for inner in sorted(groups_in(query))}
        size = self._check(query, read)
        deep = 1 + max((deep for _, _, deep in read.values()), default=0)
        return _replaced(query, {inner: part for inner, (part, _, _) in read.items()}, self._catalogue), size, deep


def _too_deep(way: str) -> InvalidInputError:
    return InvalidInputError(
        f"groups stand more than {MAX_GROUP_DEPTH} deep in groups: {way}", hint="Write out what one of them asks."
    )


def _size(part: Part, read: Mapping[str, tuple[Query, int, int]]) -> int:
    return read[part.pieces[0]][1] if isinstance(part, Term) and part.field is Field.GROUP else 1


def _terms(query: Query) -> Iterator[Part]:
    match query:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _terms(part)
        case Not(part):
            yield from _terms(part)
        case _:
            yield query


def _replaced(query: Query, groups: Mapping[str, Query], catalogue: Catalogue) -> Query:
    match query:
        case And(parts):
            return And(tuple(_replaced(part, groups, catalogue) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, groups, catalogue) for part in parts))
        case Not(part):
            return Not(_replaced(part, groups, catalogue))
        case Term(Field.GROUP, (name,)):
            return groups[name]
        case Compared(Field.ATTRIBUTE):
            return _typed(query, catalogue.declared(query.name))
        case Compared(Field.INSTALLED):
            return _versions(query, *catalogue.versions(query.name))
        case _:
            return query


def _typed(query: Compared, declared: Declared | None) -> Compared:
    name = query.name
    if declared is None:
        raise InvalidInputError(
            f"the attribute {name!r} has no order: nobody declared its type",
            hint=f"otaru attribute declare {name} {AttributeKind.NUMBER}",
        )
    if not declared.ready:
        raise InvalidInputError(f"what devices have of {name!r} is still being read", hint="Try again in a moment.")
    if sort_key(declared.kind, query.text) is None:
        raise InvalidInputError(f"{query.text[:40]!r} is no {declared.kind}, which the attribute is")
    return replace(query, kind=declared.kind)


def _versions(query: Compared, order: VersionOrder, known: Sequence[str]) -> OneOf:
    """The versions that run somewhere and compare so. Those that are not of the order's form compare with nothing."""
    if len(known) > MAX_VERSIONS:
        raise InvalidInputError(
            f"{query.name!r} runs in more than {MAX_VERSIONS} versions: too many to compare",
            hint="Ask for versions by ==, with a wildcard.",
        )
    than = _place(order, query.text)
    if than is None:
        raise InvalidInputError(f"{query.text[:40]!r} is no version of the {order} order, which {query.name} follows")
    places = ((version, _place(order, version)) for version in known)
    found = (version for version, at in places if at is not None and _holds(query.relation, at, than))
    return OneOf(Field.INSTALLED, query.name, tuple(found))


def _place(order: VersionOrder, version: str) -> str | None:
    try:
        return key(order, Version(version))
    except InvalidInputError:
        return None


def _holds(relation: Relation, mine: str, other: str) -> bool:
    match relation:
        case Relation.BEFORE:
            return mine < other
        case Relation.UNTIL:
            return mine <= other
        case Relation.AFTER:
            return mine > other
        case Relation.SINCE:
            return mine >= other
