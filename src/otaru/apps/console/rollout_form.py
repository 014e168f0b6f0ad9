"""The form of a new rollout: what was typed, what is wrong with which field, and the intention it makes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from otaru.domain.conditions import Condition, condition
from otaru.domain.duration import duration
from otaru.domain.ids import ProductName, Version
from otaru.domain.release import release_name
from otaru.domain.rollout import (
    DEFAULT_RULE,
    ClassicRule,
    Growth,
    OnError,
    Policy,
    SequentialRule,
    Shape,
    Share,
    Urgency,
    check,
    share,
)
from otaru.domain.schedule import Window, window
from otaru.domain.targeting import MAX_LENGTH, parse
from otaru.errors import InvalidInputError, OtaruError, QuerySyntaxError
from otaru.services.control.rollouts import Intention

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Mode(StrEnum):
    """How the members are told."""

    ADAPTIVE = "adaptive"
    SIMPLE = "simple"
    WAVES = "waves"


class When(StrEnum):
    """When it starts."""

    NOW = "now"
    AT = "at"
    PLAN = "plan"


MAX_NAME = 200
FIELDS: Final[Mapping[str, str]] = {
    "release": "",
    "target": "",
    "name": "",
    "mode": Mode.ADAPTIVE.value,
    "split": "hardware, version",
    "waves": "2, 10, 100%",
    "success": f"{DEFAULT_RULE.success * 100:g}",
    "error": f"{DEFAULT_RULE.error * 100:g}",
    "on_error": OnError.PAUSE.value,
    "observe": "",
    "quorum": "100",
    "wave_timeout": "",
    "expires": "",
    "validate": "",
    "urgency": Urgency.FORCED.value,
    "require": "",
    "consent": "",
    "consent_deadline": "",
    "window": "",
    "when": When.NOW.value,
    "start_at": "",
}
"""The fields by name, as they stand at first."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERCENT = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,4})?) ?%?", re.ASCII)
_SIMPLE = Policy()


@dataclass(frozen=True, slots=True)
class Draft:
    """A rollout as far as it has been typed. Wrong fields count as they stand at first."""

    typed: Mapping[str, str]
    wrong: Mapping[str, str] = field(default_factory=dict)
    """By field."""
    column: int = 0
    """Where in the target it stops making sense, from 1; 0 where it does not."""
    intention: Intention | None = None
    """None where it has no release, or no target."""

    def blamed(self, name: str, error: OtaruError) -> "Draft":
        """With what a service said of a field; of none in particular, the name is empty."""
        column: int = error.facts.get("column", 0) if isinstance(error, QuerySyntaxError) else self.column
        return replace(self, wrong={**self.wrong, name: words(error)}, column=column)

    @property
    def mended(self) -> "Draft":
        """Without complaint about what has not been typed yet."""
        return replace(self, wrong={name: told for name, told in self.wrong.items() if self.typed.get(name)})


def words(error: OtaruError) -> str:
    """An error as it stands beside its field."""
    message = error.message[:1].upper() + error.message[1:]
    return f"{message}. {error.hint}" if error.hint else f"{message}."


def read(fields: Mapping[str, str], now: datetime) -> Draft:
    """What a form, or an address, says. Nothing is raised: what is wrong stands beside its field."""
    form = _Form({name: fields.get(name, default) for name, default in FIELDS.items()})
    named = form.read("release", _release, None)
    target = form.read("target", _target(now), None)
    start, start_at = _start(form, now)
    name = form.read("name", _name, "")
    policy, mode = _policy(form), form.read("mode", _one_of(Mode), Mode.SIMPLE)
    intention = None
    if named is not None and target is not None:
        growth = Growth(Shape.ADAPTIVE) if mode is Mode.ADAPTIVE else None
        intention = Intention(*named, target, policy, name, start_at, start, growth)
    return Draft(form.typed, form.wrong, form.column, intention)


