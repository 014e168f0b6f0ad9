"""The director repository: what one device is to run, said to it alone, in metadata that is made for it.

Each device has targets, snapshot and timestamp of its own, of one version that rises by one each time, under the tenant's
director root. Targets says whose it is (`deviceId`), also when it lists nothing: what was made for one device is nothing
to another. It lists what the image repository lists, word for word, and adds what only a director says (`ONLY`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from otaru.domain.ids import ActionId, DeviceId, RolloutId
from otaru.trust.tuf.metadata import AnyMetadata, Term
from otaru.trust.tuf.names import SNAPSHOT, TARGETS, TIMESTAMP

TERM = Term(timedelta(days=3), timedelta(days=1))
"""How long a device's metadata holds: so long can who takes the server withhold news from it, and so long may the
director's signer be away. A device that asks in the last part of it is given it anew."""

DEVICE = "deviceId"
ONLY = frozenset({"rolloutId", "action", "bundleId", "bundleSize", "notBefore", "allowDowngradeTo"})
"""What of a target's custom is the director's alone; all else has to be equal to the image repository's."""

Sign = Callable[[str, AnyMetadata], AnyMetadata]
"""Signs metadata of a role with the director's keys."""

_COMPACT = JSONSerializer(compact=True)


@dataclass(frozen=True, slots=True)
class Share:
    """What a device has been told to do: its part in a rollout, in this attempt, under this number."""

    rollout: RolloutId
    attempt: int
    action: ActionId


@dataclass(frozen=True, slots=True)
class Issued:
    """A device's metadata, byte by byte as it was signed."""

    version: int
    root: int
    """The version of the director root whose keys have signed."""
    share: Share | None
    """What it directs the device to; None: to nothing."""
    permit: bytes
    """The digest of the downgrade permissions that were in force (`in_force`)."""
    targets: bytes
    snapshot: bytes
    timestamp: bytes
    signed_at: datetime
    expires_at: datetime

    def due(self, now: datetime) -> bool:
        """Whether it ends soon, or has ended."""
        return self.expires_at - TERM.renew <= now


@dataclass(frozen=True, slots=True)
class KeptPermit:
    """A permission to downgrade as it was brought, and what of it rules ask."""

    component: str
    counter: int
    expires_at: datetime
    content: bytes


def in_force(permits: Iterable[KeptPermit], now: datetime) -> bytes:
    """The digest of a device's permissions that have not expired; empty where there are none."""
    held = [one.content for one in permits if one.expires_at > now]
    return sha256(b"".join(sha256(content).digest() for content in held)).digest() if held else b""


def directed(file: TargetFile, share: Share, permit: Mapping[str, Any] | None, pieces: int = 1) -> TargetFile:
    """A target of the image repository, as the director lists it for a device: one of so many of which all or none is due."""
    custom = {
        **(file.custom or {}),
        "rolloutId": share.rollout,
        "action": share.action,
        "bundleId": f"{share.rollout}/{share.attempt}",
        "bundleSize": pieces,
    }
    if permit is not None:
        custom["allowDowngradeTo"] = permit
    return TargetFile(file.length, dict(file.hashes), file.path, {"custom": custom})


def issue(
    device: DeviceId,
    version: int,
    files: Mapping[str, TargetFile],
    sign: Sign,
    now: datetime,
) -> tuple[bytes, bytes, bytes, datetime]:
    """A device's targets, snapshot and timestamp of one version, signed, and when they end."""
    ends = now.replace(microsecond=0) + TERM.lifetime
    listed = Targets(version, None, ends, dict(files), unrecognized_fields={DEVICE: device})
    targets = _bytes(sign(TARGETS, Metadata(listed)))
    of_targets = {f"{TARGETS}.json": _file(version, targets)}
    snapshot = _bytes(sign(SNAPSHOT, Metadata(Snapshot(version, None, ends, of_targets))))
    timestamp = _bytes(sign(TIMESTAMP, Metadata(Timestamp(version, None, ends, _file(version, snapshot)))))
    return targets, snapshot, timestamp, ends


def _bytes(found: AnyMetadata) -> bytes:
    return found.to_bytes(_COMPACT)


def _file(version: int, content: bytes) -> MetaFile:
    return MetaFile(version, len(content), {"sha256": sha256(content).hexdigest()})
