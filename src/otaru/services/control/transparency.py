"""The transparency log: entries get their place, tiles grow, heads are signed; what the log's readers are served.

The entries themselves come with what they record (`Events.add`). Integration is three steps, each of which may be
repeated after a crash:

1. one transaction gives waiting entries their places and writes the tiles that they make;
2. the notary signs the new head, if the tree begins with the last one that it signed, and keeps it;
3. one transaction publishes the checkpoint.

A crash after 1 leaves tiles that nobody has signed, one after 2 a head that nobody has seen: the next round signs and
publishes it, or a larger one. Only what a published checkpoint covers is ever served.
"""

import json
from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import datetime

from otaru.domain.events import Happening, Kind
from otaru.domain.ids import TenantId
from otaru.domain.release import ReleaseState
from otaru.errors import AlreadyExistsError, InvalidInputError, NotFoundError, OtaruError, UnavailableError
from otaru.ports.store import Signed, Tree, Tx, one
from otaru.services.control.world import Actor, World
from otaru.trust.log import merkle
from otaru.trust.log.entries import Draft, Log
from otaru.trust.log.merkle import leaf_hash
from otaru.trust.log.notes import MAX_SIGNATURES, NoteError, Verifier, offline_proof, opened, verifier
from otaru.trust.log.tiles import ENTRIES, WIDTH, Read, Tile, bundle, grow, subtrees, tiles

BATCH = 4096
"""Entries of one transaction."""
_LOOKED_AT = 100
"""The newest entries of a release among which its publishing is looked for: it moves a few times in its life."""


async def integrate(world: World) -> int:
    """One round over all logs; how many have a new head. One that cannot go on does not hold up the others.

    Raises:
        OtaruError: what the first that could not go on has met.
    """
    failed: list[OtaruError] = []
    signed = 0
    for tenant, log in await world.store.read(lambda tx: tx.logs.every_unsettled()):
        try:
            while await world.store.write(_place, (tenant, log)) == BATCH:
                pass
            signed += await _sign(world, tenant, log)
        except OtaruError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return signed


@one
def _place(tx: Tx, named: tuple[TenantId, Log]) -> int:
    tenant, log = named
    size = tx.logs.tree(tenant, log).size
    edge = {tile.level: tx.logs.tile(tenant, log, tile) for tile in tiles(size)}
    entries = tx.logs.place_waiting(tenant, log, BATCH)
    try:
        made = grow(size, edge, [leaf_hash(entry) for entry in entries])
    except ValueError as error:
        raise UnavailableError(f"the {log} log of {tenant} is damaged: {error}", hint="See docs/log.md.") from None
    tx.logs.put(tenant, log, made)
    return len(entries)


async def _sign(world: World, tenant: TenantId, log: Log) -> bool:
    tree = await world.store.read(lambda tx: tx.logs.tree(tenant, log))
    if tree.verifier is None:
        ours = str(await world.notary.make(tenant, log))
        named = await world.store.write(_name, (tenant, log, ours))
    else:
        found = await world.notary.held(tenant, log)
        ours, named = str(found) if found else "", tree.verifier
    if ours != named or tree.signed == tree.size:
        return False  # another worker has its key
    last = await world.notary.last(tenant, log)
    old = 0 if last is None else min(last.size, tree.size)

    def head(tx: Tx) -> tuple[bytes, list[bytes]]:
        subtree = subtrees(tree.size, reading(tx, tenant, log))
        return merkle.root(tree.size, subtree), merkle.consistency(old, tree.size, subtree) if old else []

    try:
        root, proof = await world.store.read(head)
    except ValueError as error:
        raise UnavailableError(f"the {log} log of {tenant} is damaged: {error}", hint="See docs/log.md.") from None
    note = await world.notary.sign(tenant, log, tree.size, root, proof)
    await world.store.write(_publish, (tenant, log, Signed(tree.size, note, world.clock.now())))
    return True


@one
def _name(tx: Tx, named: tuple[TenantId, Log, str]) -> str:
    tenant, log, ours = named
    tx.logs.name(tenant, log, ours)
    return tx.logs.tree(tenant, log).verifier or ""


@one
def _publish(tx: Tx, published: tuple[TenantId, Log, Signed]) -> None:
    tenant, log, checkpoint = published
    if tx.logs.tree(tenant, log).signed < checkpoint.size:
        tx.logs.publish(tenant, log, checkpoint)


def reading(tx: Tx, tenant: TenantId, log: Log) -> Read:
    """How the hashes of a log are read, within a transaction."""
    return lambda tile: tx.logs.tile(tenant, log, tile)


@dataclass(frozen=True, slots=True)
class State:
    """A log as it stands: None where nobody has signed a head yet."""

    log: Log
    tree: Tree
    newest: Signed | None
    witnessed: Signed | None
    """The newest head that a witness has signed too."""


async def state(world: World, tenant: TenantId, log: Log) -> State:
    """How far a log has come, and its heads."""
    return await world.store.read(lambda tx: state_in(tx, tenant, log))


def state_in(tx: Tx, tenant: TenantId, log: Log) -> State:
    """As `state`, within a transaction."""
    heads = tx.logs.checkpoints(tenant, log)
    witnessed = next((head for head in heads if head.witnessed), None)
    return State(log, tx.logs.tree(tenant, log), heads[0] if heads else None, witnessed)


