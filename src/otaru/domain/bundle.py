"""A bundle that was exported: which devices' orders lie on a stick, and until when (docs/offline.md)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.domain.ids import ActionId, DeviceId, RolloutId

MAX_DEVICES = 500
"""In one bundle; a stick holds many."""
MOST = timedelta(days=366)
"""How far off a bundle's end may be; what it rests on ends before, as a rule."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle, as the server remembers it."""

    id: str
    rollout: RolloutId
    actor: str
    created_at: datetime
    expires_at: datetime
    devices: int
    digest: str
    """The SHA-256 of what people sign for."""


@dataclass(frozen=True, slots=True)
class Aboard:
    """A device's order in a bundle."""

    device: DeviceId
    action: ActionId
    version: int
    """Of its director metadata."""
