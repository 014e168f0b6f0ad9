"""What is wrong in `agent.toml`, said of its key, in words of whoever wrote it: the library that finds it has others."""

import re
from collections.abc import Callable, Sequence

from otaru.apps.agent.forms import SAID

_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a moment",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "text",
    "time": "a time",
}
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key` in `)?\$\.?(?P<at>.*)`)?", re.DOTALL)
_SAYS: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = (
    (re.compile(r"Expected `(.*)`, got `(.*)`"), lambda m: f"it is {_kinds(m[2])}, not {_kinds(m[1])}"),
    (re.compile(r"Expected `str` of length <= (\d+)"), lambda m: f"it has more than {m[1]} characters"),
    (re.compile(r"Expected `\w+` of length <= (\d+)"), lambda m: f"there are more than {m[1]}"),
    (re.compile(r"Expected `\w+` of length >= 1"), lambda _: "it is empty"),
    (re.compile(r"Expected `\w+` >= (.*)"), lambda m: f"it is less than {float(m[1]):g}"),
    (re.compile(r"Expected `\w+` > (.*)"), lambda m: f"it is not more than {float(m[1]):g}"),
    (re.compile(r"Expected `\w+` <= (.*)"), lambda m: f"it is more than {float(m[1]):.12g}"),
    (re.compile(r"Invalid enum value ('.*')", re.DOTALL), lambda m: f"{m[1][:80]} is none of those that there are"),
)


def slip(error: str) -> tuple[str, str]:
    """The key, and what is wrong with it: of an error of msgspec's."""
    parts = _AT.fullmatch(error)
    what, at = (error, "") if parts is None else (parts["what"], parts["at"] or "")
    if field := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", what, re.DOTALL):
        return f"{at}.{field[2][:80]}".lstrip("."), "there is no such key" if "unknown" in field[1] else "it is missing"
    if form := re.fullmatch(r"Expected `str` matching regex ('.*')", what):
        known = {repr(expression): said for expression, said in SAID.items()}
        what = f"it is not {known.get(form[1], 'written as it should be')}"
    else:
        what = next((say(found) for pattern, say in _SAYS if (found := pattern.fullmatch(what))), what)
    if parts is not None and parts["key"]:
        return at, f"one of its names: {what}"
    return at or "all of it", what


def _kinds(names: str) -> str:
    return " or ".join(_KINDS.get(one, one) for one in names.split(" | ") if one != "null")
