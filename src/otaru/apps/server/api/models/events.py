"""What happened, as the API shows it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from otaru.apps.server.api.models.fields import Out
from otaru.ports.store import Recorded


class EventOut(Out):
    """One thing that happened."""

    id: Annotated[str, Field(description="Its position: `after` and `Last-Event-ID` take it.", examples=["0-42"])]
    at: datetime
    actor: Annotated[str, Field(examples=["user:ci"])]
    kind: Annotated[str, Field(examples=["rollout.moved"])]
    subject: Annotated[str, Field(description="What it happened to.", examples=["7"])]
    data: dict[str, Any]

    @classmethod
    def of(cls, recorded: Recorded) -> "EventOut":
        """As it was recorded."""
        what = recorded.what
        return cls(
            id=str(recorded.at),
            at=what.at,
            actor=what.actor,
            kind=what.kind,
            subject=what.subject,
            data=dict(what.data),
        )
