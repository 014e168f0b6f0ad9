"""What a simulated fleet is to be like, as people write it on the command line. Pure."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from otaru.apps.simulator.model import Odds
from otaru.domain import ids
from otaru.domain.device import Hardware
from otaru.errors import InvalidInputError

if TYPE_CHECKING:
    from otaru.apps.simulator.scenario.script import Scenario


class Road(StrEnum):
    """How simulated devices speak."""

    DDI = "ddi"
    NATIVE = "native"


MAX_DEVICES = 100_000
MAX_SPEED = 10_000.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A fleet: who is in it, how it behaves, and where it reports to."""

    server: str
    devices: int
    hardware: Sequence[tuple[Hardware, float]]
    """With weights."""
    odds: Odds = field(default_factory=Odds)
    seed: int = 1
    prefix: str = "sim-"
    speed: float = 1.0
    """How many virtual seconds pass in one second."""
    stagger_s: float = 300.0
    """The devices come up spread over this long, in virtual seconds."""
    token: str | None = None
    """An API token, to add the devices with and to watch rollouts."""
    gateway_token: str | None = None
    """The devices use it instead of tokens of their own."""
    tenant: str = ids.DEFAULT_TENANT
    wrong_tokens: int = 0
    """So many devices, the last ones, come with a wrong token."""
    installed: Mapping[str, str] = field(default_factory=dict)
    """What a new device has installed: version by component."""
    tags: Sequence[str] = ()
    connections: int = 100
    """The most connections to the server at once; all devices share them."""
    trust: ssl.SSLContext | None = None
    """Whose certificates are trusted; None: the system's."""
    road: Road = Road.DDI
    scenario: "Scenario | None" = None
    """What happens to the devices, instead of `odds`."""

    def names(self) -> list[str]:
        """The devices' ids: the prefix and a number from 1 on. A larger fleet has those of a smaller one, and more."""
        return [f"{self.prefix}{number}" for number in range(1, self.devices + 1)]


def check(plan: Plan) -> Plan:
    """Check a plan as a person wrote it, and return it.

    Raises:
        InvalidInputError: it says what is wrong.
    """
    if not 1 <= plan.devices <= MAX_DEVICES:
        raise InvalidInputError(f"a fleet has 1 to {MAX_DEVICES} devices, not {plan.devices}")
    if not 0 < plan.speed <= MAX_SPEED:
        raise InvalidInputError(f"the speed is above 0 and at most {MAX_SPEED:g}, not {plan.speed:g}")
    if not 0 <= plan.wrong_tokens <= plan.devices:
        raise InvalidInputError(f"there are {plan.devices} devices, {plan.wrong_tokens} cannot have a wrong token")
    if plan.road is Road.NATIVE and plan.gateway_token is not None and plan.token is None:
        raise InvalidInputError("devices register themselves on the road ddi only", hint="Give --token too.")
    if plan.connections < 1:
        raise InvalidInputError("a fleet needs at least one connection")
    if plan.token is None and plan.gateway_token is None:
        raise InvalidInputError(
            "the fleet has no token", hint="Give --token (an API token that may add devices) or --gateway-token."
        )
    if not plan.server.startswith(("http://", "https://")):
        raise InvalidInputError(f"{plan.server!r} is not a server's URL", hint="Such as http://127.0.0.1:8080.")
    for name in (plan.names()[0], plan.names()[-1]):
        ids.device_id(name)
    return plan


def hardware(text: str) -> tuple[tuple[Hardware, float], ...]:
    """Parse `MODEL[:REVISION][=SHARE],…`; shares are weights, 1 where none is given.

    Raises:
        InvalidInputError: it does not read like that.
    """
    parsed = []
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        model, colon, revision = name.partition(":")
        piece = Hardware(ids.hardware_model(model), ids.hardware_model(revision) if colon else "")
        parsed.append((piece, _number(weight, part) if weight else 1.0))
    if sum(weight for _, weight in parsed) <= 0:
        raise InvalidInputError("all shares of the hardware are 0")
    return tuple(parsed)


def shares(texts: Sequence[str]) -> dict[str, float]:
    """Parse `NAME=SHARE`, shares between 0 and 1 or percentages; several may stand in one text, with commas.

    Raises:
        InvalidInputError: it does not read like that.
    """
    parsed = {}
    for part in (part for text in texts for part in text.split(",")):
        name, _, value = part.strip().rpartition("=")
        if not name:
            raise InvalidInputError(f"{part!r} is not NAME=SHARE", hint="Such as 2026.0.0=10%.")
        number = _number(value.removesuffix("%"), part) / (100 if value.endswith("%") else 1)
        if number > 1:
            raise InvalidInputError(f"the share of {name} is at most 1 or 100%, not {value}")
        parsed[name] = number
    return parsed


def components(texts: Sequence[str]) -> dict[str, str]:
    """Parse `COMPONENT=VERSION`.

    Raises:
        InvalidInputError: it does not read like that.
    """
    parsed = {}
    for text in texts:
        component, _, version = text.partition("=")
        if not component or not version:
            raise InvalidInputError(f"{text!r} is not COMPONENT=VERSION", hint="Such as app=1.0.0.")
        parsed[ids.name(component)] = str(ids.version(version))
    return parsed


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} in {where!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise InvalidInputError(f"{text!r} in {where!r} is not a share")
    return value
