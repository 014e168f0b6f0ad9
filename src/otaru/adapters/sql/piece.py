"""Pieces of SQL that are put together at run time, with their values, for `lean`.

Only words of ours are in the text; whatever comes from people is a value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, bindparam, text

from otaru.adapters.sql.lean import AnyRow, fetch
from otaru.adapters.sql.session import Session


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a statement, and what its placeholders (`?`) stand for."""

    text: str
    values: tuple[Any, ...] = ()

    def __add__(self, other: "Piece") -> "Piece":
        """One behind the other."""
        return Piece(f"{self.text} {other.text}", self.values + other.values)

    def within(self, before: str, after: str) -> "Piece":
        """With words around it."""
        return Piece(f"{before}{self.text}{after}", self.values)

    def clause(self) -> TextClause:
        """As a condition in SQLAlchemy's own statements."""
        first, *rest = self.text.split("?")
        named = "".join(f":piece_{n}{words}" for n, words in enumerate(rest))
        return text(first + named).bindparams(*(bindparam(f"piece_{n}", v) for n, v in enumerate(self.values)))


TRUE = Piece("1 = 1")


def rows(session: Session, piece: Piece) -> list[AnyRow]:
    """All rows of a statement."""
    return fetch(session, piece.text, *piece.values)


def all_of(*pieces: Piece) -> Piece:
    """All of them hold."""
    return _joined(" AND ", [piece for piece in pieces if piece is not TRUE]) or TRUE


def one_of(*pieces: Piece) -> Piece:
    """One of them holds; there is one at least."""
    found = _joined(" OR ", pieces)
    assert found is not None  # noqa: S101 - as it says
    return found


def among(column: str, words: Iterable[str]) -> Piece:
    """The column is one of these words; there is one at least."""
    known = tuple(sorted(map(str, words)))
    if len(known) == 1:
        return Piece(f"{column} = ?", known)
    return Piece(f"{column} IN ({', '.join('?' * len(known))})", known)


def _joined(word: str, pieces: Iterable[Piece]) -> Piece | None:
    listed = list(pieces)
    if len(listed) < 2:
        return listed[0] if listed else None
    return Piece(f"({word.join(p.text for p in listed)})", tuple(value for p in listed for value in p.values))
