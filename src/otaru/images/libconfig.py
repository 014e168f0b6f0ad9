"""libconfig's configuration files, as sw-description is written in them: text → dicts, lists and scalars.

The grammar is that of the libconfig manual, without `@include`, which would read other files.
"""

import re
from collections.abc import Iterator

from otaru.images.reading import BrokenImageError, Limits

Value = bool | int | float | str | list["Value"] | dict[str, "Value"]

_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>[-+]?(?:0[xX][0-9A-Fa-f]+L{0,2}|\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d+L{0,2})
            (?![A-Za-z0-9_.]))
      | (?P<name>[A-Za-z*][-A-Za-z0-9_*]*)
      | (?P<sign>[=:;,{}()\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "b": "\b", '"': '"', "\\": "\\"}
_CLOSING = {"(": ")", "[": "]"}
_DIGITS = 64  # of a number
_MOST = 100_000  # names, values and signs

Token = tuple[str, str]


def parse(text: str, limits: Limits) -> dict[str, Value]:
    """Read a configuration.

    Raises:
        BrokenImageError: it is not libconfig, says a name twice, or nests too deep.
    """
    reading = _Reading(_tokens(text), limits.depth)
    return reading.settings("", 0)


class _Reading:
    """One pass over the tokens, one ahead."""

    def __init__(self, tokens: Iterator[Token], depth: int) -> None:
        self._tokens = tokens
        self._depth = depth
        self._ahead = next(tokens, ("end", ""))

    def settings(self, closing: str, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while self._ahead != ("sign", closing) and (closing or self._ahead[0] != "end"):
            kind, name = self._next()
            if kind != "name" or self._next()[1] not in {"=", ":"}:
                raise BrokenImageError(f"sw-description has no setting at {name[:40]!r}")
            if name in found:
                raise BrokenImageError(f"sw-description sets {name[:40]!r} twice")
            found[name] = self._value(depth + 1)
            if self._ahead in {("sign", ";"), ("sign", ",")}:
                self._next()
        return found

    def _value(self, depth: int) -> Value:
        if depth > self._depth:
            raise BrokenImageError(f"sw-description nests deeper than {self._depth}")
        kind, text = self._next()
        match kind:
            case "string":
                while self._ahead[0] == "string":  # strings that stand side by side are one
                    text += self._next()[1]
                return text
            case "number":
                return _number(text)
            case "name" if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            case "sign" if text == "{":
                group = self.settings("}", depth)
                self._next()
                return group
            case "sign" if text in _CLOSING:
                return self._list(_CLOSING[text], depth)
            case _:
                raise BrokenImageError(f"sw-description has no value at {text[:40]!r}")

    def _list(self, closing: str, depth: int) -> list[Value]:
        found: list[Value] = []
        while self._ahead != ("sign", closing):
            found.append(self._value(depth + 1))
            if self._ahead == ("sign", ","):
                self._next()
            elif self._ahead != ("sign", closing):
                raise BrokenImageError("sw-description has a list without an end")
        self._next()
        return found

    def _next(self) -> Token:
        token = self._ahead
        if token[0] == "end":
            raise BrokenImageError("sw-description ends too early")
        self._ahead = next(self._tokens, ("end", ""))
        return token


def _tokens(text: str) -> Iterator[Token]:
    at, read = 0, 0
    while at < len(text):
        if (read := read + 1) > _MOST:
            raise BrokenImageError(f"sw-description holds more than {_MOST} words and signs")
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise BrokenImageError(f"sw-description is not libconfig at {text[at : at + 20]!r}")
        at = found.end()
        kind, word = found.lastgroup, found.group()
        if kind == "string":
            yield kind, _ESCAPE.sub(_unescaped, word[1:-1])
        elif kind != "blank":
            yield kind, word


def _unescaped(found: re.Match[str]) -> str:
    code = found.group(1)
    return chr(int(code[1:], 16)) if len(code) == 3 else _ESCAPES.get(code, code)


def _number(text: str) -> int | float:
    if len(text) > _DIGITS:
        raise BrokenImageError("sw-description has a number that is too long")
    plain = text.rstrip("L")
    if "x" in plain or "X" in plain:
        return int(plain, 16)
    return float(plain) if re.search(r"[.eE]", plain) else int(plain)
