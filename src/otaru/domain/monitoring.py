"""What people say of monitoring: of a tenant's devices, and of groups of them. What a device's owner and maker say comes before it.

Each of the four things is settled for itself: the first policy that says something of it counts, in the order of `ranked`; where
none does, the tenant's own.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from otaru.domain import ids
from otaru.domain.errand import Monitoring, What
from otaru.domain.group import GroupName
from otaru.errors import InvalidInputError

MAX_POLICIES = 32
"""Of groups, in a tenant: a device's poll may have to look at each."""
MAX_OFF = 100
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=1)
MAX_PRIORITY = 1000
ALL = "*"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is said; None: nothing is, of this."""

    period: timedelta | None = None
    """Measure so often."""
    off: tuple[str, ...] | None = None
    """Do not tell these, and all others; `*`: tell nothing."""
    diagnostics: bool | None = None
    """Whether they may be asked for."""
    commands: bool | None = None
    """Whether commands, reboots and backups to put back may be."""

    @property
    def of_telemetry(self) -> bool:
        """Whether anything is said that a device is told with its poll."""
        return self.period is not None or self.off is not None


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """What is said of the devices of a group."""

    group: GroupName
    says: Policy
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What counts for one device, and which group says it; where none does, the tenant."""

    monitoring: Monitoring
    diagnostics: bool = True
    commands: bool = True
    said_by: Mapping[str, GroupName] = field(default_factory=dict)
    """By the field's name."""

    def allows(self, what: What) -> bool:
        """Whether this may be asked of the device."""
        return self.diagnostics if what is What.DIAGNOSE else self.commands


_SAID_ALONE = frozenset({"all", "none"})
"""How people write ALL, and nothing: beside names it would be one that no device has, and keep nothing from being told."""


def checked(policy: Policy) -> Policy:
    """The policy, what it names once each.

    Raises:
        InvalidInputError: it makes no sense.
    """
    if policy.period is not None and not SHORTEST <= policy.period <= LONGEST:
        raise InvalidInputError("devices measure every minute to every day")
    if policy.off is None:
        return policy
    off = tuple(dict.fromkeys(policy.off))
    if len(off) > MAX_OFF:
        raise InvalidInputError(f"at most {MAX_OFF} things can be off by name", hint="Write * for all.")
    for one in off:
        if one in _SAID_ALONE:
            raise InvalidInputError(f"{one} stands alone: it is no name of something that is measured")
        if one != ALL:
            ids.name(one)
    return Policy(policy.period, off, policy.diagnostics, policy.commands)


def ranked(policies: Iterable[GroupPolicy], lists: Collection[GroupName]) -> list[GroupPolicy]:
    """The most specific first: by the priority that people gave, then a list of devices before a query, then by name."""
    return sorted(policies, key=lambda one: (-one.priority, one.group not in lists, one.group))


def settled(tenant: Policy, policies: Sequence[GroupPolicy]) -> Settled:
    """What counts for a device that is in the groups of these, which are `ranked`."""

    def first(name: str) -> tuple[object, GroupName | None]:
        for one in policies:
            if (said := getattr(one.says, name)) is not None:
                return said, one.group
        return getattr(tenant, name), None

    found = {name: first(name) for name in ("period", "off", "diagnostics", "commands")}
    period, off = found["period"][0], found["off"][0]
    return Settled(
        Monitoring(period if isinstance(period, timedelta) else None, off if isinstance(off, tuple) else ()),
        found["diagnostics"][0] is not False,
        found["commands"][0] is not False,
        {name: group for name, (_, group) in found.items() if group is not None},
    )
