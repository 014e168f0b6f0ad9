"""Tokens for an hour, given to devices that show their key (`trust.grant`, `trust.possession`).

Each worker signs with a key of its own that lies in its keyring, for 30 days, then with another; all of them know the
public parts from the store, until the last token of a key has ended. What a token opens is decided where it is shown: its
signature says whose it is, the device's credentials say whether that still holds.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from otaru.domain.credential import CredentialKind
from otaru.domain.device import Lifecycle
from otaru.domain.ids import DeviceId, TenantId
from otaru.errors import DevicePendingError, UnauthenticatedError
from otaru.ports.registry import Entry
from otaru.ports.signing import Signer
from otaru.ports.store import GrantKey, Tx, one
from otaru.services.control import admission
from otaru.services.control.world import World
from otaru.trust.grant import LIFE, Grant, signs, unsigned, whole
from otaru.trust.pki.certificates import PublicKey, fingerprint
from otaru.trust.possession import Proof, for_grant, spent, spent_until, verify

_KEYS = frozenset({CredentialKind.KEY, CredentialKind.CERTIFICATE})
CHALLENGE = 'Bearer realm="otaru"'


@dataclass(frozen=True, slots=True)
class Given:
    """A token with the time that it ends at."""

    token: str
    expires_at: datetime


async def give(world: World, tenant: TenantId, device: DeviceId, public: PublicKey, proof: Proof) -> Given:
    """Give a device a token for an hour. What it signed is good once.

    Raises:
        UnauthenticatedError: there is no such device, or the key is none of its credentials.
        DevicePendingError: nobody has accepted it yet.
        ProofError: it does not show that it has the key, or not anew.
    """
    now, key = world.clock.now(), fingerprint(public)
    settings = await admission.tenant(world, tenant)
    entry = None if settings is None else await admission.device(world, tenant, device)
    if settings is None or entry is None or not holds(entry, key, now):
        # One sentence for all: who guesses learns nothing about what was nearly right.
        raise UnauthenticatedError("this key is no credential of such a device", challenge=CHALLENGE)
    statement = for_grant(tenant, device, proof.time_s, key)
    verify(public, statement, proof, now)
    if entry.subject.lifecycle is Lifecycle.PENDING:
        raise DevicePendingError(
            f"device {device} waits to be accepted", retry_after_s=int(settings.settings.polling.total_seconds())
        )
    asked = (tenant, hashlib.sha256(statement).digest(), spent_until(proof))
    if not await world.store.write(_spend, asked):
        raise spent()
    signer = await _signer(world, tenant)
    grant = Grant(tenant, device, key, now, now + LIFE)
    signed = unsigned(grant, signer.key.keyid)
    return Given(whole(signed, signer.sign(signed)), grant.expires_at)


def holds(entry: Entry, key: bytes, now: datetime) -> bool:
    """Whether a device that may still speak has this key as a credential."""
    if entry.subject.lifecycle is Lifecycle.DECOMMISSIONED:
        return False
    return any(one_of.kind in _KEYS and one_of.digest == key and one_of.good(now) for one_of in entry.credentials)


async def keys(world: World, tenant: TenantId) -> dict[str, GrantKey]:
    """The public keys of a tenant's tokens, by id, the newest first."""
    return {key.id: key for key in await world.store.glance(lambda tx: tx.enrollments.grant_keys(tenant))}


async def _signer(world: World, tenant: TenantId) -> Signer:
    """The newest of the tenant's keys that this worker holds; made where there is none that still signs.

    What it held before is gone then: nobody needs it to open the tokens that it has signed.
    """
    known, now = await keys(world, tenant), world.clock.now()
    held = world.keyring.of(tenant, known)
    for name, key in known.items():
        if name in held and signs(key.created_at, now):
            return held[name]
    signer = world.keyring.make(tenant)
    public = bytes.fromhex(signer.key.keyval["public"])
    await world.store.write(_add_key, (tenant, GrantKey(signer.key.keyid, public, now)))
    for name in held:
        world.keyring.drop(tenant, name)
    return signer


@one
def _spend(tx: Tx, asked: tuple[TenantId, bytes, datetime]) -> bool:
    return tx.enrollments.spend(*asked)


@one
def _add_key(tx: Tx, asked: tuple[TenantId, GrantKey]) -> None:
    tx.enrollments.add_grant_key(*asked)
