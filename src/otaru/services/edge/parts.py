"""What an agent is made of, put together by its process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from otaru.domain.conditions import Condition
from otaru.domain.device import Hardware
from otaru.domain.fetching import Backoff
from otaru.domain.ids import DeviceId, TenantId
from otaru.domain.link import Told
from otaru.domain.schedule import Hours
from otaru.ports.board import (
    HealthCheck,
    Hooks,
    Installer,
    Journal,
    Lock,
    Origin,
    Outbox,
    Power,
    Safe,
    Senses,
    Staging,
    Vault,
)
from otaru.ports.clock import Clock
from otaru.ports.link import Link
from otaru.ports.partial import Pause
from otaru.services.edge.fetch import Manner

if TYPE_CHECKING:
    # What verifies is loaded when something is to be verified: an idle device does without.
    from otaru.trust.verify.offline import OfflineBundle
    from otaru.trust.verify.proof import LogPolicy


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device knows of itself."""

    tenant: TenantId
    device: DeviceId
    hardware: frozenset[Hardware]
    built: datetime
    """When its software was built: it is not earlier than that."""
    installed: Mapping[str, str] = field(default_factory=dict)
    """What runs in components that were never updated."""
    fuses: Mapping[str, int] = field(default_factory=dict)
    log: "LogPolicy | None" = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an agent takes."""

    health: timedelta = timedelta(minutes=5)
    """A new version has to be healthy by then."""
    look_again: timedelta = timedelta(seconds=5)
    """While it is not, and while something here has to come to pass."""
    reboot: timedelta = timedelta(minutes=3)
    """After one was ordered: then it is ordered again."""
    full: timedelta = timedelta(hours=1)
    """A disk that takes nothing for so long, while an update is looked at, fails it."""
    listen: timedelta = timedelta(0)
    """At rest, and holding a download, a poll may be held back so long, so that an order arrives at once."""
    backoff: Backoff = field(default_factory=lambda: Backoff(timedelta(seconds=10), timedelta(hours=1)))
    """After the server did not answer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that an agent works with."""

    me: Identity
    journal: Journal
    vault: Vault
    outbox: Outbox
    staging: Staging
    installers: Mapping[str, Installer]
    """By component; the order is the one in which pieces are installed and switched."""
    checks: Sequence[HealthCheck]
    power: Power
    link: Link
    clock: Clock
    pause: Pause
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What the server is told of the device when it asks."""
    manner: Manner = field(default_factory=Manner)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By component: those that patches may lead from."""
    senses: Senses | None = None
    require: Sequence[Condition] = ()
    """What has to hold here before any update begins, beside what a rollout asks for."""
    locks: Sequence[Lock] = ()
    forced_breaks: bool = False
    """A forced update does not wait for locks."""
    hours: Hours = field(default_factory=Hours)
    """When it may be installed and switched, beside what a rollout says."""
    hooks: Hooks | None = None
    safe: Safe | None = None
    """Where data are saved before an update."""
    patience: Patience = Patience()
    aside: Callable[[Told, bool], None] = lambda _told, _resting: None
    """Hears what the server says, and whether no update is under way: for all but updates."""
    bundle: "OfflineBundle | None" = None
    """What stands in for a server: the link is a medium, and what is past its end is so with this document's leave."""
