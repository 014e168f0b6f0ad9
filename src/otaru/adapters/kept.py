"""Registry entries as they are kept: a million of them, so what is alike is shared, and shares in rollouts are packed.

A device in no rollout, which polls come from most, is kept as it is asked for. One that has a share in a rollout, and
with each larger rollout that is most of a fleet, would be twice that size: it is packed, and unpacked when it polls.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from otaru.domain.deployment import State
from otaru.domain.ids import ActionId, DeviceId, RolloutId
from otaru.domain.offer import Membership, Subject
from otaru.ports.registry import Entry, KeyedEntry

_STATES = tuple(State)
_NUMBERS = {state: number for number, state in enumerate(_STATES)}
_SHARE = struct.Struct("<IIBHHIIB")
"""rollout, attempt, state, segment, wave, rank, action, order_cancel; as wide as their columns."""
_NOBODY = DeviceId("")


@dataclass(frozen=True, slots=True)
class Plain(Entry):
    """An entry that knows its age; one object, since there are millions."""

    tick: int

    def entry(self, device: DeviceId) -> Entry:
        """The entry."""
        del device
        return self


@dataclass(frozen=True, slots=True)
class Keyed(KeyedEntry):
    """As `Plain`, of a device that has credentials beside its token, or verifies the director."""

    tick: int

    def entry(self, device: DeviceId) -> Entry:
        """The entry."""
        del device
        return self


@dataclass(frozen=True, slots=True)
class Packed:
    """An entry with shares in rollouts."""

    alike: Entry
    """What it has in common with others: all but id, token and shares."""
    own: bytes
    """The length of its token's hash, the hash, its shares."""
    tick: int

    def entry(self, device: DeviceId) -> Entry:
        """The entry, made anew."""
        alike, end = self.alike, self.own[0] + 1
        known = alike.subject
        memberships = tuple(map(_membership, _SHARE.iter_unpack(self.own[end:])))
        subject = Subject(
            device,
            known.lifecycle,
            known.hardware,
            known.installed,
            known.auto_confirm,
            memberships,
            known.counters,
            known.permits,
            known.zone,
            pins=known.pins,
        )
        told = (
            subject,
            self.own[1:end],
            alike.attributes_requested,
            alike.auto_confirm,
            alike.last_installed_action,
        )
        return KeyedEntry(*told, (), verifies=True) if alike.verifies else Entry(*told)


Kept = Plain | Keyed | Packed


def keep(entry: Entry, tick: int, shared: Callable[[Any], Any]) -> Kept:
    """An entry as it is kept from `tick` on; `shared` gives the first object that equals its argument."""
    subject = entry.subject
    if not subject.memberships or entry.credentials:
        told = (
            replace(subject, hardware=shared(subject.hardware), installed=shared(subject.installed)),
            entry.token_hash,
            entry.attributes_requested,
            entry.auto_confirm,
            entry.last_installed_action,
        )
        if not entry.credentials and not entry.verifies:
            return Plain(*told, tick)
        # Devices share few issuers and labels.
        keys = (replace(one, issuer=shared(one.issuer), label=shared(one.label)) for one in entry.credentials)
        return Keyed(*told, tuple(keys), entry.verifies, tick)
    alike = shared(replace(entry, subject=replace(subject, id=_NOBODY, memberships=()), token_hash=b""))
    shares = (_SHARE.pack(*_numbers(membership)) for membership in subject.memberships)
    return Packed(alike, b"".join((bytes([len(entry.token_hash)]), entry.token_hash, *shares)), tick)


def _numbers(share: Membership) -> tuple[int, ...]:
    return (
        share.rollout,
        share.attempt,
        _NUMBERS[share.state],
        share.segment,
        share.wave,
        share.rank,
        share.action,
        share.order_cancel,
    )


def _membership(numbers: tuple[int, ...]) -> Membership:
    rollout, attempt, state, segment, wave, rank, action, order_cancel = numbers
    return Membership(
        RolloutId(rollout), attempt, _STATES[state], segment, wave, rank, ActionId(action), bool(order_cancel)
    )
