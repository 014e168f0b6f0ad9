"""What the fleet's own history says of a rollout that is planned: how soon devices come, what they install, how it went before."""

from collections.abc import Mapping
from dataclasses import dataclass

from otaru.domain.device import Hardware
from otaru.domain.ids import DeviceId

SPANS_S = tuple(
    [60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 45)]
    + [3600 * hours for hours in (1, 1.5, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 120, 168, 336, 720, 2160, 8760)]
)
"""Since when devices were last heard of is told in these steps, in seconds; who is silent for longer counts as never heard."""
MAX_FIRST = 10
MAX_HARDWARE = 10_000
ROLLOUTS = 20
"""So many of the newest rollouts are looked at for how updates went."""
INSTALLS = 1000


@dataclass(frozen=True, slots=True)
class Outlook:
    """Facts of a snapshot, of the members that a rollout would have."""

    heard: tuple[int, ...]
    """How many were last heard of within each of SPANS_S, but not within the one before."""
    unheard: int
    """How many never were, or not for longer."""
    hardware: Mapping[Hardware, int]
    """How many are of which hardware; at most MAX_HARDWARE kinds."""
    first: tuple[DeviceId, ...]
    """Who comes first: at most MAX_FIRST."""
    installs_s: tuple[float, ...]
    """How long it took in newest rollouts from offer to success, in seconds, rising; at most INSTALLS."""
    succeeded: int
    """Members of newest rollouts that succeeded."""
    failed: int
    """… and that ended in a way that speaks against the release."""

    @property
    def install_s(self) -> float | None:
        """The median from offer to success; None where nothing is known."""
        return self.installs_s[len(self.installs_s) // 2] if self.installs_s else None

    @property
    def failure(self) -> float | None:
        """The share of members that failed before; None where nothing is known."""
        ended = self.succeeded + self.failed
        return self.failed / ended if ended else None
