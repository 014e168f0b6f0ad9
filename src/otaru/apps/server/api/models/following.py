"""Groups that follow channels, as the API shows and takes them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from otaru.apps.server.api.models.fields import ChannelText, Name, Out
from otaru.apps.server.api.models.plans import PreviewOut
from otaru.apps.server.api.models.rollouts import PolicyIn, PolicyOut
from otaru.domain.following import Stream
from otaru.domain.group import group_name
from otaru.domain.ids import product_name
from otaru.domain.rollout import Growth, RolloutState, Shape
from otaru.domain.terms import channel
from otaru.services.control.following import Kept, Proposed, Wanted

_EXAMPLE: dict[str, Any] = {
    "product": "app",
    "channel": "stable",
    "waves": ["2", "10", "100%"],
    "observe_s": 600,
    "on_error": "stop",
}


class FollowIn(PolicyIn):
    """A channel for a group to follow, and how the rollouts of its releases go about it; devices join them later, too."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    product: Name
    channel: ChannelText

    def parsed(self, group: str) -> Wanted:
        """As the service takes it.

        Raises:
            InvalidInputError: it is to be judged in two ways.
        """
        stream = Stream(group_name(group), product_name(self.product), channel(self.channel))
        return Wanted(stream, self.policy(), self.growth, self.reason)


class GrowthOut(Out):
    """What writes the heights of the waves."""

    shape: Shape
    first: int | None
    factor: float | None

    @classmethod
    def of(cls, growth: Growth) -> "GrowthOut":
        """As it is stored."""
        steep = growth.shape is Shape.EXPONENTIAL
        return cls(shape=growth.shape, first=growth.first if steep else None, factor=growth.factor if steep else None)


class LastOut(Out):
    """The rollout that a standing order made last."""

    id: int
    version: str
    state: RolloutState
    size: int


class FollowOut(Out):
    """A standing order: a group that follows a channel of a product."""

    group: str
    product: str
    channel: str
    policy: PolicyOut
    growth: GrowthOut | None
    reason: str
    newest: Annotated[str | None, Field(description="The newest published version of the channel.")]
    rollout: LastOut | None
    waits: Annotated[str, Field(description="What keeps the newest release from the group; empty where nothing does.")]
    stuck: Annotated[bool, Field(description="Whether a person has to see to that.")]
    created_at: datetime
    updated_at: datetime
    created_by: Annotated[str, Field(description="Who gave it as it stands, as the record names them.")]
    edition: int

    @classmethod
    def of(cls, kept: Kept) -> "FollowOut":
        """As it is stored."""
        order, last = kept.following, kept.last
        return cls(
            group=order.stream.group,
            product=order.stream.product,
            channel=order.stream.channel,
            policy=PolicyOut.of(order.policy),
            growth=None if order.growth is None else GrowthOut.of(order.growth),
            reason=order.reason,
            newest=None if kept.newest is None else kept.newest.version,
            rollout=None
            if last is None
            else LastOut(id=last.id, version=last.version, state=last.state, size=last.size),
            waits=order.waits,
            stuck=order.stuck,
            created_at=order.created_at,
            updated_at=order.updated_at,
            created_by=order.created_by,
            edition=order.edition,
        )


class ProposedOut(Out):
    """What a standing order would do now."""

    newest: Annotated[str | None, Field(description="The newest published version of the channel.")]
    makes: Annotated[bool, Field(description="Whether it would make a rollout of that now.")]
    waits: Annotated[str, Field(description="Why it would not.")]
    supersedes: Annotated[int | None, Field(description="The live rollout whose place that would take.")]
    plan: PreviewOut | None

    @classmethod
    def of(cls, found: Proposed) -> "ProposedOut":
        """As it was found."""
        return cls(
            newest=None if found.newest is None else found.newest.version,
            makes=found.look.make,
            waits=found.look.waits,
            supersedes=found.supersedes,
            plan=PreviewOut.of(found.foresight) if found.look.make and found.foresight is not None else None,
        )
