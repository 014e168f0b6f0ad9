"""Patterns of the target language as conditions on a column of text, on both engines."""

import sys
from collections.abc import Iterator

from otaru.adapters.sql.piece import Piece, all_of
from otaru.adapters.sql.session import Session


def fits(session: Session, column: str, pieces: tuple[str, ...]) -> Piece:
    """Whether a column's text is one that literal runs with wildcards between them describe."""
    if len(pieces) == 1:
        return Piece(f"{column} = ?", pieces)
    first = pieces[0]
    above = [Piece(f"{column} >= ?", (first,))] if first else []
    return all_of(*above, *beneath(column, first), *like(session, column, pieces))


def beginning(column: str, first: str) -> Iterator[Piece]:
    """All that starts with `first`."""
    if first:
        yield Piece(f"{column} >= ?", (first,))
        yield from beneath(column, first)


def beneath(column: str, first: str) -> Iterator[Piece]:
    """The upper bound of all that starts with `first`, where it has one."""
    if first and (end := _behind(first)) is not None:
        yield Piece(f"{column} < ?", (end,))


def like(session: Session, column: str, pieces: tuple[str, ...]) -> Iterator[Piece]:
    """The pattern, where it says more than how the text starts."""
    if not any(pieces[1:]):
        return
    if session.postgres:
        literal_runs = (p.replace("!", "!!").replace("%", "!%").replace("_", "!_") for p in pieces)
        yield Piece(f"{column} LIKE ? ESCAPE '!'", ("%".join(literal_runs),))
    else:
        # In GLOB a class of one sign is that sign; a closing bracket outside a class is itself.
        signs = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
        yield Piece(f"{column} GLOB ?", ("*".join(p.translate(signs) for p in pieces),))


def _behind(prefix: str) -> str | None:
    """The first text behind all that start with `prefix`; None where nothing is behind them."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < sys.maxunicode:
            # Surrogates are no text: what follows U+D7FF is U+E000.
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None
