"""How single fields of the form of a new rollout are read. What is wrong with one is raised in words for people."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from otaru.domain.conditions import Condition, condition
from otaru.domain.duration import duration
from otaru.domain.health import Measure, measure
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.release import release_name
from otaru.domain.rollout import Abort, FailureType, Limits, Place, Policy, SequentialRule, Share, check, place, share
from otaru.domain.schedule import Window
from otaru.domain.schedule import window as parse_window
from otaru.domain.targeting import MAX_LENGTH, parse
from otaru.errors import InvalidInputError

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

MAX_NAME = 200
MAX_REASON = 500
MAX_ABORTS: Final = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERCENT = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,4})?) ?%?", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,6})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)
_ABORT = re.compile(r"([a-z_]{1,20})=([0-9]{1,3}(?:\.[0-9]{1,2})?)%@([0-9]{1,9})", re.ASCII)
_EACH = "Write failed=20%@50: when 20 % of at least 50 completed devices have failed."


def one_of(kind: type[E]) -> Callable[[str], E]:
    """A choice of the form."""

    def parse_choice(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise InvalidInputError(f"{text[:40]!r} is none of {', '.join(kind)}") from None

    return parse_choice


def release(text: str) -> tuple[ProductName, Version]:
    """What to bring."""
    if not text:
        raise InvalidInputError("no release is chosen")
    return release_name(text)


def target(now: datetime) -> Callable[[str], str]:
    """Whom to bring it to."""

    def check_target(text: str) -> str:
        parse(_line(text, "the target", MAX_LENGTH), now)
        return text

    return check_target


def name(text: str) -> str:
    """A name for people."""
    return _line(text, "the name", MAX_NAME)


def reason(text: str) -> str:
    """Why, for the record."""
    return _line(text, "the reason", MAX_REASON)


def conditions(text: str) -> tuple[Condition, ...]:
    """What has to hold on a device."""
    found = tuple(condition(part) for part in text.split() if part)
    check(Policy(conditions=found))
    return found


def window(text: str) -> Window | None:
    """When devices are told."""
    return parse_window(text) if text else None


def waves(text: str) -> tuple[Share, ...]:
    """Heights that rise."""
    parts = re.sub(r"\s+%", "%", text).replace(",", " ").replace("all", "100%").split()
    found = tuple(share(part) for part in parts)
    check(Policy(waves=found))
    return found


def split(text: str) -> tuple[str, ...]:
    """What members of a segment have in common."""
    found = tuple(text.replace(",", " ").split())
    check(Policy(split=found))
    return found


def places(text: str) -> tuple[Place, ...]:
    """How many at once share a value of an attribute, or a tag."""
    found = tuple(place(part) for part in text.replace(",", " ").split())
    check(Policy(limits=Limits(places=found)))
    return found


def measures(text: str) -> tuple[Measure, ...]:
    """What telemetry is compared, and which way is worse."""
    found = tuple(map(measure, text.replace(",", " ").split()))
    check(Policy(sequential=SequentialRule(telemetry=found)))
    return found


def aborts(text: str) -> tuple[Abort, ...]:
    """When a rate is aborted."""
    parts = text.replace(",", " ").split()
    if len(parts) > MAX_ABORTS:
        raise InvalidInputError(f"a rate has at most {MAX_ABORTS} abort criteria")
    return tuple(map(_abort, parts))


def _abort(text: str) -> Abort:
    found = _ABORT.fullmatch(text)
    if found is None or found[1] not in set(FailureType):
        raise InvalidInputError(f"{text[:40]!r} is no abort criterion", hint=_EACH)
    return Abort(FailureType(found[1]), float(found[2]), int(found[3]))


def rollout(text: str) -> RolloutId:
    """The number of another rollout."""
    if not (_WHOLE.fullmatch(text) and 0 < int(text) < 2**31):
        raise InvalidInputError("no rollout is named" if not text else f"{text[:40]!r} is no rollout's number")
    return RolloutId(int(text))


def number(of: Callable[[int], object]) -> Callable[[str], int]:
    """A whole number that what it makes allows."""

    def parse_number(text: str) -> int:
        if _WHOLE.fullmatch(text) is None:
            raise InvalidInputError(f"{text[:40]!r} is no whole number")
        of(int(text))
        return int(text)

    return parse_number


def decimal(of: Callable[[float], object]) -> Callable[[str], float]:
    """A number that what it makes allows."""

    def parse_decimal(text: str) -> float:
        if _DECIMAL.fullmatch(text) is None:
            raise InvalidInputError(f"{text[:40]!r} is no number", hint="Write 2, or 1.5.")
        value = float(text.replace(",", "."))
        of(value)
        return value

    return parse_decimal


def unless_empty(parse_some: Callable[[str], T]) -> Callable[[str], T | None]:
    """A field that may be left empty."""
    return lambda text: parse_some(text) if text else None


def percent(of: Callable[[float], Policy]) -> Callable[[str], float]:
    """A percentage that the policy it makes allows."""

    def parse_percent(text: str) -> float:
        found = _PERCENT.fullmatch(text)
        if found is None:
            raise InvalidInputError(f"{text[:40]!r} is not a percentage", hint="Write 90, or 99.5.")
        value = round(float(found[1].replace(",", ".")) / 100, 9)
        check(of(value))
        return value

    return parse_percent


def span(of: Callable[[timedelta], Policy]) -> Callable[[str], timedelta | None]:
    """A duration that the policy it makes allows; None where nothing was typed."""

    def parse_span(text: str) -> timedelta | None:
        if not text:
            return None
        found = duration(text)
        check(of(found))
        return found

    return parse_span


def moment(text: str) -> datetime:
    """A time, in UTC where it names no zone."""
    if not text:
        raise InvalidInputError("no time is given", hint="Times are UTC.")
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{text[:40]!r} is not a time", hint="Write 2026-05-01T04:00, in UTC.") from None


def to_come(now: datetime) -> Callable[[str], datetime]:
    """A time that has not passed."""

    def parse_moment(text: str) -> datetime:
        at = moment(text)
        if at <= now:
            raise InvalidInputError("this time has passed", hint=f"It is {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC now.")
        return at

    return parse_moment


def _line(text: str, what: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidInputError(f"{what} has at most {limit} characters")
    if _CONTROL.search(text):
        raise InvalidInputError(f"{what} is one line, without control characters")
    return text
