"""The form of a new rollout: what was typed, what is wrong with which field, and the intention it makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeVar

from otaru.apps.console import rollout_fields as fields
from otaru.domain.duration import written
from otaru.domain.health import MEASURES
from otaru.domain.rollout import (
    ALPHA,
    DEFAULT_RULE,
    Approve,
    Download,
    Growth,
    OnError,
    Policy,
    Shape,
    Urgency,
    check_growth,
)
from otaru.errors import InvalidInputError, OtaruError, QuerySyntaxError
from otaru.services.control.rollouts import Intention

T = TypeVar("T")


class Mode(StrEnum):
    """How the members are told."""

    ADAPTIVE = "adaptive"
    SIMPLE = "simple"
    WAVES = "waves"
    EXPONENTIAL = "exponential"
    RATE = "rate"


class Judging(StrEnum):
    """Who judges waves."""

    SEQUENTIAL = "sequential"
    CLASSIC = "classic"


class When(StrEnum):
    """When it starts."""

    NOW = "now"
    AT = "at"
    AFTER = "after"
    PLAN = "plan"


_DEFAULT, _GROWTH = Policy(), Growth(Shape.EXPONENTIAL)
FIELDS: Final[Mapping[str, str]] = {
    "release": "",
    "target": "",
    "name": "",
    "mode": Mode.ADAPTIVE.value,
    "split": "hardware, version",
    "waves": "2, 10, 100%",
    "first": str(_GROWTH.first),
    "factor": f"{_GROWTH.factor:g}",
    "rate": "50",
    "rate_factor": "2",
    "rate_every": "1000",
    "rate_counts": "notified",
    "rate_max": "1000",
    "abort": "",
    "judge": Judging.SEQUENTIAL.value,
    "alpha": f"{ALPHA * 100:g}",
    "telemetry": " ".join(map(str, MEASURES)),
    "success": f"{DEFAULT_RULE.success * 100:g}",
    "error": f"{DEFAULT_RULE.error * 100:g}",
    "on_error": OnError.PAUSE.value,
    "observe": "",
    "quorum": "100",
    "wave_timeout": "",
    "validate": "",
    "validate_events": str(_DEFAULT.validate_events),
    "urgency": Urgency.FORCED.value,
    "forced_at": "",
    "consent": "",
    "consent_deadline": "",
    "postponements": str(_DEFAULT.postponements),
    "postpone_for": written(_DEFAULT.postpone_for.total_seconds()),
    "window": "",
    "install_takes": "",
    "download": Download.IN_WINDOW.value,
    "download_only": "",
    "install_at": "",
    "require": "",
    "ignore_blackout": "",
    "max_in_flight": "",
    "max_per_minute": "",
    "max_per": "",
    "priority": str(_DEFAULT.priority),
    "continuous": "",
    "expires": "",
    "when": When.NOW.value,
    "start_at": "",
    "after": "",
    "end_at": "",
    "approve": Approve.NONE.value,
    "reason": "",
}
"""The fields by name, as they stand at first."""
TICKS: Final = ("consent", "continuous", "ignore_blackout", "download_only")
"""Boxes: one that is not ticked sends nothing."""
CHOICES: Final = ("mode", "judge", "rate_counts", "urgency", "download", "when", "approve")
"""One of a few; who sends another one did not use the form."""


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
        return replace(
            self, wrong={name: told for name, told in self.wrong.items() if not name or self.typed.get(name)}
        )

    def differs(self, *names: str) -> bool:
        """Whether one of these fields is not as it stood at first, or is wrong."""
        return any(self.typed[name] != FIELDS[name] or name in self.wrong for name in names)


def words(error: OtaruError) -> str:
    """An error as it stands beside its field."""
    message = error.message[:1].upper() + error.message[1:]
    return f"{message}. {error.hint}" if error.hint else f"{message}."


class Form:
    """Fields that are read one by one, and what was wrong with them."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self.typed = typed
        self.wrong: dict[str, str] = {}
        self.column = 0

    def read(self, name: str, parse: Callable[[str], T], otherwise: T) -> T:
        """A field; `otherwise` where it is wrong."""
        try:
            return parse(self.typed[name])
        except InvalidInputError as error:
            self.blame(name, error)
            return otherwise

    def blame(self, name: str, error: InvalidInputError) -> None:
        """What is wrong with a field; what was said of it first counts."""
        self.wrong.setdefault(name, words(error))
        if isinstance(error, QuerySyntaxError):
            self.column = error.facts.get("column", 0)


def typed(sent: Mapping[str, str]) -> Mapping[str, str]:
    """What a form, or an address, says of each field."""
    found = {name: sent.get(name, default) for name, default in FIELDS.items()}
    if "judge" not in sent and found["mode"] != Mode.ADAPTIVE:
        found["judge"] = Judging.CLASSIC.value  # who names waves alone means hawkBit's thresholds, as in the API
    return found


def growth(form: Form, mode: Mode) -> Growth | None:
    """What writes the heights of the waves."""
    if mode is Mode.ADAPTIVE:
        return Growth(Shape.ADAPTIVE)
    if mode is not Mode.EXPONENTIAL:
        return None
    first = fields.number(lambda n: check_growth(Growth(Shape.EXPONENTIAL, n)))
    factor = fields.decimal(lambda f: check_growth(Growth(Shape.EXPONENTIAL, factor=f)))
    return Growth(
        Shape.EXPONENTIAL, form.read("first", first, _GROWTH.first), form.read("factor", factor, _GROWTH.factor)
    )
