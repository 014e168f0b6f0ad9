"""Text → syntax tree, with errors that point at the column, and bounds on what a query may cost."""

from functools import lru_cache
from importlib.resources import files

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

from otaru.domain.targeting.tree import And, Field, Or, Query, Term
from otaru.errors import QuerySyntaxError

MAX_LENGTH = 4096
MAX_TERMS = 64
MAX_DEPTH = 16
MAX_WILDCARDS = 8

_HINT = "For example: hardware==rpi4;(tag==lab,attr.region==eu-*)"


def parse(text: str) -> Query:
    """Parse a query.

    Raises:
        QuerySyntaxError: with the column (from 1) where it stops making sense, or the limit that it passes.
    """
    if len(text) > MAX_LENGTH:
        raise QuerySyntaxError(f"the query has more than {MAX_LENGTH} characters", column=MAX_LENGTH + 1)
    if not text.strip():
        raise QuerySyntaxError("the query is empty", hint="`id==*` is every device.", column=1)
    _check_depth(text)
    try:
        return _reader(text)
    except UnexpectedInput as error:
        column = _column(error, text)
        raise QuerySyntaxError(f"the query makes no sense from column {column} on", hint=_HINT, column=column) from None
    except VisitError as error:
        if isinstance(error.orig_exc, QuerySyntaxError):
            raise error.orig_exc from None
        raise


def _column(error: UnexpectedInput, text: str) -> int:
    position: int | None = getattr(error, "pos_in_stream", None)  # lark leaves it out at the end of the text
    return len(text) + 1 if position is None or position < 0 else position + 1


def _reader(text: str) -> Query:
    tree = _parser().parse(text)
    query: Query = _ToTree().transform(tree)
    if (terms := _terms(query)) > MAX_TERMS:
        raise QuerySyntaxError(f"the query has {terms} comparisons, {MAX_TERMS} are allowed", column=1)
    return query


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = files("otaru.domain.targeting").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="query", parser="lalr", maybe_placeholders=False)


def _check_depth(text: str) -> None:
    """Bound the nesting before the parser recurses; parentheses inside quotes only make this stricter."""
    depth = 0
    for column, character in enumerate(text, 1):
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise QuerySyntaxError(f"the query nests deeper than {MAX_DEPTH}", column=column)


def _terms(query: Query) -> int:
    return 1 if isinstance(query, Term) else sum(_terms(part) for part in query.parts)


class _ToTree(Transformer[Token, Query]):
    def either(self, parts: list[Query]) -> Query:
        return Or(tuple(parts))

    def both(self, parts: list[Query]) -> Query:
        return And(tuple(parts))

    def comparison(self, parts: list[Token | tuple[str, ...]]) -> Query:
        selector, pieces = parts
        field, _, name = str(selector).partition(".")
        assert isinstance(pieces, tuple)  # noqa: S101 - the grammar says so
        return Term(Field(field), pieces, name)

    def value(self, parts: list[Token]) -> tuple[str, ...]:
        (token,) = parts
        pieces = _quoted(token[1:-1]) if token.type == "QUOTED" else str(token).split("*")
        if len(pieces) > MAX_WILDCARDS + 1:
            column = token.column or 1
            raise QuerySyntaxError(f"more than {MAX_WILDCARDS} wildcards in one value", column=column)
        return tuple(pieces)


def _quoted(text: str) -> list[str]:
    """The pieces of a quoted value: `*` is a wildcard there too, and a backslash takes the next character literally."""
    pieces = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            pieces[-1] += next(characters, "")
        elif character == "*":
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces
