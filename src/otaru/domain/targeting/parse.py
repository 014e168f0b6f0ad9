"""Text → syntax tree, with errors that point at the column, and bounds on what a query may cost."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from otaru.domain.ids import name
from otaru.domain.targeting.tree import And, Field, Or, Query, Term
from otaru.errors import InvalidInputError, QuerySyntaxError

MAX_LENGTH = 4096
MAX_TERMS = 64
MAX_DEPTH = 16
MAX_WILDCARDS = 8

_HINT = (
    "For example: hardware==rpi4;(tag==lab,attr.region==eu-*). Values with the language's own signs are quoted: 'a=b'."
)
_SELECTORS = "Selectors are id, hardware, lifecycle, tag, attr.NAME and installed.COMPONENT."
_NAMED: Mapping[str, str] = {Field.ATTRIBUTE: "an attribute", Field.INSTALLED: "a component"}
_WORDS = {
    "SELECTOR": "a selector",
    "EQUALS": "`==`",
    "BARE": "a value",
    "QUOTED": "a value",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "SEMICOLON": "`;`",
    "COMMA": "`,`",
    "$END": "the end",
}
_QUOTED = re.compile(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*\"""", re.DOTALL)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no database takes as text: NUL, and halves of surrogate pairs."""


def parse(text: str) -> Query:
    """Parse a query.

    Raises:
        QuerySyntaxError: with the column (from 1) where it stops making sense, or the limit that it passes.
    """
    if len(text) > MAX_LENGTH:
        raise QuerySyntaxError(f"the query has more than {MAX_LENGTH} characters", column=MAX_LENGTH + 1)
    if not text.strip():
        raise QuerySyntaxError("the query is empty", hint="`id==*` is every device.", column=1)
    if found := _NO_TEXT.search(text):
        code = f"U+{ord(found[0]):04X}"
        raise QuerySyntaxError(
            f"the query holds {code}, which is no text", hint="Leave it out.", column=found.start() + 1
        )
    _check_depth(text)
    try:
        return _read(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    except VisitError as error:
        if isinstance(error.orig_exc, QuerySyntaxError):
            raise error.orig_exc from None
        raise


def _explained(error: UnexpectedInput, text: str) -> QuerySyntaxError:
    column = _column(error, text)
    wanted: set[str] = set()
    if isinstance(error, UnexpectedToken):
        wanted = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        wanted = set(error.allowed or ())
    if "(" not in text:
        wanted.discard("RPAR")
    words = sorted({_WORDS[terminal] for terminal in wanted if terminal in _WORDS})
    expected = f": it wants {' or '.join(words)} there" if words else ""
    return QuerySyntaxError(f"the query makes no sense from column {column} on{expected}", hint=_HINT, column=column)


def _column(error: UnexpectedInput, text: str) -> int:
    # At the end of the text lark points at the token before it, or at nothing.
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(text) + 1
    position: int | None = error.pos_in_stream
    return len(text) + 1 if position is None or position < 0 else position + 1


def _read(text: str) -> Query:
    tree = _parser().parse(text)
    selectors = list(tree.scan_values(lambda token: isinstance(token, Token) and token.type == "SELECTOR"))
    if len(selectors) > MAX_TERMS:
        raise QuerySyntaxError(
            f"the query has {len(selectors)} comparisons, {MAX_TERMS} are allowed",
            column=_place(selectors[MAX_TERMS]),
        )
    query: Query = _ToTree().transform(tree)
    return query


def _place(token: Any) -> int:
    return int(token.start_pos) + 1


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = files("otaru.domain.targeting").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="query", parser="lalr", maybe_placeholders=False)


def _check_depth(text: str) -> None:
    """Bound the nesting before anything recurses. Parentheses inside quotes nest nothing."""
    depth = 0
    for column, character in enumerate(_QUOTED.sub(lambda quoted: " " * len(quoted[0]), text), 1):
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise QuerySyntaxError(f"the query nests deeper than {MAX_DEPTH}", column=column)


class _ToTree(Transformer[Token, Query]):
    def either(self, parts: list[Query]) -> Query:
        return Or(tuple(parts))

    def both(self, parts: list[Query]) -> Query:
        return And(tuple(parts))

    def comparison(self, parts: list[Any]) -> Query:
        selector, pieces = parts
        field, attribute = _selector(selector)
        return Term(field, pieces, attribute)

    def value(self, parts: list[Token]) -> tuple[str, ...]:
        (token,) = parts
        pieces = _quoted(token[1:-1]) if token.type == "QUOTED" else str(token).split("*")
        if len(pieces) > MAX_WILDCARDS + 1:
            raise QuerySyntaxError(f"more than {MAX_WILDCARDS} wildcards in one value", column=_place(token))
        return tuple(pieces)


def _selector(token: Token) -> tuple[Field, str]:
    field, dot, attribute = str(token).partition(".")
    shown = str(token) if len(token) <= 64 else token[:61] + "…"
    if field in _NAMED:
        try:
            return Field(field), name(attribute)
        except InvalidInputError as error:
            raise QuerySyntaxError(
                f"{shown!r} does not name {_NAMED[field]}",
                hint=f"{_SELECTORS} {error.hint or ''}",
                column=_place(token),
            ) from None
    if dot or field not in set(Field):
        raise QuerySyntaxError(f"{shown!r} is not a selector", hint=_SELECTORS, column=_place(token))
    return Field(field), ""


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
