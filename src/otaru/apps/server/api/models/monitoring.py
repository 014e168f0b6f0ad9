"""What is said of monitoring, as the API takes and shows it."""

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import Body, Out
from otaru.domain.errand import Monitoring
from otaru.domain.monitoring import MAX_OFF, MAX_PRIORITY, GroupPolicy, Policy, Settled
from otaru.services.control.monitoring import Change

Item = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127})$")]


class MonitoringIn(Body):
    """What devices tell of their telemetry. What a device's owner says comes before it."""

    period_s: Annotated[
        int | None, Field(ge=60, le=86_400, description="So often it is measured; null: as each device is set.")
    ] = None
    off: Annotated[tuple[Item, ...], Field(max_length=MAX_OFF, description="What is not told; `*`: nothing is.")] = ()

    def parsed(self) -> Monitoring:
        """As the service takes it."""
        period = None if self.period_s is None else timedelta(seconds=self.period_s)
        return Monitoring(period, tuple(dict.fromkeys(self.off)))


class MonitoringOut(Out):
    """What devices tell of their telemetry."""

    period_s: int | None
    off: list[str]

    @classmethod
    def of(cls, said: Monitoring) -> "MonitoringOut":
        """As it is kept."""
        return cls(period_s=_seconds(said.period), off=list(said.off))


class GroupMonitoringIn(Body):
    """What is said of a group's devices; what is left out or null stays as it was said."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"period_s": 3600, "off": ["signal"], "commands": False}]}
    )

    period_s: Annotated[int | None, Field(ge=60, le=86_400, description="So often it is measured.")] = None
    off: Annotated[
        tuple[Item, ...] | None, Field(max_length=MAX_OFF, description="What is not told; `*`: nothing is.")
    ] = None
    diagnostics: Annotated[bool | None, Field(description="Whether they may be asked for their diagnostics.")] = None
    commands: Annotated[
        bool | None, Field(description="Whether they may be asked for commands, reboots, backups to put back.")
    ] = None
    priority: Annotated[
        int | None, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="The higher comes first; 0 without one.")
    ] = None

    def parsed(self) -> Change:
        """As the service takes it."""
        period = None if self.period_s is None else timedelta(seconds=self.period_s)
        return Change(Policy(period, self.off, self.diagnostics, self.commands), self.priority)


class GroupMonitoringOut(Out):
    """What is said of a group's devices; null: nothing is, of this."""

    group: str
    period_s: int | None
    off: list[str] | None
    diagnostics: bool | None
    commands: bool | None
    priority: int

    @classmethod
    def of(cls, policy: GroupPolicy) -> "GroupMonitoringOut":
        """As it is kept."""
        says = policy.says
        return cls(
            group=policy.group,
            period_s=_seconds(says.period),
            off=None if says.off is None else list(says.off),
            diagnostics=says.diagnostics,
            commands=says.commands,
            priority=policy.priority,
        )


class SettledOut(Out):
    """What counts for a device of all that is said."""

    period_s: Annotated[int | None, Field(description="null: as the device is set.")]
    off: list[str]
    diagnostics: bool
    commands: bool
    said_by: Annotated[dict[str, str], Field(description="Which group says it; of what is not named, the tenant.")]

    @classmethod
    def of(cls, found: Settled) -> "SettledOut":
        """As it is settled."""
        named = {("period_s" if name == "period" else name): group for name, group in found.said_by.items()}
        return cls(
            period_s=_seconds(found.monitoring.period),
            off=list(found.monitoring.off),
            diagnostics=found.diagnostics,
            commands=found.commands,
            said_by=dict(named),
        )


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
