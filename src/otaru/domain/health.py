"""What devices tell of their health: events (it rebooted, it crashed) and samples of telemetry (battery: 81).

Events are counted for the judge where they say something of a rollout: by the *arm* that the device is in when we hear of
it. Who still runs what ran before is `control`; who runs what the rollout brought is `updated`; who is being updated, or
fell out, is in neither. The one reboot that every update causes counts nowhere. Server time decides: the hour is that in
which the event came, the *age* is how many hours after the device came to run the new version that was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from otaru.domain.deployment import State
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.ids import name as parse_name
from otaru.errors import InvalidInputError

MAX_EVENTS = 1000
"""In one batch."""
MAX_PER_HOUR = 2000
"""Events and samples of one device that are kept in any hour."""
MAX_ID = 64
MAX_TEXT = 500
MAX_TIME = 64
MAX_VALUE = 1e300
MAX_SAMPLED = 64
"""Names of telemetry that are kept of a device."""
HOUR = timedelta(hours=1)


class Kind(StrEnum):
    """What a device tells."""

    REBOOT = "reboot"
    WATCHDOG = "watchdog"
    CRASH = "crash"
    COMM_FAILURE = "comm_failure"
    POWER = "power"
    INSTALL = "install"
    STORAGE = "storage"
    SAMPLE = "sample"
    """No event: a number of its telemetry."""


EVENTS = frozenset(Kind) - {Kind.SAMPLE}
"""What is counted."""


class Arm(StrEnum):
    """Whose side a member of a rollout bears witness for."""

    CONTROL = "control"
    UPDATED = "updated"


ARMS: Mapping[State, Arm] = {
    State.SCHEDULED: Arm.CONTROL,
    State.OFFERED: Arm.CONTROL,
    State.AWAITING_CONSENT: Arm.CONTROL,
    State.POSTPONED: Arm.CONTROL,
    State.DOWNLOADING: Arm.CONTROL,
    State.DOWNLOADED: Arm.CONTROL,
    State.ON_TRIAL: Arm.UPDATED,
    State.SUCCEEDED: Arm.UPDATED,
}
"""The arm of a member by its state; who has none is being updated, or fell out."""

AGES = (0, 1, 6, 24, 72, 168)
"""Where the buckets of ages begin, in hours."""


def age_bucket(hours: int) -> int:
    """The number of the bucket in which an age of so many whole hours lies."""
    return sum(hours >= start for start in AGES[1:])


LOOKS = (1, 2, 3)
"""Buckets of ages in which an updated device's telemetry is compared once with control's: hours later, and a day or more."""
MAX_SCORED = 1000
"""Updated devices that are compared in one segment, by name and look: more would say nothing new."""
MAX_MEASURES = 8


class Worse(StrEnum):
    """Which way a measurement goes where a device fares worse."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Measure:
    """Telemetry that a rollout is judged by."""

    name: str
    worse: Worse

    def __str__(self) -> str:
        return f"{self.name}:{self.worse}"

    def harm(self, before: float, after: float) -> float:
        """How much worse a device fares than before."""
        return after - before if self.worse is Worse.HIGH else before - after


MEASURES = (Measure("battery", Worse.LOW), Measure("signal", Worse.LOW), Measure("temperature", Worse.HIGH))
"""Where nothing else is said. What no device tells says nothing."""


def measure(text: str) -> Measure:
    """Parse `battery:low`: which way is worse.

    Raises:
        InvalidInputError: it is something else.
    """
    key, _, worse = text.rpartition(":")
    if worse not in set(Worse):
        raise InvalidInputError(f"{text!r} is no telemetry to judge by", hint="For example battery:low.")
    return Measure(parse_name(key), Worse(worse))


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a device tells. `id` is the device's own: the same one again changes nothing."""

    id: str
    kind: Kind
    text: str = ""
    name: str = ""
    """What was measured, of a sample."""
    value: float = 0.0
    device_time: str = ""
    """As the device's clock said it: recorded, never trusted."""

    def heard(self, device: DeviceId, at: datetime) -> "HealthEvent":
        """As it is kept."""
        return HealthEvent(device, self.id, self.kind, at, self.text, self.name, self.value, self.device_time)


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """One thing that a device told, and when it came."""

    device: DeviceId
    id: str
    kind: Kind
    received_at: datetime
    text: str = ""
    name: str = ""
    value: float = 0.0
    device_time: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The last known value of something that a device measures, and since when it is that."""

    name: str
    value: float
    since: datetime


QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """The last values of something that devices measure, over all that have told it."""

    name: str
    devices: int
    values: tuple[float, ...]
    """At QUANTILES."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How many events, and of how many devices: each device once in an hour, for each kind."""

    events: int
    devices: int


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """A cell of the counters. `hour` counts from 1970; `age` is the number of a bucket of `AGES`, 0 for control."""

    segment: int
    arm: Arm
    hour: int
    age: int
    kind: Kind


@dataclass(frozen=True, slots=True, order=True)
class Placement:
    """How an updated device's change since before the rollout compares with that of a control device at the same time.

    `score` is 1 where it fares worse, -1 where better, 0 where neither does.
    """

    segment: int
    name: str
    look: int
    score: int


FRESH_H = 6
"""Until so many hours after the update a device counts as freshly restarted."""


class Sign(StrEnum):
    """How a device stops being heard."""

    SILENT = "silent"
    """It does not come any more."""
    MUTE = "mute"
    """It comes, but tells nothing of its health any more, which it used to."""
    OVERDUE = "overdue"
    """It was told to update, and has neither said how that went nor come since."""
    CAME = "came"
    """None of these: it was told of nothing yet, and came. By who does not the fleet is known to be dark."""


@dataclass(frozen=True, slots=True, order=True)
class Hush:
    """A cell of those who stopped being heard in an hour; `fresh` ones have come to their state hours ago at most."""

    hour: int
    segment: int
    sign: Sign
    arm: Arm
    fresh: bool = False


MUTE_H = 24
"""Who told something and then nothing for so many hours is mute."""
WATCHED = 20_000
"""Of a rollout's members those below this rank are watched, and of all others as many again."""


@dataclass(frozen=True, slots=True)
class Risk:
    """What was counted of a rollout: enough to know, for each hour, who could have failed and who did.

    `moves` says how many devices came into an arm (less those that left it) in an hour, by (segment, arm, hour).
    """

    rollout: RolloutId
    heard: Mapping[Stratum, Heard]
    moves: Mapping[tuple[int, Arm, int], int]
    placed: Mapping[Placement, int] = field(default_factory=dict)
    """How many updated devices were placed so by their telemetry."""
    hushed: Mapping[Hush, Heard] = field(default_factory=dict)
    """How many devices stopped being heard (`events`), of how many that could have (`devices`)."""

    def at_risk(self, segment: int, arm: Arm, hour: int) -> int:
        """Devices of a segment that were in an arm at the end of an hour."""
        return sum(n for (s, a, h), n in self.moves.items() if (s, a) == (segment, arm) and h <= hour)

    def aged(self, segment: int, hour: int, age: int) -> int:
        """Of the updated ones, those whose age at that hour lay in bucket `age`."""
        return sum(
            n
            for (s, arm, h), n in self.moves.items()
            if s == segment and arm is Arm.UPDATED and h <= hour and age_bucket(hour - h) == age
        )


def rounded(value: float) -> float:
    """A sample as it is kept as the last one: three digits, so that noise is no news."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    return float(f"{max(-MAX_VALUE, min(value, MAX_VALUE)):.3g}")
