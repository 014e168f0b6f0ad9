"""What every use case works with."""

from dataclasses import dataclass, field

from otaru.ports.blobs import Blobs
from otaru.ports.bus import Bus
from otaru.ports.clock import Clock
from otaru.ports.differ import Differ
from otaru.ports.director import Director
from otaru.ports.inspector import Inspector
from otaru.ports.judge import Judge
from otaru.ports.notary import Notary
from otaru.ports.registry import Registry
from otaru.ports.signing import Keyring
from otaru.ports.store import Store
from otaru.services.control.looks import Looks


@dataclass(frozen=True, slots=True)
class World:
    """The ports, wired once for a process (`apps/server/wiring.py`)."""

    store: Store
    registry: Registry
    blobs: Blobs
    clock: Clock
    judge: Judge
    bus: Bus
    keyring: Keyring
    notary: Notary
    inspector: Inspector
    director: Director
    differ: Differ
    production: bool = False
    """Whether development keys are refused."""
    looks: Looks = field(default_factory=Looks)
    """What was seen of rollouts that people look at."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, as the record shows it: `user:<label>` or `user:<role> <token>`, `device:<id>`, `judge`, `system`."""

    name: str


SYSTEM = Actor("system")
JUDGE = Actor("judge")
