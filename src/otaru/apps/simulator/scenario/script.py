"""A scenario as people write it: TOML in, checked values out. Pure.

Times of a story are virtual seconds from its beginning, which is a midnight of UTC.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from otaru.apps.simulator import options
from otaru.domain import ids
from otaru.domain.device import Hardware
from otaru.domain.duration import duration
from otaru.errors import InvalidInputError

MAX_DEVICES = 100_000
MAX_TEXT = 1_000_000
LONGEST_S = 400 * 86_400.0
BEGINNING = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""

T = TypeVar("T")


class HarmKind(StrEnum):
    """How a bad release shows."""

    INSTALL = "install"
    """The update fails, and says so."""
    SILENT = "silent"
    """The device is not heard of again."""
    CRASH = "crash"
    """The device runs it, and crashes again and again."""
    DRAIN = "drain"
    """The device runs it, and its battery holds less from then on."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How a share of the devices check in."""

    weight: float
    every_s: float
    office: tuple[float, float] | None
    """Hours of the day, in the device's zone, in which it is switched on."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What a release does to devices, beyond what fails anyway."""

    version: str
    share: float
    kind: HarmKind = HarmKind.INSTALL
    hardware: str = ""
    """A model, a revision or `model:revision`; empty: all."""
    after_s: float = 0.0
    """So long after the device came up with it, rather than at once."""
    after_reboots: int = 0
    """At the so-manyth reboot after it."""
    battery_below: float = 100.0
    """Only where the battery holds less than so many percent when it is installed."""
    every_s: float = 3600.0
    """So long from one crash to the next."""
    by: float = 40.0
    """So many percent the battery holds less."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a share of the devices reaches nobody; updates that come up in it fail in a share of cases."""

    from_s: float
    for_s: float
    share: float
    fails: float


@dataclass(frozen=True, slots=True)
class Owners:
    """People who put updates off."""

    share: float = 0.0
    for_s: float = 28_800.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story that has not been told yet."""

    devices: int
    seed: int
    prefix: str
    hardware: Sequence[tuple[Hardware, float]]
    zones: Sequence[tuple[float, float]]
    """Hours east of Greenwich, with weights."""
    habits: Sequence[Habit]
    base_failure: float
    loss: float
    power_cuts: float
    """Of the installations so many are cut off by the power and begin anew."""
    reboot_every_s: float
    product: str
    installed: str
    version: str
    size: int
    until_s: float
    harms: Sequence[Harm] = ()
    outages: Sequence[Outage] = ()
    owners: Owners = field(default_factory=Owners)
    rollout: Mapping[str, Any] = field(default_factory=dict)
    """As the REST API takes it, but without release and target where they are plain."""
    crash_every_s: float = 0.0
    """Every device crashes once in so long, by chance, whatever it runs; 0: none does."""
    telemetry_loss: float = 0.0
    """Of what devices tell of their health so much gets lost."""
    telemetry: bool = False
    """Whether devices tell their battery at each contact."""

    @property
    def ails(self) -> bool:
        """Whether devices have anything to tell of their health."""
        crash = any(harm.kind is HarmKind.CRASH for harm in self.harms)
        return self.crash_every_s > 0 or crash or self.telemetry or self.drains

    @property
    def drains(self) -> bool:
        """Whether a release drains batteries."""
        return any(harm.kind is HarmKind.DRAIN for harm in self.harms)

    def names(self) -> list[str]:
        """The devices' ids."""
        return [f"{self.prefix}{number}" for number in range(1, self.devices + 1)]


class _Fleet(msgspec.Struct, forbid_unknown_fields=True):
    devices: int = 1000
    seed: int = 1
    prefix: str = "sim-"
    hardware: str = "default"
    zones: dict[str, float] = {}
    base_failure: str | float = "1%"
    loss: str | float = 0.0
    power_cuts: str | float = 0.0
    reboot_every: str = "1d"
    crash_every: str = ""
    telemetry_loss: str | float = 0.0
    telemetry: bool = False


class _Habit(msgspec.Struct, forbid_unknown_fields=True):
    every: str
    share: str | float = 1.0
    office: str = ""


class _Release(msgspec.Struct, forbid_unknown_fields=True):
    product: str = "firmware"
    installed: str = "1.0.0"
    version: str = "2.0.0"
    size: int = 4_000_000


class _Harm(msgspec.Struct, forbid_unknown_fields=True):
    share: str | float
    kind: str = "install"
    version: str = ""
    hardware: str = ""
    after: str = "0s"
    after_reboots: int = 0
    battery_below: float = 100.0
    every: str = "1h"
    by: float = 40.0


class _Outage(msgspec.Struct, forbid_unknown_fields=True):
    at: str
    lasts: str
    share: str | float = 1.0
    fails: str | float = 0.0


class _Owners(msgspec.Struct, forbid_unknown_fields=True):
    postpone: str | float = 0.0
    lasts: str = "8h"
    times: int = 1


class _File(msgspec.Struct, forbid_unknown_fields=True):
    fleet: _Fleet = msgspec.field(default_factory=_Fleet)
    checkin: list[_Habit] = []
    release: _Release = msgspec.field(default_factory=_Release)
    bad: list[_Harm] = []
    outage: list[_Outage] = []
    owners: _Owners = msgspec.field(default_factory=_Owners)
    rollout: dict[str, Any] = {}
    until: str = "7d"