class _Form:
    """Fields that are read one by one, and what was wrong with them."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self.typed = typed
        self.wrong: dict[str, str] = {}
        self.column = 0

    def read(self, name: str, parse: Callable[[str], T], otherwise: T) -> T:
        try:
            return parse(self.typed[name])
        except InvalidInputError as error:
            self.wrong[name] = words(error)
            if isinstance(error, QuerySyntaxError):
                self.column = error.facts.get("column", 0)
            return otherwise


def _policy(form: _Form) -> Policy:
    policy = Policy(
        expires_after=form.read("expires", _span(lambda span: Policy(expires_after=span)), None),
        urgency=form.read("urgency", _one_of(Urgency), Urgency.FORCED),
        consent=bool(form.typed["consent"]),
        consent_deadline=form.read(
            "consent_deadline", _span(lambda span: Policy(consent=True, consent_deadline=span)), None
        )
        if form.typed["consent"]
        else None,
        conditions=form.read("require", _conditions, ()),
        window=form.read("window", _window, None),
        validate=form.read("validate", _span(lambda span: Policy(validate=span or timedelta(0))), None) or timedelta(0),
    )
    mode = form.read("mode", _one_of(Mode), Mode.SIMPLE)
    if mode is Mode.SIMPLE:
        return policy
    adaptive = mode is Mode.ADAPTIVE
    rule = None if adaptive else _rule(form)
    return replace(
        policy,
        waves=form.read("waves", _waves, _SIMPLE.waves) if not adaptive else _SIMPLE.waves,
        split=form.read("split", _split, ()),
        rule=rule,
        sequential=SequentialRule() if adaptive else None,
        on_error=form.read("on_error", _one_of(OnError), OnError.PAUSE),
        quorum=form.read("quorum", _percent(lambda p: Policy(quorum=p)), 1.0),
        observe=form.read("observe", _span(lambda span: Policy(observe=span)), None) or timedelta(0),
        wave_timeout=form.read("wave_timeout", _span(lambda span: Policy(wave_timeout=span)), None),
    )


def _rule(form: _Form) -> ClassicRule:
    success = form.read("success", _percent(lambda p: Policy(rule=ClassicRule(p, 0))), DEFAULT_RULE.success)
    return ClassicRule(
        success, form.read("error", _percent(lambda p: Policy(rule=ClassicRule(1, p))), DEFAULT_RULE.error)
    )


def _start(form: _Form, now: datetime) -> tuple[bool, datetime | None]:
    def moment(text: str) -> datetime:
        if not text:
            raise InvalidInputError("no time is given", hint="Times are UTC.")
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidInputError(f"{text[:40]!r} is not a time", hint="Write 2026-05-01T04:00, in UTC.") from None
        if at <= now:
            raise InvalidInputError("this time has passed", hint=f"It is {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC now.")
        return at

    when = form.read("when", _one_of(When), When.PLAN)
    return when is When.NOW, form.read("start_at", moment, None) if when is When.AT else None


def _one_of(kind: type[E]) -> Callable[[str], E]:
    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise InvalidInputError(f"{text[:40]!r} is none of {', '.join(kind)}") from None

    return parse


def _line(text: str, what: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidInputError(f"{what} has at most {limit} characters")
    if _CONTROL.search(text):
        raise InvalidInputError(f"{what} is one line, without control characters")
    return text


def _release(text: str) -> tuple[ProductName, Version]:
    if not text:
        raise InvalidInputError("no release is chosen")
    return release_name(text)


def _target(now: datetime) -> Callable[[str], str]:
    def check_target(text: str) -> str:
        parse(_line(text, "the target", MAX_LENGTH), now)
        return text

    return check_target


def _name(text: str) -> str:
    return _line(text, "the name", MAX_NAME)


def _conditions(text: str) -> tuple[Condition, ...]:
    conditions = tuple(condition(part) for part in text.split() if part)
    check(Policy(conditions=conditions))
    return conditions


def _window(text: str) -> Window | None:
    return window(text) if text else None


def _waves(text: str) -> tuple[Share, ...]:
    parts = re.sub(r"\s+%", "%", text).replace(",", " ").replace("all", "100%").split()
    waves = tuple(share(part) for part in parts)
    check(Policy(waves=waves))
    return waves


def _split(text: str) -> tuple[str, ...]:
    split = tuple(text.replace(",", " ").split())
    check(Policy(split=split))
    return split


def _percent(of: Callable[[float], Policy]) -> Callable[[str], float]:
    """A percentage that the policy it makes allows."""

    def parse(text: str) -> float:
        found = _PERCENT.fullmatch(text)
        if found is None:
            raise InvalidInputError(f"{text[:40]!r} is not a percentage", hint="Write 90, or 99.5.")
        value = round(float(found[1].replace(",", ".")) / 100, 9)
        check(of(value))
        return value

    return parse


def _span(of: Callable[[timedelta], Policy]) -> Callable[[str], timedelta | None]:
    """A duration that the policy it makes allows; None where nothing was typed."""

    def parse(text: str) -> timedelta | None:
        if not text:
            return None
        span = duration(text)
        check(of(span))
        return span

    return parse
