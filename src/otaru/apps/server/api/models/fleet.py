"""The fleet, as the API shows it."""

from collections import Counter
from datetime import datetime
from typing import Annotated

from pydantic import Field

from otaru.apps.server.api.models.fields import Out
from otaru.services.control.fleet import History, Summary


class RunningOut(Out):
    """A version of a component, and how many devices run it."""

    component: str
    version: str
    devices: int


class FleetOut(Out):
    """All devices that are not decommissioned, counted. Their sets overlap where that is said."""

    devices: int
    lifecycles: Annotated[dict[str, int], Field(examples=[{"active": 12101, "pending": 12}])]
    healthy: Annotated[
        int, Field(description="Active and heard of, last update not failed, waiting for nobody; or silent.")
    ]
    waiting: Annotated[int, Field(description="To be accepted, or for their owner's consent.")]
    awaiting_consent: int
    failed: Annotated[int, Field(description="Their last word on an update was a failure.")]
    silent: Annotated[int, Field(description="Not heard of for 7 days (to the hour), whatever else they are.")]
    never_heard: int
    versions: Annotated[list[RunningOut], Field(description="What runs, the most frequent first.")]
    rollouts: Annotated[dict[str, int], Field(description="Active ones by state.", examples=[{"running": 2}])]

    @classmethod
    def of(cls, summary: Summary) -> "FleetOut":
        """As it was counted."""
        counts = summary.counts
        frequent = sorted(counts.versions.items(), key=lambda item: (-item[1], item[0]))
        return cls(
            devices=counts.devices,
            lifecycles={str(lifecycle): n for lifecycle, n in sorted(counts.lifecycles.items())},
            healthy=summary.healthy,
            waiting=summary.waiting,
            awaiting_consent=summary.awaiting,
            failed=counts.failed,
            silent=counts.silent,
            never_heard=summary.unheard,
            versions=[RunningOut(component=name, version=v, devices=n) for (name, v), n in frequent],
            rollouts=dict(Counter(str(standing.rollout.state) for standing in summary.active)),
        )


class VersionOut(Out):
    """How many devices ran a version, at each of the times."""

    component: str
    version: str
    devices: list[int]


class HistoryOut(Out):
    """What ran when."""

    times: list[datetime]
    versions: list[VersionOut]

    @classmethod
    def of(cls, history: History) -> "HistoryOut":
        """As it was counted."""
        versions = [
            VersionOut(component=name, version=version, devices=list(devices))
            for (name, version), devices in sorted(history.versions.items())
        ]
        return cls(times=list(history.times), versions=versions)