def read(text: str) -> Scenario:
    """Parse a scenario file.

    Raises:
        InvalidInputError: it is no TOML, or a value makes no sense; the words name the place.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInputError(f"a scenario has at most {MAX_TEXT} characters")
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"the scenario is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the scenario makes no sense: {error}") from None
    return _checked(file)


def _checked(file: _File) -> Scenario:
    fleet, release = file.fleet, file.release
    if not 1 <= fleet.devices <= MAX_DEVICES:
        raise InvalidInputError(f"fleet.devices is 1 to {MAX_DEVICES}, not {fleet.devices}")
    if not 1 <= release.size <= 1 << 40:
        raise InvalidInputError("release.size is 1 byte to 1 TiB")
    for version in (release.installed, release.version):
        ids.version(version)
    ids.name(release.product)
    ids.device_id(f"{fleet.prefix}{fleet.devices}")
    return Scenario(
        devices=fleet.devices,
        seed=fleet.seed,
        prefix=fleet.prefix,
        hardware=options.hardware(fleet.hardware),
        zones=[(_offset(name), weight) for name, weight in fleet.zones.items()] or [(0.0, 1.0)],
        habits=[_habit(habit) for habit in file.checkin] or [Habit(1.0, 3600.0, None)],
        base_failure=share(fleet.base_failure, "fleet.base_failure"),
        loss=share(fleet.loss, "fleet.loss"),
        power_cuts=share(fleet.power_cuts, "fleet.power_cuts"),
        reboot_every_s=_span(fleet.reboot_every, "fleet.reboot_every", least=60.0),
        product=release.product,
        installed=release.installed,
        version=release.version,
        size=release.size,
        until_s=_span(file.until, "until", least=60.0),
        harms=[_harm(harm, release.version) for harm in file.bad],
        outages=[_outage(outage) for outage in file.outage],
        owners=_owners(file.owners),
        rollout=file.rollout,
        crash_every_s=_span(fleet.crash_every, "fleet.crash_every", least=60.0) if fleet.crash_every else 0.0,
        telemetry_loss=share(fleet.telemetry_loss, "fleet.telemetry_loss"),
        telemetry=fleet.telemetry,
    )


def share(given: str | float, where: str) -> float:
    """A share between 0 and 1, or a percentage as text.

    Raises:
        InvalidInputError: it is none.
    """
    text = str(given).strip()
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidInputError(f"{where} is a share between 0 and 1 or a percentage, not {given!r}")
    return value


def _span(text: str, where: str, least: float = 0.0) -> float:
    try:
        span = duration(text).total_seconds()
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}", hint=error.hint) from None
    if not least <= span <= LONGEST_S:
        raise InvalidInputError(f"{where} is between {least:g} seconds and 400 days, not {text}")
    return span


def _offset(text: str) -> float:
    """`+01:00` as hours."""
    try:
        sign, hours, minutes = {"+": 1, "-": -1}[text[0]], int(text[1:3]), int(text[4:6])
    except (KeyError, ValueError, IndexError):
        hours = 99
        sign = minutes = 0
    if hours > 14 or len(text) != 6:
        raise InvalidInputError(f"fleet.zones names distances from UTC, not {text!r}", hint='Write "+01:00" = 3.')
    return sign * (hours + minutes / 60)


def _habit(habit: _Habit) -> Habit:
    office = None
    if habit.office:
        begin, _, end = habit.office.partition("-")
        try:
            office = (_hour(begin), _hour(end))
        except ValueError:
            office = (0.0, 0.0)
        if not 0 <= office[0] < office[1] <= 24:
            raise InvalidInputError(f"checkin.office is like 08:00-18:00, not {habit.office!r}")
    return Habit(share(habit.share, "checkin.share"), _span(habit.every, "checkin.every", least=10.0), office)


def _hour(text: str) -> float:
    hours, _, minutes = text.strip().partition(":")
    return int(hours) + int(minutes or 0) / 60


def _harm(harm: _Harm, version: str) -> Harm:
    if harm.kind not in set(HarmKind):
        raise InvalidInputError(f"bad.kind is {' or '.join(HarmKind)}, not {harm.kind!r}")
    if harm.after_reboots < 0 or not 0 <= harm.battery_below <= 100 or not 0 < harm.by <= 100:
        raise InvalidInputError("bad.after_reboots is 0 or more, bad.battery_below 0 to 100, bad.by above 0 to 100")
    return Harm(
        version=harm.version or version,
        share=share(harm.share, "bad.share"),
        kind=HarmKind(harm.kind),
        hardware=harm.hardware,
        after_s=_span(harm.after, "bad.after"),
        after_reboots=harm.after_reboots,
        battery_below=harm.battery_below,
        every_s=_span(harm.every, "bad.every", least=60.0),
        by=harm.by,
    )


def _outage(outage: _Outage) -> Outage:
    return Outage(
        from_s=_span(outage.at, "outage.at"),
        for_s=_span(outage.lasts, "outage.lasts", least=1.0),
        share=share(outage.share, "outage.share"),
        fails=share(outage.fails, "outage.fails"),
    )


def _owners(owners: _Owners) -> Owners:
    if not 0 <= owners.times <= 100:
        raise InvalidInputError("owners.times is 0 to 100")
    return Owners(share(owners.postpone, "owners.postpone"), _span(owners.lasts, "owners.lasts"), owners.times)
