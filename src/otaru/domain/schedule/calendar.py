"""What a tenant says of times, for all of its rollouts."""

from dataclasses import dataclass

from otaru.domain.schedule.window import Window


@dataclass(frozen=True, slots=True)
class Calendar:
    """The zone of devices whose own is not known."""

    zone: str = "UTC"

    def seen_from(self, window: Window, own: str) -> Window:
        """A window as it is for a device that says it is in the zone `own` (empty: it says none that is known)."""
        return window.within(own, self.zone)
