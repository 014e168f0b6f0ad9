"""The fleet as a whole: how many devices are what. Decommissioned devices count nowhere but in their own number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.ids import Version
from otaru.domain.targeting import quoted

Component = tuple[str, Version]
"""A component's name and the version that runs in it."""

Runs = tuple[Hardware, Version]
"""A device's hardware and the version that runs in one of its components."""

SILENCE = timedelta(days=7)
"""A device that nobody heard of for so long is silent."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Devices counted."""

    lifecycles: Mapping[Lifecycle, int]
    versions: Mapping[Component, int]
    failed: int
    """Devices whose last word on an update was a failure: no newer deployment of theirs is open or ended better."""
    aside: int
    """Devices that are pending or quarantined, and failed or wait for their owner besides."""
    unheard_aside: int
    """Devices that are pending or quarantined, and have never been heard of."""
    heard: int
    """Devices that have been heard of at all."""
    silent: int
    """Those of them whose last contact is older than was asked for, to the hour."""

    @property
    def devices(self) -> int:
        """All but the decommissioned."""
        return sum(n for lifecycle, n in self.lifecycles.items() if lifecycle is not Lifecycle.DECOMMISSIONED)


# The lists behind the numbers, as targets: who is counted there is who is meant here.
TO_ACCEPT = f"lifecycle=={Lifecycle.PENDING}"
QUARANTINED = f"lifecycle=={Lifecycle.QUARANTINED}"
IN_SERVICE = f"lifecycle!={Lifecycle.DECOMMISSIONED}"
FAILED = "state==failed"
AWAITING = "state==waiting"
WAITING = f"{TO_ACCEPT},{AWAITING}"
HEALTHY = f"lifecycle=={Lifecycle.ACTIVE};state=out=(failed,waiting);last_contact=null=false"
UNHEARD = f"last_contact=null=true;{IN_SERVICE}"


def silent(now: datetime) -> str:
    """Who is silent, counted to the hour."""
    return f"last_contact=lt={now.astimezone(UTC) - SILENCE:%Y-%m-%dT%H:00Z};{IN_SERVICE}"


def running(component: str, version: str) -> str:
    """Who runs a version."""
    return f"installed.{component}=={quoted(version)};{IN_SERVICE}"


def running_others(component: str, versions: Iterable[str]) -> str:
    """Who runs another version of a component than these."""
    return f"installed.{component}=out=({','.join(map(quoted, versions))});{IN_SERVICE}"


@dataclass(frozen=True, slots=True)
class Move:
    """So many devices more (or fewer) ran a version after an hour than before it."""

    hour: datetime
    component: Component
    devices: int


def history(
    now: Mapping[Component, int], moves: Sequence[Move], times: Sequence[datetime]
) -> dict[Component, list[int]]:
    """How many devices ran each version at each of `times` (rising, none before the moves that are known).

    Told backwards from what runs now: a time stands for the end of its hour.
    """
    found = {component: [0] * len(times) for component in (now.keys() | {m.component for m in moves})}
    left = sorted(moves, key=lambda move: move.hour)
    present = dict(now)
    for index in reversed(range(len(times))):
        while left and left[-1].hour > times[index]:
            move = left.pop()
            present[move.component] = present.get(move.component, 0) - move.devices
        for component, devices in present.items():
            found[component][index] = max(devices, 0)
    return found
