"""Text → syntax tree, with errors that point at the column, and bounds on what a query may cost."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from otaru.domain.attribute import AttributeKind, number
from otaru.domain.ids import name
from otaru.domain.moments import moment
from otaru.domain.targeting.fields import FIELDS, NAMED, OF_TEXT, OF_TIMES, ORDERED, SHORT, TIMES, WORDS, about
from otaru.domain.targeting.tree import And, Compared, Field, Known, Not, Or, Query, Relation, Term, Timed, fits
from otaru.errors import InvalidInputError, QuerySyntaxError

MAX_LENGTH = 4096
MAX_TERMS = 64
MAX_DEPTH = 16
MAX_WILDCARDS = 8

_HINT = (
    "For example: hardware==rpi4;(tag==lab,attr.region==eu-*). Values with the language's own signs are quoted: 'a=b'."
)
_SELECTORS = f"Selectors are {', '.join(a.selector for a in FIELDS[:-1])} and {FIELDS[-1].selector}."
_OPERATORS = f"Operators are {', '.join(OF_TEXT)}; for times {', '.join(OF_TIMES)}."
_WORDS = {
    "SELECTOR": "a selector",
    "COMPARES": "an operator",
    "LISTED": "an operator",
    "NULL": "an operator",
    "BARE": "a value",
    "QUOTED": "a value",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "SEMICOLON": "`;`",
    "COMMA": "`,`",
    "$END": "the end",
}
_QUOTED = re.compile(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*\"""", re.DOTALL)
_PLAIN = re.compile(r"[\w.:+/@-]+", re.ASCII)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no database takes as text: NUL, and halves of surrogate pairs."""


def parse(text: str, now: datetime) -> Query:
    """Parse a query; `now` is what its durations count from.

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
        return _read(text, now)
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
    hint = _OPERATORS if words == ["an operator"] else _HINT
    return QuerySyntaxError(f"the query makes no sense from column {column} on{expected}", hint=hint, column=column)


def _column(error: UnexpectedInput, text: str) -> int:
    # At the end of the text lark points at the token before it, or at nothing.
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(text) + 1
    position: int | None = error.pos_in_stream
    return len(text) + 1 if position is None or position < 0 else position + 1


def _read(text: str, now: datetime) -> Query:
    tree = _parser().parse(text)
    values = list(tree.scan_values(lambda token: isinstance(token, Token) and token.type in {"QUOTED", "BARE"}))
    if len(values) > MAX_TERMS:
        raise QuerySyntaxError(
            f"the query compares with {len(values)} values, {MAX_TERMS} are allowed",
            hint="Give devices that belong together a tag, and ask for it.",
            column=_place(values[MAX_TERMS]),
        )
    query: Query = _ToTree(now).transform(tree)
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


@dataclass(frozen=True, slots=True)
class _Value:
    """A value as it was written; `pieces` are its literal runs."""

    token: Token
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "*".join(self.pieces)


