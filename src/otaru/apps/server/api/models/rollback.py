"""The way back of a rollout's devices, as the API shows it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from otaru.apps.server.api.models.fields import Out
from otaru.domain.rollout import Way, told
from otaru.services.control.rollback import brought


class WayOut(Out):
    """Devices that ran the same version before."""

    version: Annotated[str | None, Field(description="What they ran before; null where it is not known.")]
    devices: Annotated[int, Field(description="How many of them run the bad release now.")]
    members: Annotated[int, Field(description="How many are brought back.")]
    why_not: Annotated[str, Field(description="Why nobody is; empty where some are.")]
    left_out: Annotated[dict[str, int], Field(description="How many are left out, by reason.")]
    rollout: Annotated[int | None, Field(description="The rollout that brings them back, where it was made.")]


class BackOut(Out):
    """Who is brought back, and where; who is not, and why."""

    members: Annotated[int, Field(description="How many devices are brought back.")]
    left_out: Annotated[dict[str, int], Field(description="How many are left out, by reason.")]
    ways: list[WayOut]

    @classmethod
    def of(cls, ways: Sequence[Way]) -> "BackOut":
        """As the service says it."""
        each = [
            WayOut(
                version=way.base,
                devices=way.devices,
                members=way.members,
                why_not=way.barred,
                left_out=dict(way.left_out or {}),
                rollout=way.rollout,
            )
            for way in ways
        ]
        return cls(members=brought(ways), left_out=told(ways), ways=each)
