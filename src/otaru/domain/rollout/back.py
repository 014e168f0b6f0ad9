"""The way back: where devices that took a bad release are brought, and what forbids it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otaru.domain.ids import RolloutId, Version
from otaru.domain.release import Release, ReleaseState
from otaru.domain.rollout.machine import RolloutState
from otaru.domain.rollout.plan import Rollout
from otaru.domain.rollout.policy import DEFAULT_RULE, MAX_PRIORITY, Policy, Share
from otaru.domain.rollout.segment import canaries
from otaru.errors import InvalidStateError

_ROLLED_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})
_TAKEN = frozenset(
    {RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.STOPPING, RolloutState.STOPPED, RolloutState.FINISHED}
)
LEFT_OUT = ("inactive", "misfit", "going back", "security floor")
"""Why a device of a way is left out, in the order in which it is asked."""


@dataclass(frozen=True, slots=True)
class Way:
    """Devices that ran the same version before, and where they can be brought."""

    base: Version | None
    """What they ran before; None where it is not known."""
    devices: int
    """How many of them run the bad release now."""
    barred: str = ""
    """Why none of them can be brought back; empty where some can."""
    left_out: Mapping[str, int] | None = None
    """How many cannot, by reason."""
    rollout: RolloutId | None = None
    """The one that brings them, where it was made."""

    @property
    def members(self) -> int:
        """How many are brought back."""
        return 0 if self.barred else self.devices - sum((self.left_out or {}).values())


def barred(bad: Release, base: Version | None, release: Release | None) -> str:
    """Why nobody goes from a bad release back to `base`, whose release this is; empty where some may.

    What differs from device to device (hardware, counters) is asked of each.
    """
    name = f"{bad.product} {bad.version}"
    if bad.terms.no_way_back:
        return f"{name} declares that nobody goes back from it"
    if base is None:
        return "it is not known what they ran before"
    if release is None:
        return f"there is no release {bad.product} {base}"
    if release.state not in _ROLLED_OUT:
        return f"{release.product} {release.version} is {release.state}"
    component = bad.component
    if set(release.components) != set(bad.components):
        return f"{release.product} {release.version} is not for the same components, but for {', '.join(release.components)}"
    if not release.above_floor(bad.version):
        return f"{release.version} is reached from {component} {release.terms.floor} or newer, not from {bad.version}"
    unmet = next((w for w in release.terms.requires if w.component == component and not w.met_by(bad.version)), None)
    return "" if unmet is None else f"{release.version} requires {unmet}"


def check_back(rollout: Rollout) -> None:
    """Check that a rollout can be rolled back.

    Raises:
        InvalidStateError: it has not begun, or brings devices back itself.
    """
    if rollout.rolls_back is not None:
        raise InvalidStateError(
            f"rollout {rollout.id} brings devices of rollout {rollout.rolls_back} back itself",
            hint="Make a rollout of the release that they are to run.",
        )
    if rollout.state not in _TAKEN:
        raise InvalidStateError(f"rollout {rollout.id} is {rollout.state}: no device has taken anything of it")


def back_policy(bad: Policy, members: int) -> Policy:
    """How devices are brought back: canaries, then all, by the default rule, tried as long as what failed was.

    It asks nobody, does not wait for a window and goes before other rollouts: what they run now is worse.
    """
    first = canaries(members)
    waves = (Share(first, percent=False),) if first < members else ()
    return Policy(
        waves=(*waves, Share(100, percent=True)),
        rule=DEFAULT_RULE,
        priority=MAX_PRIORITY,
        validate=bad.validate,
        validate_events=bad.validate_events,
    )


def told(ways: Iterable[Way]) -> dict[str, int]:
    """Who is left out, of all ways, by reason."""
    found: dict[str, int] = {}
    for way in ways:
        for why, devices in ({way.barred: way.devices} if way.barred else way.left_out or {}).items():
            if devices:
                found[why] = found.get(why, 0) + devices
    return found
