"""What may stand at a cursor in a query that is being written: a selector, an operator, a value, or a joint.

What is before the cursor is read as far as it goes; what makes no sense there has nothing that may follow.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_SPACE = re.compile(r"\s*")
_OPEN = re.compile(r"\(|not\s*\(")
_WORD = re.compile(r"""[^"'();,<>=!~\s\\]+""")
_SIGN = re.compile(r"==|!=|=(?:lt|le|gt|ge|in|out|null)=|<=|>=|<(?!=)|>(?!=)")
_SIGN_BEGUN = re.compile(r"=(?:[a-z]{0,4})|!|")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_JOINT = re.compile(r";|,|(?:and|or)(?=[\s(])|\)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Slot(StrEnum):
    """What a place is for."""

    SELECTOR = "selector"
    OPERATOR = "operator"
    VALUE = "value"
    JOINT = "joint"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """The place at a cursor. `prefix` is what is written of it already, from column `start` (from 0) on."""

    slot: Slot
    start: int
    prefix: str = ""
    selector: str = ""
    """The one before it, of an operator or a value."""
    operator: str = ""


def place(text: str, at: int) -> Place:
    """What may stand at a cursor behind the first `at` characters."""
    return _Reader(text[:at]).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._selector = ""
        self._operator = ""
        self._listed = False

    def read(self) -> Place:
        state = Slot.SELECTOR
        while True:
            self._take(_SPACE)
            step = {
                Slot.SELECTOR: self._read_selector,
                Slot.OPERATOR: self._read_operator,
                Slot.VALUE: self._read_value,
                Slot.JOINT: self._read_joint,
            }[state]()
            if isinstance(step, Place):
                return step
            state = step

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _ends(self) -> bool:
        return self._at == len(self._text)

    def _here(self, slot: Slot, start: int, prefix: str = "") -> Place:
        return Place(slot, start, prefix, self._selector, self._operator)

    def _read_selector(self) -> Place | Slot:
        self._selector = self._operator = ""
        if self._take(_OPEN):
            self._depth += 1
            return Slot.SELECTOR
        start = self._at
        word = self._take(_WORD)
        if self._ends():
            return self._here(Slot.SELECTOR, start, word)
        if not word:
            return self._here(Slot.NOTHING, start)
        self._selector = word
        return Slot.OPERATOR

    def _read_operator(self) -> Place | Slot:
        start = self._at
        if sign := self._take(_SIGN):
            self._operator = sign
            return Slot.VALUE
        begun = self._take(_SIGN_BEGUN)
        return self._here(Slot.OPERATOR if self._ends() else Slot.NOTHING, start, begun)

    def _read_value(self) -> Place | Slot:
        start = self._at
        if self._operator in {"=in=", "=out="} and not self._listed:
            if self._ends():
                return Place(Slot.OPERATOR, start, "", self._selector, self._operator)
            if self._text[start] != "(":
                return self._here(Slot.NOTHING, start)
            self._listed, self._at = True, start + 1
            return Slot.VALUE
        if self._take(_QUOTED):
            return Slot.JOINT
        if not self._ends() and self._text[start] in "'\"":
            return self._here(Slot.VALUE, start, _ESCAPE.sub(r"\1", self._text[start + 1 :]))
        word = self._take(_WORD)
        if self._ends():
            return self._here(Slot.VALUE, start, word)
        return Slot.JOINT if word else self._here(Slot.NOTHING, start)

    def _read_joint(self) -> Place | Slot:
        start = self._at
        if self._ends():
            return self._here(Slot.JOINT, start)
        sign = self._take(_JOINT)
        if sign == ")":
            self._depth -= not self._listed
            self._listed = False
            return Slot.JOINT if self._depth >= 0 else self._here(Slot.NOTHING, start)
        if self._listed:
            return Slot.VALUE if sign == "," else self._here(Slot.NOTHING, start)
        if not sign:
            begun = self._take(_WORD)
            return self._here(
                Slot.JOINT if self._ends() and begun in {"a", "an", "and", "o", "or"} else Slot.NOTHING, start, begun
            )
        return Slot.SELECTOR
