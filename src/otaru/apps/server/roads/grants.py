"""Tokens for an hour as requests show them: `Authorization: Bearer …`.

A token is verified once and then remembered until it ends, so that a poll costs no signature. Whether it still opens
anything is asked each time: the device has to have the key that it was given for as a credential, now, and that key must
not have been revoked.
"""

from collections import OrderedDict
from hashlib import sha256

from otaru.domain.ids import TenantId
from otaru.ports.registry import Entry
from otaru.services.control import admission, grants
from otaru.services.control.world import World
from otaru.trust.grant import MAX_GRANT, Grant, opened, taken_apart

MAX_KNOWN = 65_536
"""Tokens remembered as verified, some 500 bytes each."""


def _token(authorization: bytes) -> bytes | None:
    """The token that a request shows, as far as it may be one."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" and len(token) <= MAX_GRANT else None


class Grants:
    """The tokens that a road has seen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: OrderedDict[bytes, Grant] = OrderedDict()

    async def opens(self, tenant: TenantId, entry: Entry, authorization: bytes) -> bool:
        """Whether a request's credential is a token that a device may be served by."""
        grant = await self.shown(tenant, authorization)
        if grant is None or not self._is_of(grant, entry):
            return False
        return not await admission.is_denied(self._world, tenant, grant.key)

    def opens_at_once(self, tenant: TenantId, entry: Entry, authorization: bytes) -> bool:
        """As `opens`, where memory has all that it asks: nearly every request but a token's first. False says nothing."""
        token = _token(authorization)
        grant = None if token is None else self._remembered(tenant, sha256(token).digest())
        if grant is None or not self._is_of(grant, entry):
            return False
        return self._world.registry.known_denied(tenant, grant.key) is False

    async def shown(self, tenant: TenantId, authorization: bytes) -> Grant | None:
        """What the token says that a request shows; None where it shows none that is a tenant's and good now."""
        token = _token(authorization)
        if token is None:
            return None
        digest = sha256(token).digest()
        if (known := self._remembered(tenant, digest)) is not None:
            return known
        grant = await self._verified(tenant, token)
        if grant is None or self._world.clock.now() >= grant.expires_at:
            return None
        self._known[digest] = grant
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return grant

    def _remembered(self, tenant: TenantId, digest: bytes) -> Grant | None:
        grant = self._known.get(digest)
        if grant is None or grant.tenant != tenant:
            return None
        if self._world.clock.now() >= grant.expires_at:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)  # the newest is last
        return grant

    def _is_of(self, grant: Grant, entry: Entry) -> bool:
        return grant.device == entry.subject.id and grants.holds(entry, grant.key, self._world.clock.now())

    async def _verified(self, tenant: TenantId, token: bytes) -> Grant | None:
        sealed = taken_apart(token)
        if sealed is None:
            return None
        by = (await grants.keys(self._world, tenant)).get(sealed.signer)
        return None if by is None else opened(sealed, by.public, by.created_at, tenant)
