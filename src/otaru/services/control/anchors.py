"""Whom a tenant trusts to sign images of a format. A change has every such image judged anew, in the background."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.errors import InvalidInputError, NotFoundError, TooLargeError
from otaru.images import keys
from otaru.images.facts import SIGNED, Format
from otaru.ports.store import Anchor, Tx, one
from otaru.services.control.world import Actor, World

MAX_ANCHORS = 16
"""Of a tenant, for one format."""
MAX_PEM = 64 * 1024
_PRIVATE = "PRIVATE KEY-----"


async def page(
    world: World, tenant: TenantId, after: tuple[Format, str] | None = None, limit: int = MAX_ANCHORS * len(SIGNED)
) -> list[Anchor]:
    """A tenant's, by format and id."""
    found = await world.store.glance(lambda tx: tx.anchors.of(tenant))  # they are few
    ordered = sorted(found, key=lambda anchor: (anchor.format, anchor.id))
    return [anchor for anchor in ordered if after is None or (anchor.format, anchor.id) > after][:limit]


async def add(world: World, tenant: TenantId, actor: Actor, form: Format, pem: str) -> Anchor:
    """Trust certificates, of signers or of authorities, or a public key. Added again, it is the one that is there.

    Raises:
        InvalidInputError: it is neither, verifies nothing, or is private; or the format knows no signatures.
        TooLargeError: there are too many already.
    """
    anchor = _parsed(form, pem, world.clock.now())
    return await world.store.write(_add, _Change(tenant, actor, anchor))


async def remove(world: World, tenant: TenantId, actor: Actor, form: Format, anchor: str) -> None:
    """Trust it no more.

    Raises:
        NotFoundError: it is not there.
    """
    await world.store.write(_remove, (tenant, actor, form, anchor, world.clock.now()))


@dataclass(frozen=True, slots=True)
class _Change:
    tenant: TenantId
    actor: Actor
    anchor: Anchor


def _parsed(form: Format, pem: str, now: datetime) -> Anchor:
    if form not in SIGNED:
        raise InvalidInputError(
            f"images of the format {form} have no signatures",
            hint=f"Trust anchors are for {', '.join(sorted(SIGNED))}.",
        )
    if _PRIVATE in pem:
        raise InvalidInputError("this is a private key: it stays where it is", hint="Give its public part.")
    text = pem.strip() + "\n"
    try:
        found = keys.anchors([text.encode()])
        name, ends_at = keys.described(found)
    except keys.ERRORS as error:
        raise InvalidInputError(
            f"this is no trust anchor: {error}", hint="Give certificates or one public key, in PEM."
        ) from None
    return Anchor(form, sha256(text.encode()).hexdigest(), text, name, ends_at, now)


@one
def _add(tx: Tx, asked: _Change) -> Anchor:
    tenant, anchor = asked.tenant, asked.anchor
    there = tx.anchors.of(tenant, anchor.format)
    if known := next((one for one in there if one.id == anchor.id), None):
        return known
    if len(there) >= MAX_ANCHORS:
        raise TooLargeError(f"{anchor.format} has {len(there)} trust anchors already", limit=MAX_ANCHORS)
    tx.anchors.add(tenant, anchor)
    _changed(tx, asked.tenant, asked.actor, Kind.ANCHOR_ADDED, anchor, anchor.created_at)
    return anchor


@one
def _remove(tx: Tx, asked: tuple[TenantId, Actor, Format, str, datetime]) -> None:
    tenant, actor, form, name, now = asked
    known = next((one for one in tx.anchors.of(tenant, form) if one.id == name), None)
    if known is None:
        raise NotFoundError(f"there is no trust anchor {name} for {form}")
    tx.anchors.remove(tenant, form, name)
    _changed(tx, tenant, actor, Kind.ANCHOR_REMOVED, known, now)


def _changed(tx: Tx, tenant: TenantId, actor: Actor, kind: Kind, anchor: Anchor, at: datetime) -> None:
    tx.inspections.expire(tenant, anchor.format)
    data = {"format": str(anchor.format), "name": anchor.name}
    tx.events.add([Happening(tenant, at, actor.name, kind, anchor.id, data)])
