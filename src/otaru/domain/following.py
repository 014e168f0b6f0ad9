"""A group follows a channel: a standing order that its devices run the newest release of one of a product's channels.

For each release that becomes the newest published one of the channel, a *standing rollout* is made, which devices that
come to match the group join. At most one of an order is live: the rollout of a newer release supersedes it. What is newer
the product's order of versions says, so an older patch release that comes later supersedes nothing. No device goes back
by an order: who runs something newer is left out, at planning, when joining and at the poll. What was stopped, by its
judge or by a person, is not tried again; the order waits for the next release and says so. Where the newest release is
withdrawn the order falls back on the newest one that is left, for the devices that are behind that one.
"""

from dataclasses import dataclass
from datetime import datetime

from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName
from otaru.domain.release import Release
from otaru.domain.rollout import Follows, Growth, Policy, Rollout, RolloutState, WaveState
from otaru.domain.versions import compare
from otaru.errors import InvalidInputError

MAX_FOLLOWINGS = 1000
"""In a tenant."""
MAX_WAITS = 500
"""Characters of why an order waits."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Which order: a group, and the channel of a product that it follows. There is one of each."""

    group: GroupName
    product: ProductName
    channel: str

    @property
    def follows(self) -> Follows:
        """As its rollouts name it."""
        return Follows(self.group, self.channel)

    def __str__(self) -> str:
        return f"{self.product} {self.channel}"


@dataclass(frozen=True, slots=True)
class Following:
    """A standing order."""

    stream: Stream
    policy: Policy
    """How its rollouts go about it; they are continuous."""
    growth: Growth | None
    """What writes the heights of their waves, in place of those of the policy."""
    reason: str
    """Why, for the record of each rollout."""
    created_at: datetime
    updated_at: datetime
    created_by: str
    """Who gave it, as the record names them: where the tenant wants four eyes, they approve none of its rollouts."""
    edition: int = 1
    waits: str = ""
    """What keeps it from bringing the newest release; empty where nothing does, or nobody has looked yet."""
    stuck: bool = False
    """Whether a person has to see to it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is to become of an order: a rollout of the newest release, or why there is none to make."""

    make: bool
    waits: str = ""
    stuck: bool = False


def check(policy: Policy) -> None:
    """Check what a policy may not say where it stands for releases to come.

    Raises:
        InvalidInputError: it names a moment, or another rollout: that holds for one rollout only.
    """
    if policy.end_at is not None or policy.forced_at is not None or policy.after is not None:
        raise InvalidInputError(
            "a standing order names no moment and no rollout: it makes many",
            hint="Leave out the end, the moment of force and what it comes after.",
        )


def look(stream: Stream, newest: Release | None, last: Rollout | None, tried: Rollout | None) -> Look:
    """What is to become of an order now.

    Args:
        stream: which order it is.
        newest: the newest published release of its channel, in the product's order.
        last: the rollout that the order made last.
        tried: the one that it made last of `newest`.
    """
    if newest is None:
        ends = " Its last rollout goes on." if last is not None and last.is_live else ""
        return Look(make=False, waits=f"nothing of {stream} is published.{ends}")
    if last is not None and last.is_live:
        newer = compare(newest.order, newest.version, last.version)
        return Look(make=True) if newer > 0 else _going(last, is_newest=newer == 0)
    if tried is None or _unharmed(tried):
        return Look(make=True)
    why = f": {tried.reason}" if tried.reason else ""
    said = f"rollout {tried.id} of {tried.product} {tried.version}, the newest, is {tried.state}{why}."
    return Look(make=False, waits=f"{said} It is not made again: the next release is waited for", stuck=True)


def _going(last: Rollout, *, is_newest: bool) -> Look:
    """While a rollout is live that nothing supersedes."""
    if last.state is RolloutState.PAUSED:
        why = f": {last.reason}" if last.reason else ""
        return Look(make=False, waits=f"rollout {last.id} is paused{why}", stuck=True)
    if last.state is RolloutState.AWAITING_APPROVAL:
        return Look(make=False, waits=f"rollout {last.id} waits for approval")
    if not is_newest:
        what = f"{last.product} {last.version} is no longer published"
        return Look(make=False, waits=f"{what}: rollout {last.id} goes on for the members that it has, nobody joins it")
    return Look(make=False)


def _unharmed(rollout: Rollout) -> bool:
    """Whether a rollout finished well, or was superseded before anything spoke against its release."""
    failed = any(wave.state is WaveState.FAILED for wave in rollout.waves)
    ending = rollout.state in {RolloutState.STOPPING, RolloutState.STOPPED}
    return rollout.finished_well or (rollout.superseded_by is not None and not ending and not failed)
