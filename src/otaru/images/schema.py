"""A part of JSON Schema (draft 2020-12): what says which values a configuration may have. docs/device-configuration.md lists it.

A keyword that is not in the part is refused, never passed over: who writes one believes that it is checked. Left out are
references, conditions and combinations, and patterns, whose expressions could take for ever on a device.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from otaru.images.reading import BrokenImageError

MAX_NODES = 10_000
"""Values and schemas that are looked at for one document."""
MAX_DEPTH = 32
MAX_ENUM = 100

_NOTES = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples"})
"""Keywords that say something to people only."""
_TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")


def check_schema(schema: object, what: str = "the schema") -> None:
    """Check that a schema says nothing but what is checked here.

    Raises:
        BrokenImageError: a keyword is not known, or its value is not as it should be; where, and why.
    """
    nodes = 0
    waiting: list[tuple[str, object, int]] = [("", schema, 0)]
    while waiting:
        at, one, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise BrokenImageError(f"{what} is larger or deeper than is allowed")
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            raise BrokenImageError(f"{what}: at {at or '/'}: it is no schema, which is an object")
        for word, value in one.items():
            if word not in _NOTES and (word not in _WORDS or not _WORDS[word].reads(value)):
                wrong = f"it has a wrong {word}" if word in _WORDS else f"the keyword {word[:60]!r} is not known"
                raise BrokenImageError(f"{what}: at {at or '/'}: {wrong}")
        waiting += [(f"{at}/{name}", inner, depth + 1) for name, inner in _inside(one)]


def check(value: object, schema: object, what: str = "it") -> None:
    """Check a value by a schema that was checked.

    Raises:
        BrokenImageError: where it is not what the schema says, and why. The first such place is told.
    """
    nodes = 0
    waiting = [("", value, schema, 0)]
    while waiting:
        at, one, rule, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise BrokenImageError(f"{what} is larger or deeper than is allowed")
        if isinstance(rule, bool):
            if not rule:
                raise BrokenImageError(f"{what}: at {at or '/'}: it is not allowed there")
            continue
        assert isinstance(rule, dict)  # noqa: S101 - `check_schema` has seen to it
        for word, wanted in rule.items():
            if word in _WORDS and (wrong := _WORDS[word].wrong(one, wanted)):
                raise BrokenImageError(f"{what}: at {at or '/'}: {wrong}")
        waiting += [(f"{at}/{name}", inner, own, depth + 1) for name, inner, own in reversed(list(_parts(one, rule)))]


def _inside(schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The schemas in a schema."""
    for name, inner in schema.get("properties", {}).items():
        yield f"properties/{name}", inner
    for word in ("additionalProperties", "items"):
        if word in schema:
            yield word, schema[word]


def _parts(value: object, schema: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """What is in a value, each with its schema."""
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, inner in value.items():
            yield name, inner, known.get(name, others)
    elif isinstance(value, list) and "items" in schema:
        for number, inner in enumerate(value):
            yield str(number), inner, schema["items"]


@dataclass(frozen=True, slots=True)
class _Word:
    """A keyword: which values it may have in a schema, and what is wrong with a value by it; empty: nothing."""

    reads: Callable[[Any], bool]
    wrong: Callable[[Any, Any], str]


def _is(value: object, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "integer":
            return _number(value) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
        case _:
            return _number(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return _number(value) and (isinstance(value, int) or math.isfinite(value))  # type: ignore[arg-type]


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _types(told: object) -> list[Any]:
    return told if isinstance(told, list) else [told]


def same(one: object, other: object) -> bool:
    """Whether two values are equal as JSON has it: 1 is 1.0, and true is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(inner, other[name]) for name, inner in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def _wrong_type(value: object, wanted: object) -> str:
    names = _types(wanted)
    return "" if any(_is(value, name) for name in names) else f"it is not of the type {' or '.join(names)}"


def _wrong_enum(value: object, wanted: list[object]) -> str:
    return "" if any(same(value, one) for one in wanted) else f"{_said(value)} is none of the values that are allowed"


def _missing(value: object, wanted: list[str]) -> str:
    left = [name for name in wanted if name not in value] if isinstance(value, dict) else []
    return f"{left[0][:100]!r} is missing" if left else ""


def _bound(fails: Callable[[Any, Any], bool], words: str) -> _Word:
    return _Word(
        _finite,
        lambda value, limit: f"{_said(value)} is {words} {limit}" if _number(value) and fails(value, limit) else "",
    )


def _length(kind: type[str] | type[list[Any]], fails: Callable[[int, int], bool], words: str) -> _Word:
    return _Word(
        _count,
        lambda value, limit: f"it has {words} {limit}" if isinstance(value, kind) and fails(len(value), limit) else "",
    )


def _said(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _names(told: object) -> bool:
    return isinstance(told, list) and all(isinstance(name, str) for name in told)


_WORDS: Mapping[str, _Word] = {
    "type": _Word(lambda told: bool(_types(told)) and all(name in _TYPES for name in _types(told)), _wrong_type),
    "enum": _Word(lambda told: isinstance(told, list) and len(told) <= MAX_ENUM, _wrong_enum),
    "const": _Word(lambda _: True, lambda value, wanted: "" if same(value, wanted) else f"it is not {_said(wanted)}"),
    "properties": _Word(lambda told: isinstance(told, dict), lambda _value, _wanted: ""),
    "additionalProperties": _Word(lambda told: isinstance(told, bool | dict), lambda _value, _wanted: ""),
    "items": _Word(lambda told: isinstance(told, bool | dict), lambda _value, _wanted: ""),
    "required": _Word(_names, _missing),
    "minimum": _bound(lambda value, limit: value < limit, "less than"),
    "maximum": _bound(lambda value, limit: value > limit, "more than"),
    "exclusiveMinimum": _bound(lambda value, limit: value <= limit, "not more than"),
    "exclusiveMaximum": _bound(lambda value, limit: value >= limit, "not less than"),
    "minLength": _length(str, lambda size, limit: size < limit, "fewer characters than"),
    "maxLength": _length(str, lambda size, limit: size > limit, "more characters than"),
    "minItems": _length(list, lambda size, limit: size < limit, "fewer items than"),
    "maxItems": _length(list, lambda size, limit: size > limit, "more items than"),
}
KEYWORDS = frozenset(_WORDS)
"""What is checked."""
