"""What has to hold on a device before an update begins: battery, charging, idle, signal, metered link, space, or an expression.

The server looks at what the device last told of itself, and holds an update back only by what it knows: where nothing is known
the device alone can say. It is told the conditions with the update, and looks again before it installs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from otaru.domain.device import Device, Hardware, Lifecycle
from otaru.domain.ids import DeviceId
from otaru.errors import InvalidInputError

if TYPE_CHECKING:
    # An expression alone needs the grammar of targets: three megabytes for a small device, which does without until then.
    from otaru.domain.targeting import Part, Query

MAX_CONDITIONS = 10
MAX_CONDITION = 500
"""Characters of a condition as text."""


class Sensor(StrEnum):
    """What a condition asks for: the attribute by which a device tells it."""

    BATTERY = "battery"
    CHARGING = "charging"
    IDLE = "idle"
    SIGNAL = "signal"
    METERED = "metered"
    FREE = "free_space"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them. `least` is in percent, dBm or bytes."""

    sensor: Sensor
    least: float = 0
    expression: str = ""

    def __str__(self) -> str:
        match self.sensor:
            case Sensor.BATTERY:
                return f"battery>={self.least:g}%"
            case Sensor.SIGNAL:
                return f"signal>={self.least:g}dBm"
            case Sensor.FREE:
                return f"free>={int(self.least)}"
            case Sensor.METERED:
                return "unmetered"
            case Sensor.EXPRESSION:
                return f"({self.expression})"
            case Sensor.CHARGING | Sensor.IDLE:
                return str(self.sensor)


_FORMS = {
    Sensor.BATTERY: re.compile(r"battery *>= *([0-9]{1,3}) *%?", re.ASCII),
    Sensor.SIGNAL: re.compile(r"signal *>= *(-?[0-9]{1,3})(?: *dBm)?", re.ASCII),
    Sensor.FREE: re.compile(r"free *>= *([0-9]{1,12}) *(B|kB|MB|GB|KiB|MiB|GiB)?", re.ASCII),
}
_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WORDS = {"charging": Sensor.CHARGING, "idle": Sensor.IDLE, "unmetered": Sensor.METERED}
_HINT = (
    "Conditions are battery>=30%, charging, idle, signal>=-90dBm, unmetered, free>=500MB, or an expression over attributes "
    "and telemetry in parentheses: (attr.site==depot;telemetry.temperature<40)."
)
_NUMBER = re.compile(r" *(-?[0-9]{1,15}(?:\.[0-9]{1,6})?) *(?:%|dBm|B)? *", re.ASCII)
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def condition(text: str) -> Condition:
    """Parse a condition: `battery>=30%`, `charging`, `(attr.site==depot)`.

    Raises:
        InvalidInputError: it is none.
        QuerySyntaxError: it is an expression that makes no sense.
    """
    said = text.strip() if len(text) <= MAX_CONDITION else ""
    if said in _WORDS:
        return Condition(_WORDS[said])
    if said.startswith("(") and said.endswith(")"):
        _expression(said[1:-1])
        return Condition(Sensor.EXPRESSION, expression=said[1:-1])
    for sensor, form in _FORMS.items():
        if (found := form.fullmatch(said)) is not None:
            least = float(found[1]) * (_UNITS[found[2] or ""] if sensor is Sensor.FREE else 1)
            if sensor is Sensor.BATTERY and least > 100:
                break
            return Condition(sensor, least)
    raise InvalidInputError(f"{text[:80]!r} is not a condition", hint=_HINT)


def check(conditions: Sequence[Condition]) -> None:
    """Check conditions as a person wrote them.

    Raises:
        InvalidInputError: there are too many, or two of one kind.
    """
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidInputError(f"a rollout has at most {MAX_CONDITIONS} conditions")
    kinds = [one.sensor for one in conditions if one.sensor is not Sensor.EXPRESSION]
    if (twice := next((kind for kind in kinds if kinds.count(kind) > 1), None)) is not None:
        raise InvalidInputError(f"two conditions ask for {twice}", hint="Leave the weaker one out.")


def names(conditions: Sequence[Condition]) -> frozenset[str]:
    """The attributes that they are held against."""
    found: set[str] = set()
    for one in conditions:
        found |= _asked(_expression(one.expression)) if one.sensor is Sensor.EXPRESSION else {str(one.sensor)}
        found |= {str(Sensor.CHARGING)} if one.sensor is Sensor.BATTERY else set()
    return frozenset(found)


