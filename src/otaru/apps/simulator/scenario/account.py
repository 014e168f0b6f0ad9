"""What became of a scenario: hour by hour, and in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otaru.apps.simulator.scenario.life import ScenarioLife
from otaru.apps.simulator.scenario.script import Scenario
from otaru.domain.deployment import OPEN, State

GOALS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Hour:
    """The rollout at one moment of the story."""

    at_s: float
    state: str
    reason: str
    counts: Mapping[str, int]
    exposed: int
    met: int = 0
    brought_back: int = 0
    held: tuple[str, ...] = ()
    """Segments that are held."""


@dataclass(slots=True)
class Account:
    """Counts of one story; the telling adds to it."""

    scenario: Scenario
    hours: list[Hour] = field(default_factory=list)
    polls: int = 0
    reports: int = 0
    bytes: int = 0
    exposed: int = 0
    """Devices that a bad release harmed, at once or later."""
    met: int = 0
    """Devices of those that a bad release harms, wholly or in part, that took it up."""
    postponed: int = 0
    power_cuts: int = 0
    crashes: int = 0
    """Crashes that devices told of."""
    brought_back: int = 0
    """Devices that a rollback has brought back to what they ran before."""
    troubles: Mapping[str, int] = field(default_factory=dict)
    """Requests that the server or the network refused, by error code."""

    def take(self, lives: Sequence[ScenarioLife]) -> None:
        """Add up what happened to the devices."""
        self.postponed = sum(life.postponed for life in lives)
        self.power_cuts = sum(life.power_cuts for life in lives)
        self.exposed = sum(life.harmed for life in lives)
        self.met = sum(life.met for life in lives)

    def hour(self, at_s: float, state: str, reason: str, counts: Mapping[str, int], held: tuple[str, ...]) -> None:
        """Note how the rollout stands."""
        self.hours.append(Hour(at_s, state, reason, counts, self.exposed, self.met, self.brought_back, held))

    def hours_to(self, share: float) -> float | None:
        """When so many of the devices had the new version, in hours; None where they never had."""
        for hour in self.hours:
            if hour.counts.get(State.SUCCEEDED, 0) >= share * self.scenario.devices:
                return round(hour.at_s / 3600, 2)
        return None

    def marks(self) -> dict[str, float]:
        """What the story turns on, by the hour in which it was first seen."""
        marks: dict[str, float] = {}
        for before, now in zip([None, *self.hours], self.hours, strict=False):
            hour = round(now.at_s / 3600, 2)
            if now.met:
                marks.setdefault("met", hour)
            if now.exposed:
                marks.setdefault("harmed", hour)
            for name in now.held:
                marks.setdefault(f"held: {name}", hour)
            if before is not None and now.brought_back > before.brought_back:
                marks.setdefault("first brought back", hour)
                marks["last brought back"] = hour
            if now.state in {"finished", "stopped"}:
                marks.setdefault(now.state, hour)
        return marks

    @property
    def ended_s(self) -> float:
        """When the story ended."""
        return self.hours[-1].at_s if self.hours else 0.0

    def facts(self) -> dict[str, Any]:
        """As JSON-able facts."""
        last = self.hours[-1] if self.hours else None
        return {
            "devices": self.scenario.devices,
            "seed": self.scenario.seed,
            "hours": round(self.ended_s / 3600, 2),
            "state": last.state if last else "",
            "reason": last.reason if last else "",
            "counts": dict(last.counts) if last else {},
            "exposed": self.exposed,
            "met": self.met,
            "postponed": self.postponed,
            "power_cuts": self.power_cuts,
            "crashes": self.crashes,
            "brought_back": self.brought_back,
            "polls": self.polls,
            "reports": self.reports,
            "bytes": self.bytes,
            "hours_to": {f"{share:.0%}": self.hours_to(share) for share in GOALS},
            "troubles": dict(sorted(self.troubles.items())),
            "marks": self.marks(),
            "timeline": [
                {
                    "hour": round(h.at_s / 3600, 2),
                    "state": h.state,
                    "counts": dict(h.counts),
                    "exposed": h.exposed,
                    "met": h.met,
                    "brought_back": h.brought_back,
                    "held": list(h.held),
                }
                for h in self.hours
            ],
        }

    def line(self) -> str:
        """How it stands, in one line for people."""
        if not self.hours:
            return "nothing has happened yet"
        now = self.hours[-1]
        done, failed = now.counts.get(State.SUCCEEDED, 0), now.counts.get(State.FAILED, 0)
        under_way = sum(now.counts.get(state, 0) for state in OPEN)
        why = f" ({now.reason})" if now.reason else ""
        return (
            f"hour {now.at_s / 3600:.0f}: {now.state}{why}, {done} succeeded, {failed} failed, {under_way} under way, "
            f"{self.exposed} harmed by the release"
            + (f", held: {'; '.join(now.held)}" if now.held else "")
            + (f", {self.brought_back} brought back" if self.brought_back else "")
        )

    def summary(self) -> str:
        """The whole story in a few words for people."""
        reached = [f"{share:.0%} in {hours:g} h" for share in GOALS if (hours := self.hours_to(share)) is not None]
        pace = f" Installed: {', '.join(reached)}." if reached else ""
        return f"{self.scenario.devices} devices, {self.line()}.{pace} {self.polls} polls, {self.reports} reports."