class _ToTree(Transformer[Token, Query]):
    """`!=`, `=in=`, `=out=` and `=null=` are other ways to say what few kinds of nodes say."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self._now = now

    def either(self, parts: list[Query]) -> Query:
        return Or(tuple(parts))

    def both(self, parts: list[Query]) -> Query:
        return And(tuple(parts))

    def negation(self, parts: list[Query]) -> Query:
        (part,) = parts
        return Not(part)

    def comparison(self, parts: list[Any]) -> Query:
        selector, sign, value = parts
        field, name = _selector(selector)
        operator = SHORT.get(str(sign), str(sign))
        _check_operator(field, operator, sign)
        if field in ORDERED and operator in set(Relation):
            return self._compared(field, name, Relation(operator), value)
        if field in TIMES:
            return Timed(field, Relation(operator), self._moment(value))
        term = _term(field, name, value)
        return term if operator == "==" else _none_of(field, name, (term,))

    def listed(self, parts: list[Any]) -> Query:
        selector, sign, *values = parts
        field, name = _selector(selector)
        _check_operator(field, str(sign), sign)
        terms = tuple(_term(field, name, value) for value in values)
        if sign == "=out=":
            return _none_of(field, name, terms)
        return terms[0] if len(terms) == 1 else Or(terms)

    def null(self, parts: list[Any]) -> Query:
        selector, _, value = parts
        known = Known(*_selector(selector))
        _check_operator(known.field, "=null=", selector)
        if value.text not in {"true", "false"}:
            raise QuerySyntaxError(
                "`=null=` is true or false",
                hint=f"{selector}=null=true is who has none.",
                column=_place(value.token),
            )
        return known if value.text == "false" else Not(known)

    def value(self, parts: list[Token]) -> _Value:
        (token,) = parts
        pieces = _quoted(token[1:-1]) if token.type == "QUOTED" else str(token).split("*")
        if len(pieces) > MAX_WILDCARDS + 1:
            raise QuerySyntaxError(
                f"more than {MAX_WILDCARDS} wildcards in one value",
                hint="One `*` stands for any run of characters.",
                column=_place(token),
            )
        return _Value(token, tuple(pieces))

    def _compared(self, field: Field, name: str, relation: Relation, value: _Value) -> Compared:
        if len(value.pieces) > 1:
            raise QuerySyntaxError(
                "a wildcard has no place in an order",
                hint=f"It goes with ==: {field}.{name}==….",
                column=_place(value.token),
            )
        if field is not Field.TELEMETRY:
            return Compared(field, name, relation, value.text)
        if number(value.text) is None:
            raise QuerySyntaxError(
                f"{value.text[:40]!r} is not a number",
                hint="Telemetry is numbers: 20, -71.5.",
                column=_place(value.token),
            )
        return Compared(field, name, relation, value.text, AttributeKind.NUMBER)

    def _moment(self, value: _Value) -> datetime:
        try:
            return moment(value.text, self._now)
        except InvalidInputError as error:
            raise QuerySyntaxError(error.message, hint=error.hint, column=_place(value.token)) from None


def _check_operator(field: Field, operator: str, sign: Token) -> None:
    known = about(field).operators
    if operator not in known:
        values = "is a time" if field in TIMES else "is a number" if field is Field.TELEMETRY else "has no order"
        if operator == "=null=":
            values = "is nothing that a device has or lacks"
        raise QuerySyntaxError(
            f"{field} {values}: it is not compared by {operator if operator == '=null=' else sign}",
            hint=f"It takes {', '.join(known)}.",
            column=_place(sign),
        )


def _term(field: Field, name: str, value: _Value) -> Term:
    words = WORDS.get(field)
    if words is not None and not any(fits(value.pieces, word) for word in words):
        shown = value.text if len(value.text) <= 64 else f"{value.text[:61]}…"
        raise QuerySyntaxError(
            f"no {field} is {shown!r}", hint=f"It is one of {', '.join(words)}.", column=_place(value.token)
        )
    if field is Field.GROUP and (len(value.pieces) > 1 or not value.text):
        raise QuerySyntaxError(
            "a group is named in full", hint="Several: group=in=(lab,beta).", column=_place(value.token)
        )
    return Term(field, value.pieces, name)


def _none_of(field: Field, name: str, terms: tuple[Term, ...]) -> Query:
    """It has a value, and none of these. Of tags a device may have none: then it has none of these either."""
    others = tuple(map(Not, terms))
    if field in {Field.TAG, Field.GROUP}:
        return others[0] if len(others) == 1 else And(others)
    return And((Known(field, name), *others))


def _selector(token: Token) -> tuple[Field, str]:
    field, dot, name_ = str(token).partition(".")
    shown = str(token) if len(token) <= 64 else token[:61] + "…"
    if field in set(NAMED):
        try:
            return Field(field), name(name_)
        except InvalidInputError as error:
            raise QuerySyntaxError(
                f"{shown!r} does not name {NAMED[Field(field)]}",
                hint=f"{_SELECTORS} {error.hint or ''}",
                column=_place(token),
            ) from None
    if dot or field not in set(Field):
        raise QuerySyntaxError(f"{shown!r} is not a selector", hint=_SELECTORS, column=_place(token))
    return Field(field), ""


def quoted(value: str) -> str:
    """A value as a query holds it, with none of its signs read as the language's own."""
    if _PLAIN.fullmatch(value):
        return value
    return "'{}'".format(re.sub(r"[\\*']", r"\\\g<0>", value))


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