def unmet(conditions: Sequence[Condition], facts: Mapping[str, str]) -> str | None:
    """What does not hold, in words, by what is known; None where all may hold."""
    return next((said for one in conditions if (said := _unmet(one, facts)) is not None), None)


def forbids(conditions: Sequence[Condition], facts: Mapping[str, str]) -> str | None:
    """As `unmet`, for the device itself: what it does not know does not hold."""
    return next((said for one in conditions if (said := _unmet(one, facts) or _unknown(one, facts)) is not None), None)


def _unknown(one: Condition, facts: Mapping[str, str]) -> str | None:
    match one.sensor:
        case Sensor.BATTERY:
            known = _number(facts.get("battery")) is not None or _yes(facts.get("charging"))
        case Sensor.SIGNAL | Sensor.FREE:
            known = _number(facts.get(one.sensor)) is not None
        case Sensor.CHARGING | Sensor.IDLE | Sensor.METERED:
            known = _yes(facts.get(one.sensor)) is not None
        case Sensor.EXPRESSION:
            known = _asked(_expression(one.expression)) <= facts.keys()
    return None if known else f"it does not know whether {one}"


def _unmet(one: Condition, facts: Mapping[str, str]) -> str | None:
    match one.sensor:
        case Sensor.BATTERY:
            level = _number(facts.get("battery"))
            if level is None or level >= one.least or _yes(facts.get("charging")):
                return None
            return f"its battery is at {level:g} %, at least {one.least:g} % or charging is asked for"
        case Sensor.SIGNAL | Sensor.FREE:
            found = _number(facts.get(one.sensor))
            unit, what = ("dBm", "signal") if one.sensor is Sensor.SIGNAL else ("bytes", "free space")
            if found is None or found >= one.least:
                return None
            return f"its {what} is {found:.15g} {unit}, at least {one.least:.15g} is asked for"
        case Sensor.CHARGING | Sensor.IDLE:
            return f"it is not {one.sensor}" if _yes(facts.get(one.sensor)) is False else None
        case Sensor.METERED:
            return "its link is metered" if _yes(facts.get("metered")) else None
        case Sensor.EXPRESSION:
            from otaru.domain.targeting import Facts, matches  # noqa: PLC0415 - an idle device does without

            query = _expression(one.expression)
            if not _asked(query) <= facts.keys():
                return None
            return None if matches(query, Facts(_bare(facts), telemetry=_numbers(facts))) else f"{one} does not hold"


def _number(text: str | None) -> float | None:
    found = None if text is None or len(text) > 40 else _NUMBER.fullmatch(text)
    return None if found is None else float(found[1])


def _numbers(facts: Mapping[str, str]) -> dict[str, float]:
    return {name: number for name, text in facts.items() if (number := _number(text)) is not None}


def _yes(text: str | None) -> bool | None:
    word = (text or "").strip().lower()
    return True if word in _YES else False if word in _NO else None


def _bare(facts: Mapping[str, str]) -> Device:
    """A device of which nothing but attributes is known."""
    return Device(DeviceId("-"), Lifecycle.ACTIVE, Hardware("-"), _LONG_AGO, _LONG_AGO, attributes=facts)


@lru_cache(maxsize=256)
def _expression(text: str) -> "Query":
    """An expression over attributes.

    Raises:
        InvalidInputError: it asks for something else.
        QuerySyntaxError: it makes no sense.
    """
    from otaru.domain.targeting import Compared, Field, parse  # noqa: PLC0415 - an idle device does without

    query = parse(text, _LONG_AGO)
    for one in _terms(query):
        if one.field not in {Field.ATTRIBUTE, Field.TELEMETRY}:
            raise InvalidInputError("the expression of a condition asks for attributes and telemetry only", hint=_HINT)
        if one.field is Field.ATTRIBUTE and isinstance(one, Compared):
            raise InvalidInputError(
                "attributes are text in a condition: what is more or less is asked of telemetry",
                hint="For example (telemetry.temperature<40).",
            )
    return query


def _asked(query: "Query") -> set[str]:
    from otaru.domain.targeting import Timed  # noqa: PLC0415 - an idle device does without

    return {one.name for one in _terms(query) if not isinstance(one, Timed)}


def _terms(query: "Query") -> "list[Part]":
    from otaru.domain.targeting import And, Not, Or  # noqa: PLC0415 - an idle device does without

    match query:
        case And(parts) | Or(parts):
            return [term for part in parts for term in _terms(part)]
        case Not(part):
            return _terms(part)
        case _:
            return [query]
