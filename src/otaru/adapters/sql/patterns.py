"""Patterns of the target language as conditions on a column of text, on both engines."""

import sys
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, and_, true

from otaru.adapters.sql.session import Session


def fits(session: Session, column: ColumnElement[Any], pieces: tuple[str, ...]) -> ColumnElement[bool]:
    """Whether a column's text is one that literal runs with wildcards between them describe."""
    if len(pieces) == 1:
        return column == pieces[0]
    first = pieces[0]
    above = [column >= first] if first else []
    return and_(true(), *above, *beneath(column, first), *like(session, column, pieces))


def beneath(column: ColumnElement[Any], first: str) -> Iterator[ColumnElement[bool]]:
    """The upper bound of all that starts with `first`, where it has one."""
    if first and (end := _behind(first)) is not None:
        yield column < end


def like(session: Session, column: ColumnElement[Any], pieces: tuple[str, ...]) -> Iterator[ColumnElement[bool]]:
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
