"""Errands: what a device is asked beside updates: its diagnostics, a command that its maker allows, a reboot, a backup put back.

A server only names an errand; what is run, and whether anything is, stands on the device (docs/diagnostics.md). Each has a
number of its device's own, which only rises: the device does each once, however often it hears of it.

`waiting` → the device says that it takes it → `taken` → it says how it went. Who calls it off while it waits is sure
that it is not run: the device begins only after the server has said `taken`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from otaru.domain.backup import backup_name
from otaru.domain.ids import DeviceId
from otaru.domain.ids import name as parse_name
from otaru.domain.machine import Machine
from otaru.errors import InvalidInputError

MAX_OPEN = 8
"""Of one device."""
MAX_OPEN_IN_ALL = 10_000
"""Of one tenant."""
MAX_TOLD = 8
"""In one answer to a poll, and in one report."""
MAX_OUTPUT = 16 * 1024
"""Characters of what a command printed: its end."""
MAX_BUNDLE = 4 * 1024 * 1024
"""Bytes of diagnostics, packed."""
MAX_PART = 128 * 1024
MAX_NUMBER = 2**31 - 1
LIFE = timedelta(days=1)
"""How long an errand waits for its device, where nobody says otherwise."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=30)
PATIENCE = timedelta(days=1)
"""How long after it would have expired a device that has taken an errand is waited for."""
MONITORED = ("battery", "signal", "uptime", "disk", "memory", "load")
"""What an agent measures by itself, where the device has it."""


class What(StrEnum):
    """What a device is asked for."""

    DIAGNOSE = "diagnose"
    RUN = "run"
    REBOOT = "reboot"
    RESTORE = "restore"
    """Put back what one of its own backups holds."""


class State(StrEnum):
    """Where an errand stands."""

    WAITING = "waiting"
    TAKEN = "taken"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What moves it."""

    TAKE = "take"
    DO = "do"
    FAIL = "fail"
    REFUSE = "refuse"
    EXPIRE = "expire"
    CANCEL = "cancel"


OPEN = frozenset({State.WAITING, State.TAKEN})

ERRAND: Machine[State, Event] = Machine(
    "errand",
    State.WAITING,
    frozenset(State) - OPEN,
    {
        (State.WAITING, Event.TAKE): State.TAKEN,
        (State.WAITING, Event.REFUSE): State.REFUSED,
        (State.WAITING, Event.EXPIRE): State.EXPIRED,
        (State.WAITING, Event.CANCEL): State.CANCELLED,
        (State.TAKEN, Event.DO): State.DONE,
        (State.TAKEN, Event.FAIL): State.FAILED,
        (State.TAKEN, Event.REFUSE): State.REFUSED,
        (State.TAKEN, Event.EXPIRE): State.EXPIRED,
    },
)
SAID: Mapping[State, Event] = {
    State.TAKEN: Event.TAKE,
    State.DONE: Event.DO,
    State.FAILED: Event.FAIL,
    State.REFUSED: Event.REFUSE,
}
"""What a device may say of an errand, and what that is."""


@dataclass(frozen=True, slots=True)
class Errand:
    """An errand as it is kept."""

    device: DeviceId
    number: int
    what: What
    name: str
    """Which command, of `run`; which backup, of `restore`, where it is not the newest."""
    state: State
    by: str
    created_at: datetime
    expires_at: datetime
    changed_at: datetime
    ended_at: datetime | None = None
    code: str = ""
    """Why it failed or was refused, in a word."""
    text: str = ""
    """What the command printed, or why it failed: the device's words."""
    size: int | None = None
    """Bytes of its diagnostics; None: it has none (any more)."""
    sha256: str = ""

    def over(self, now: datetime) -> bool:
        """Whether it is waited for no longer."""
        return now >= (self.expires_at if self.state is State.WAITING else self.expires_at + PATIENCE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks of a device."""

    what: What
    name: str = ""
    life: timedelta = LIFE


@dataclass(frozen=True, slots=True)
class Asked:
    """An errand as its device hears of it."""

    number: int
    what: What
    name: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Went:
    """What a device says of an errand."""

    number: int
    state: State
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What a tenant says of its devices' telemetry; what a device's owner says comes before it."""

    period: timedelta | None = None
    """Measure so often; None: as the device is set."""
    off: tuple[str, ...] = ()
    """Do not tell these; `*`: nothing."""

    def tells(self, item: str) -> bool:
        """Whether something may be told."""
        return "*" not in self.off and item not in self.off


def wanted(what: What, name: str = "", life: timedelta | None = None) -> Wanted:
    """What somebody asks, checked.

    Raises:
        InvalidInputError: it makes no sense.
    """
    life = LIFE if life is None else life
    if what is not What.RESTORE and (what is What.RUN) != bool(name):
        raise InvalidInputError(
            "run names a command of the device's own, restore may name a backup, and nothing else names anything",
            hint="For example: restart-app.",
        )
    if not SHORTEST <= life <= LONGEST:
        raise InvalidInputError("an errand waits from a minute up to 30 days")
    parse = backup_name if what is What.RESTORE else parse_name
    return Wanted(what, parse(name) if name else "", life)
