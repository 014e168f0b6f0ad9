"""What happened: the append-only record that every state change leaves, in the same transaction.

The same record feeds three readers (docs/adr/0002): people (history, the event stream), the registries of all workers
(what to forget), and later the outbox of webhooks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from otaru.domain.ids import TenantId


class Kind(StrEnum):
    """What an event says; the part before the dot is the kind of its subject."""

    TENANT_CREATED = "tenant.created"
    TENANT_CHANGED = "tenant.changed"
    TENANT_HALTED = "tenant.halted"
    TENANT_LIFTED = "tenant.lifted"
    TENANT_BLACKOUT = "tenant.blackout"
    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    DEVICE_ADDED = "device.added"
    DEVICE_CHANGED = "device.changed"
    DEVICE_CREDENTIAL = "device.credential"
    DEVICE_LIFECYCLE = "device.lifecycle"
    DEVICE_PERMITTED = "device.permitted"
    DEVICE_RECEIPT = "device.receipt"
    DEVICE_ATTRIBUTES = "device.attributes"
    DEVICE_DISPUTED = "device.disputed"
    DEVICE_DOUBLED = "device.doubled"
    DEVICE_ERRAND = "device.errand"
    DEVICE_BACKUP = "device.backup"
    GROUP_CREATED = "group.created"
    GROUP_CHANGED = "group.changed"
    GROUP_DELETED = "group.deleted"
    GROUP_FOLLOWED = "group.followed"
    GROUP_UNFOLLOWED = "group.unfollowed"
    GROUP_WAITS = "group.waits"
    ALERT_ADDED = "alert.added"
    ALERT_REMOVED = "alert.removed"
    ALERT_RAISED = "alert.raised"
    ALERT_CLOSED = "alert.closed"
    DEPLOYMENT_MOVED = "deployment.moved"
    PRODUCT_CHANGED = "product.changed"
    RELEASE_CREATED = "release.created"
    RELEASE_MOVED = "release.moved"
    DELTA_ORDERED = "delta.ordered"
    DELTA_ENDED = "delta.ended"
    ROLLOUT_CREATED = "rollout.created"
    ROLLOUT_MOVED = "rollout.moved"
    ROLLOUT_WAVE = "rollout.wave"
    ROLLOUT_INSTALL = "rollout.install"
    ROLLOUT_SEGMENT = "rollout.segment"
    ROLLOUT_RETRIED = "rollout.retried"
    ROLLOUT_EXPORTED = "rollout.exported"
    ROLLOUT_JOINED = "rollout.joined"
    ROLLOUT_BACK = "rollout.back"
    LOG_ERASED = "log.erased"
    LOG_SPLIT = "log.split"
    METADATA_SIGNED = "metadata.signed"
    KEY_ADDED = "key.added"
    KEY_REVOKED = "key.revoked"
    ANCHOR_ADDED = "anchor.added"
    ANCHOR_REMOVED = "anchor.removed"
    AUTHORITY_ADDED = "authority.added"
    AUTHORITY_RETIRED = "authority.retired"
    ENROLLMENT_CREATED = "enrollment.created"
    ENROLLMENT_CHANGED = "enrollment.changed"
    ENROLLMENT_REVOKED = "enrollment.revoked"


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    `subject` is the key of what it happened to: a device id, a rollout's number, ….
    `actor` is `user:<token label>` (`user:<role> <token id>` without a label), `device:<id>`, `judge` or `system`.
    """

    tenant: TenantId
    at: datetime
    actor: str
    kind: Kind
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the record. Positions compare in the order in which readers see what happened."""

    transaction: int
    sequence: int

    @property
    def key(self) -> int:
        """What tells the commits of one database apart: the transaction, or the sequence where it is 0."""
        return self.transaction or self.sequence

    def __str__(self) -> str:
        return f"{self.transaction}-{self.sequence}"


START = Position(0, 0)
_MAX_PART = 2**63 - 1
"""What a store can keep, and so compare with: a signed number of 64 bits."""


def position(text: str) -> Position:
    """Parse a position as `str` writes it.

    Raises:
        ValueError: it is not one.
    """
    transaction, _, sequence = text.partition("-")
    if not (text.isascii() and transaction.isdigit() and sequence.isdigit() and len(text) <= 40):
        raise ValueError(f"{text!r} is not a position in the event stream")
    place = Position(int(transaction), int(sequence))
    if max(place.transaction, place.sequence) > _MAX_PART:
        raise ValueError(f"{text!r} lies beyond the end of any event stream")
    return place
