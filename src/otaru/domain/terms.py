"""What a release says of itself beside its bytes: what kind of update it is, and which devices may take it.

Rules for devices are in words of *components*, since that is what a device has: `greatfet-usb>=2025.0.0` is met by a device
that runs such a version in the component `greatfet-usb`. A release updates one component, by default named as its product.

Floors. `floor` is the oldest version from which a device may come to this release ("must pass through 2.4"): an older
one takes a release between first, see `domain.upgrade`. `security_floor` burns a counter: once a device has confirmed
this release, it takes nothing with a lower counter any more. A release that burns none inherits the counter of the
newest release before it that does; so an ordinary rollback to anything after the last burn needs no permission.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from otaru.domain import ids
from otaru.domain.ids import Version
from otaru.domain.versions import VersionOrder, compare, key, reads
from otaru.errors import InvalidInputError

MAX_REQUIREMENTS = 16
MAX_COUNTER = 2**31 - 1
DEFAULT_CHANNEL = "stable"


class UpdateType(StrEnum):
    """What kind of update a release is. For people and filters; of the rules consent alone asks: security waits for nobody."""

    FIRMWARE = "firmware"
    SOFTWARE = "software"
    SECURITY = "security"
    FEATURE = "feature"
    DRIVER = "driver"
    CONFIGURATION = "configuration"
    ROLLBACK = "rollback"
    PRE_PROVISIONING = "pre-provisioning"


class Relation(StrEnum):
    """How an installed version has to stand to a named one; longer signs first, for reading."""

    AT_LEAST = ">="
    AT_MOST = "<="
    EQUALS = "=="
    DIFFERS = "!="
    ABOVE = ">"
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What has to run in a component before a release may come. Written `greatfet-usb>=2025.0.0`."""

    component: str
    relation: Relation
    version: Version
    order: VersionOrder = field(default=VersionOrder.AUTO, compare=False)
    """That of the product that is named as the component; looked up when it is loaded, so it is no part of what is said."""

    def __str__(self) -> str:
        return f"{self.component}{self.relation}{self.version}"

    def met_by(self, installed: Version | None) -> bool:
        """Whether this version satisfies it; nothing known, and what is not of the order's form, does not."""
        if installed is None or not (reads(self.order, installed) and reads(self.order, self.version)):
            return False
        found = compare(self.order, installed, self.version)
        match self.relation:
            case Relation.AT_LEAST:
                return found >= 0
            case Relation.AT_MOST:
                return found <= 0
            case Relation.EQUALS:
                return found == 0
            case Relation.DIFFERS:
                return found != 0
            case Relation.ABOVE:
                return found > 0
            case Relation.BELOW:
                return found < 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a release says of itself."""

    type: UpdateType = UpdateType.SOFTWARE
    channel: str = DEFAULT_CHANNEL
    support_until: date | None = None
    """The last day of its support, in UTC."""
    requires: tuple[Requirement, ...] = ()
    floor: Version | None = None
    security_floor: int | None = None
    no_way_back: bool = False
    """It changes what is kept on a device so that older ones cannot read it: no rollback takes it away again."""


NO_TERMS = Terms()
"""Those of a release that says nothing."""

CHANNEL = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_REQUIREMENT = re.compile(rf"\s*([^\s<>=!]+)\s*({'|'.join(Relation)})\s*([^\s<>=!]+)\s*")


def requirement(text: str) -> Requirement:
    """Parse `component>=version`, with one of >= <= == != > <.

    Raises:
        InvalidInputError: it is none.
    """
    found = _REQUIREMENT.fullmatch(text) if len(text) <= 300 else None
    if found is None:
        raise InvalidInputError(
            f"{text[:64]!r} is not a requirement",
            hint="Write COMPONENT, one of >= <= == != > <, and a version: bootloader>=2.1.",
        )
    return Requirement(ids.name(found[1]), Relation(found[2]), ids.version(found[3]))


def channel(text: str) -> str:
    """Parse a channel's name. It stands in the name of the role that signs the channel's releases, so it has no dot.

    Raises:
        InvalidInputError: it is none.
    """
    if not CHANNEL.fullmatch(text):
        raise InvalidInputError(
            f"{text[:64]!r} is not a channel", hint="A channel is 1 to 32 characters of a-z 0-9 and -."
        )
    return text


def check_terms(terms: Terms, version: Version, order: VersionOrder, inherited: int) -> None:
    """Check what a release says of itself; `inherited` is the counter of the newest burn before it.

    Raises:
        InvalidInputError: a version is not of the product's order, the floor is not below the release, a requirement
            stands twice, or the counter is out of range or lower than one that was burnt before.
    """
    key(order, version)
    channel(terms.channel)
    if terms.floor is not None and compare(order, terms.floor, version) >= 0:
        raise InvalidInputError(
            f"the floor {terms.floor} is not older than {version}",
            hint="A floor is the oldest version from which a device may come to this release.",
        )
    if len(terms.requires) > MAX_REQUIREMENTS:
        raise InvalidInputError(f"a release has at most {MAX_REQUIREMENTS} requirements")
    _check_requirements(terms.requires)
    burn = terms.security_floor
    if burn is not None and not 1 <= burn <= MAX_COUNTER:
        raise InvalidInputError(f"a security floor is a number from 1 to {MAX_COUNTER}")
    if burn is not None and burn < inherited:
        raise InvalidInputError(
            f"the security floor {burn} is lower than {inherited}, which a release before {version} burns",
            hint="A counter only rises. Leave it out where this release burns none.",
        )


def _check_requirements(requires: Iterable[Requirement]) -> None:
    seen: set[tuple[str, Relation, Version]] = set()
    for wanted in requires:
        if (said := (wanted.component, wanted.relation, wanted.version)) in seen:
            raise InvalidInputError(f"the requirement {wanted} stands twice")
        seen.add(said)
        if not reads(wanted.order, wanted.version):
            raise InvalidInputError(
                f"the requirement {wanted} names no version of the {wanted.order} order, which {wanted.component} follows"
            )