async def tile(world: World, tenant: TenantId, log: Log, place: Tile) -> bytes:
    """What a tile holds, or, at level `ENTRIES`, a bundle; one that is missing in it is empty there: no entry is.

    Raises:
        NotFoundError: no published checkpoint covers it.
    """

    def read(tx: Tx) -> bytes:
        if not place.within(tx.logs.tree(tenant, log).signed):
            raise NotFoundError(f"the {log} log has no such tile yet")
        if place.level != ENTRIES:
            return tx.logs.tile(tenant, log, place)
        start = place.number * WIDTH
        return bundle([entry or b"" for entry in tx.logs.entries(tenant, log, start, start + place.width)])

    return await world.store.read(read)


async def entries(
    world: World, tenant: TenantId, log: Log, subject: str | None, before: int | None, limit: int
) -> list[tuple[int, Draft]]:
    """Entries with their places, the newest first; those of the audit log with what they commit to."""
    return await world.store.read(lambda tx: tx.logs.found(tenant, log, subject, before, limit))


async def proof(world: World, tenant: TenantId, release: str) -> str:
    """What shows that a release (`PRODUCT:VERSION`) was published, by the newest witnessed head that covers it, else the newest.

    Raises:
        NotFoundError: no published checkpoint says so (yet).
        UnavailableError: the log is damaged.
    """
    return await world.store.read(lambda tx: _proof(tx, tenant, release))


def _proof(tx: Tx, tenant: TenantId, release: str) -> str:
    found = state_in(tx, tenant, Log.RELEASE)
    placed = tx.logs.found(tenant, Log.RELEASE, release, found.tree.signed, _LOOKED_AT)
    published = ((place, draft.entry) for place, draft in placed if _is_published(draft))
    place, entry = next(published, (found.tree.size, b""))
    head = next((head for head in (found.witnessed, found.newest) if head is not None and place < head.size), None)
    if head is None:
        raise NotFoundError(f"no checkpoint says that {release} was published")
    try:
        path = merkle.inclusion(place, head.size, subtrees(head.size, reading(tx, tenant, Log.RELEASE)))
    except ValueError as error:
        raise UnavailableError(f"the release log of {tenant} is damaged: {error}", hint="See docs/log.md.") from None
    return offline_proof(place, path, head.note, entry)


def _is_published(draft: Draft) -> bool:
    data = json.loads(draft.entry).get("data") if draft.kind is Kind.RELEASE_MOVED else None
    return isinstance(data, dict) and data.get("to") == ReleaseState.PUBLISHED


async def erase(world: World, tenant: TenantId, actor: Actor, place: int) -> None:
    """Erase the text of an audit entry. The entry stays, and so does the tree; that it was erased is an entry too.

    Raises:
        NotFoundError: there is no such entry, or it has no text any more.
    """
    await world.store.write(_erase, (tenant, actor, place, world.clock.now()))


@one
def _erase(tx: Tx, asked: tuple[TenantId, Actor, int, datetime]) -> None:
    tenant, actor, place, now = asked
    if not tx.logs.erase(tenant, place):
        raise NotFoundError(f"entry {place} of the audit log has no text")
    tx.events.add([Happening(tenant, now, actor.name, Kind.LOG_ERASED, str(place))])


async def cosign(world: World, tenant: TenantId, log: Log, note: str, witness: str) -> Signed:
    """Keep what a witness has signed: one of our checkpoints, its signature beside those that are there.

    `witness` is its verifier key: whom to believe is the business of those who read.

    Raises:
        NotFoundError: there is no checkpoint yet.
        InvalidInputError: it is not one of our checkpoints with that witness's signature.
        AlreadyExistsError: a newer one is witnessed.
    """
    return await world.store.write(_cosign, (tenant, log, note, witness, world.clock.now()))


@one
def _cosign(tx: Tx, asked: tuple[TenantId, Log, str, str, datetime]) -> Signed:
    tenant, log, note, witness, now = asked
    found = state_in(tx, tenant, log)
    if found.newest is None or found.tree.verifier is None:
        raise NotFoundError(f"the {log} log has no checkpoint yet")
    try:
        ours, key = verifier(found.tree.verifier), verifier(witness)
        head = opened(note, ours, [key], quorum=1)
    except NoteError as error:
        raise InvalidInputError(f"it is no checkpoint that this witness has signed: {error}") from None
    if found.witnessed is not None and found.witnessed.size > head.size:
        raise AlreadyExistsError(f"a checkpoint of {found.witnessed.size} entries is witnessed already")
    # Ours has signed it, so it was the newest once, also where it is not kept any more.
    heads = {one.size: one for one in (found.witnessed, found.newest) if one is not None}
    known = heads.get(head.size) or Signed(head.size, _with(note, ours, head.text + "\n"), now)
    kept = replace(known, note=_with(note, key, known.note), witnessed=True)
    tx.logs.publish(tenant, log, kept)
    return kept


def _with(note: str, key: Verifier, known: str) -> str:
    """A copy of a note, with the last signature that `note` has of a key in place of those it had before."""
    head, _, signed = known.rpartition("\n\n")
    *_, theirs = (line for line in note.rpartition("\n\n")[2].splitlines() if _is_by(key, line))
    signatures = [*(line for line in signed.splitlines() if not _is_by(key, line)), theirs]
    if len(signatures) > MAX_SIGNATURES:
        raise InvalidInputError(f"a checkpoint has at most {MAX_SIGNATURES} signatures")
    return head + "\n\n" + "\n".join(signatures) + "\n"


def _is_by(key: Verifier, line: str) -> bool:
    _, name, signature = line.split(" ")
    return name == key.name and b64decode(signature)[:4] == key.id
