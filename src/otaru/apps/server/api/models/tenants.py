"""The tenant, as the API shows it."""

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import LINE, Body, Out, ZoneText
from otaru.apps.server.api.models.monitoring import GroupMonitoringOut, MonitoringIn, MonitoringOut
from otaru.services.control.tenants import Change, Seen

Bytes = Annotated[int, Field(ge=0, le=2**53 - 1)]
Model = Annotated[str, Field(min_length=1, max_length=128, pattern=LINE)]
Part = Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]


class SettingsIn(Body):
    """Settings to change; what is left out or null stays."""

    polling_s: Annotated[int | None, Field(ge=1, le=86_399, description="What devices wait between polls.")] = None
    self_registration: bool | None = None
    download_anonymous: bool | None = None
    chunk_parts: Annotated[
        dict[Model, Part] | None, Field(max_length=200, description="The DDI part by hardware model, as a whole.")
    ] = None
    several: Annotated[
        list[Model] | None,
        Field(max_length=200, description="Models whose DDI clients take several files in one deployment, as a whole."),
    ] = None
    max_artifact: Bytes | None = None
    quota: Bytes | None = None
    backups: Annotated[bool | None, Field(description="Whether backups of devices are taken.")] = None
    backup_quota: Annotated[
        Bytes | None, Field(description="What backups may take together; never more than half of the quota.")
    ] = None
    health_kept_s: Annotated[
        int | None, Field(ge=86_400, le=3650 * 86_400, description="How long events of devices are kept.")
    ] = None
    monitoring: Annotated[
        MonitoringIn | None, Field(description="What devices with an agent tell of their telemetry, as a whole.")
    ] = None
    diagnostics: Annotated[bool | None, Field(description="Whether devices may be asked for their diagnostics.")] = None
    commands: Annotated[
        bool | None, Field(description="Whether they may be asked for commands, reboots, backups to put back.")
    ] = None
    zone: Annotated[ZoneText | None, Field(description="The time zone of devices whose own is not known (IANA).")] = (
        None
    )

    four_eyes: Annotated[
        bool | None,
        Field(description="Whether every rollout waits for approval by somebody else than who planned it."),
    ] = None

    def parsed(self) -> Change:
        """As the service takes it."""
        return Change(
            polling=None if self.polling_s is None else timedelta(seconds=self.polling_s),
            health_kept=None if self.health_kept_s is None else timedelta(seconds=self.health_kept_s),
            monitoring=None if self.monitoring is None else self.monitoring.parsed(),
            **self.model_dump(exclude={"polling_s", "health_kept_s", "monitoring"}),
        )


class TenantIn(Body):
    """What to change of the tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"settings": {"polling_s": 60}}]})

    settings: SettingsIn


class HaltIn(Body):
    """Why everything stops."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "devices of lot 7 do not come back"}]})

    reason: Annotated[str, Field(max_length=4096, description="Made one line of at most 500 characters.")] = ""


class SettingsOut(Out):
    """What a tenant decides for itself."""

    polling_s: int
    self_registration: bool
    gateway_token: Annotated[bool, Field(description="Whether there is one; it is shown once, when it is made.")]
    download_anonymous: bool
    chunk_parts: dict[str, str]
    several: list[str]
    max_artifact: int
    quota: int
    backups: bool
    backup_quota: int
    health_kept_s: int
    monitoring: MonitoringOut
    diagnostics: bool
    commands: bool
    group_monitoring: Annotated[
        list[GroupMonitoringOut], Field(description="What is said of groups, which comes before these three.")
    ]
    zone: str
    four_eyes: bool


class TenantOut(Out):
    """The tenant."""

    id: str
    halted: bool
    halt_reason: str
    settings: SettingsOut
    used: Annotated[int, Field(description="Bytes that count against the quota.")]
    backups_used: Annotated[int, Field(description="Bytes of that which are backups of devices.")]
    edition: int

    @classmethod
    def of(cls, seen: Seen) -> "TenantOut":
        """As it is stored."""
        tenant, settings = seen.tenant, seen.tenant.settings
        return cls(
            id=tenant.id,
            halted=tenant.halted,
            halt_reason=tenant.halt_reason,
            settings=SettingsOut(
                polling_s=int(settings.polling.total_seconds()),
                self_registration=settings.self_registration,
                gateway_token=settings.gateway_token_hash is not None,
                download_anonymous=settings.download_anonymous,
                chunk_parts=settings.chunk_parts,
                several=list(settings.several),
                max_artifact=settings.max_artifact,
                quota=settings.quota,
                backups=settings.backups,
                backup_quota=settings.backup_quota,
                health_kept_s=int(settings.health_kept.total_seconds()),
                monitoring=MonitoringOut.of(settings.monitoring),
                diagnostics=settings.diagnostics,
                commands=settings.commands,
                group_monitoring=[GroupMonitoringOut.of(one) for one in settings.group_monitoring],
                zone=settings.zone,
                four_eyes=settings.four_eyes,
            ),
            used=seen.used,
            backups_used=seen.backups,
            edition=tenant.edition,
        )


class GatewayToken(Out):
    """A new gateway token, which is shown once."""

    token: str
