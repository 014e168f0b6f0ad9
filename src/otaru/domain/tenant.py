"""A tenant: an organisation's closed world, and its settings."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from otaru.domain.backup import QUOTA_SHARE
from otaru.domain.errand import Monitoring
from otaru.domain.ids import TenantId
from otaru.domain.monitoring import GroupPolicy, Policy
from otaru.domain.schedule import Blackout, Calendar

GIB = 1024**3


WHOLE_PARTS = frozenset({"bApp"})
"""Chunk parts of clients that cannot download without installing: Zephyr's reads `skip` and installs all the same."""


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What a tenant decides for itself. The defaults are the safe ones."""

    polling: timedelta = timedelta(minutes=5)
    """What devices are told to wait between polls; DDI writes it as HH:MM:SS, so at most 23:59:59."""
    self_registration: bool = False
    """Whether a device with a good gateway token may register itself by its first poll."""
    gateway_token_hash: bytes | None = None
    """The SHA-256 of the token that acts for every device; None (the default): there is none."""
    download_anonymous: bool = False
    """Whether artifacts of published releases may be fetched without a credential."""
    chunk_parts: dict[str, str] = field(default_factory=dict)
    """The DDI `part` by hardware model; `bApp` is what Zephyr wants. Others get `os`."""
    several: tuple[str, ...] = ()
    """Hardware models whose DDI clients take the files of several components in one deployment, all or none."""
    max_artifact: int = 4 * GIB
    quota: int = 100 * GIB
    backups: bool = True
    """Whether backups of devices are taken; else they stay there."""
    backup_quota: int = 50 * GIB
    """What backups of devices may take together; never more than the half of `quota`."""
    health_kept: timedelta = timedelta(days=30)
    """How long what devices tell of their health is kept, word for word."""
    four_eyes: bool = False
    """Whether every rollout waits for the approval of somebody else than who planned it."""
    monitoring: Monitoring = field(default_factory=Monitoring)
    """What its devices tell of their telemetry."""
    diagnostics: bool = True
    """Whether devices may be asked for their diagnostics."""
    commands: bool = True
    """Whether they may be asked for commands, reboots, backups to put back."""
    group_monitoring: tuple[GroupPolicy, ...] = ()
    """What is said of groups of devices, which comes before these three."""
    zone: str = "UTC"
    """That of devices whose own is not known, in windows that follow the device's."""

    @property
    def policy(self) -> Policy:
        """What is said of all devices."""
        return Policy(self.monitoring.period, self.monitoring.off, self.diagnostics, self.commands)

    @property
    def backup_limit(self) -> int:
        """Bytes that backups may take: devices cannot fill what releases need."""
        return min(self.backup_quota, self.quota // QUOTA_SHARE)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it is stored."""

    id: TenantId
    created_at: datetime
    settings: TenantSettings = TenantSettings()
    halted: bool = False
    halt_reason: str = ""
    edition: int = 1
    blackouts: tuple[Blackout, ...] = ()

    @property
    def calendar(self) -> Calendar:
        """What it says of times."""
        return Calendar(self.settings.zone, self.blackouts)
