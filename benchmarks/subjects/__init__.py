"""What is measured: servers that are started on free loopback ports with throw-away data, warmed up and stopped.

All of them see the same fleet: the same device ids and tokens, each poll and report with its device's own credential.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load import WORD, Work

TENANT = "DEFAULT"
REPORTERS = 2000
"""So many devices of a fleet report, a wave of a larger one; all of a smaller one."""


class MissingError(Exception):
    """A subject can't run here; the message says why and what to install."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the fleet, as it names itself to every subject."""

    id: str
    token: str

    @property
    def path(self) -> str:
        """Where it polls."""
        return f"/{TENANT}/controller/v1/{self.id}"

    @property
    def authorization(self) -> str:
        """Its DDI credential."""
        return f"TargetToken {self.token}"


def fleet(size: int) -> list[Device]:
    """The first `size` devices."""
    return [Device(f"dev-{n:06}", hashlib.sha256(b"%d" % n).hexdigest()[:32]) for n in range(size)]


def polls(devices: list[Device]) -> Iterator[tuple[str, str, str]]:
    """One poll of each."""
    return (("GET", device.path, device.authorization) for device in devices)


def reports(devices: list[Device], action: str) -> Iterator[tuple[str, str, str]]:
    """One report of each on its action."""
    return (("POST", f"{d.path}/deploymentBase/{action}/feedback", d.authorization) for d in devices)


def proceeding(action: str) -> str:
    """A report in SWUpdate's form, 220 bytes and a bit, with a word that makes it new."""
    status = {
        "result": {"progress": {"cnt": 0, "of": 1}, "finished": "none"},
        "execution": "proceeding",
        "details": [f"Installing update chunk artifacts, step {WORD}."],
    }
    return json.dumps({"id": action, "time": "20261121T080331", "status": status})


class Subject(Protocol):
    """A server under load. Every method blocks; `stop` may be called at any time and more than once."""

    name: str
    settle_s: float
    """How long after a load it may still be busy with it (what it writes behind)."""

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        ...

    def version(self) -> str:
        """What runs, for the report."""
        ...

    def start(self, devices: list[Device]) -> None:
        """Start with these devices registered, each having polled once. Raises MissingError."""
        ...

    def polls(self) -> Work:
        """A poll of each device, with its credential; nothing is due."""
        ...

    def reports(self) -> Work | None:
        """Have the first REPORTERS devices in the middle of an update, their first report behind them; what follows.

        None where it takes no reports.
        """
        ...

    def kept(self) -> int:
        """How many reports are on its disk."""
        ...

    def stop(self) -> None:
        """End it and remove its data."""
        ...
