"""Bundles for places without a network: what a rollout's devices are told, with all that they need to verify it.

A device aboard a bundle is told as by a poll of its own: the same rules decide, its deployment is offered, and its director
metadata is made. A device that asks meanwhile is told the same. What lets that metadata hold longer than online is a
document that the offline keys of the image repository's targets sign (`trust.verify.offline`): the server signs it only
where it holds these keys, which are then development keys.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from otaru.domain.bundle import MAX_DEVICES, MOST, Aboard, Exported
from otaru.domain.deployment import OPEN, TOLD, State
from otaru.domain.events import Happening, Kind
from otaru.domain.ids import DeviceId, RolloutId, Sha256, TenantId
from otaru.domain.offer import Plan, Rule, Subject
from otaru.domain.rollout import RolloutState
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, InvalidStateError, NotFoundError, NothingToDoError, UnavailableError
from otaru.ports.store import Tx, one
from otaru.services.control import admission, directing, groups, signing, transparency
from otaru.services.control import poll as polling
from otaru.services.control.poll import Due
from otaru.services.control.world import Actor, World
from otaru.trust.tuf.director import Issued
from otaru.trust.tuf.kept import DIRECTOR, IMAGE, Kept
from otaru.trust.tuf.metadata import as_root, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from otaru.trust.tuf.repository import Missing
from otaru.trust.verify.chain import Grace
from otaru.trust.verify.offline import OfflineBundle, new_bundle

Files = Mapping[str, bytes]
_AT_ONCE = 16
_UNENDED = OPEN | {State.SCHEDULED}
_PAGE = 500
_MAX_ROOTS = 256
UNSIGNED = "unsigned"
"""The director's signer does not sign for it now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported."""

    rollout: RolloutId
    expires_at: datetime
    target: str | None = None
    """Which of the rollout's devices; None: all."""
    after: DeviceId | None = None
    """Go on after this one: where there are more than a bundle holds."""


@dataclass(frozen=True, slots=True)
class Passenger:
    """A device aboard: what it is told, and what the director has signed for it."""

    subject: Subject
    due: Due
    issued: Issued


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle, for somebody to write it to a medium."""

    exported: Exported
    bundle: OfflineBundle
    missing: Missing | None
    """Signatures that it still needs."""
    passengers: Sequence[Passenger]
    image: Files
    director: Files
    proof: str
    """That the release is in the release log, for devices that ask; empty: no checkpoint says so yet."""
    left_out: Mapping[str, int]
    """How many members are not aboard, by the rule that holds them back, or `UNSIGNED`."""
    next: DeviceId | None
    tenant: Tenant


async def export(world: World, tenant: TenantId, actor: Actor, wanted: Wanted) -> Made:
    """Tell devices of a rollout what to install, for somebody to carry it to them.

    Raises:
        NotFoundError: there is no such rollout.
        InvalidStateError: it does not run.
        InvalidInputError: the target, or the end: what it rests on ends before.
        NothingToDoError: none of its devices may be told now; `left_out` says by which rules.
        UnavailableError: the director's signer does not answer.
    """
    now = world.clock.now()
    beside = replace(world, store=world.store.beside())
    settings = await admission.tenant(world, tenant)
    plan = await world.store.glance(lambda tx: tx.rollouts.plan(tenant, wanted.rollout))
    if settings is None or plan is None:
        raise NotFoundError(f"there is no rollout {wanted.rollout}")
    if plan.rollout.state is not RolloutState.RUNNING:
        raise InvalidStateError(
            f"rollout {wanted.rollout} is {plan.rollout.state}: nobody is told anything", allowed=[]
        )
    if settings.halted:
        raise InvalidStateError("all rollouts of this tenant are halted: nobody is told anything", allowed=[])
    if not now < wanted.expires_at <= now + MOST:
        raise InvalidInputError("the end of a bundle is within the next year", hint="For example 30d.")
    await world.store.glance(lambda tx: _check_ends(tx, tenant, plan, wanted.expires_at))
    members, following = await world.store.read(lambda tx: _members(tx, tenant, wanted, now))
    found = await _all_told(beside, settings, wanted.rollout, members)
    passengers = [one for one in found if isinstance(one, Passenger)]
    unsigned = [one for one in found if isinstance(one, UnavailableError)]
    left_out = Counter(str(one) for one in found if isinstance(one, Rule))
    left_out += Counter({UNSIGNED: len(unsigned)})
    if unsigned and not passengers:
        raise unsigned[0]
    if not passengers:
        told = ", ".join(f"{rule} {n}" for rule, n in left_out.most_common()) or "none is a member that waits"
        raise NothingToDoError(
            f"no device of rollout {wanted.rollout} can be told now: {told}", hint="otaru device why ID says more."
        )
    name = f"r{wanted.rollout}-{sha256(world.clock.token().encode()).hexdigest()[:12]}"
    proof = await _proof(world, tenant, plan)
    order = _Order(
        tenant, actor, world, wanted, name, plan, tuple(passengers), left_out, following, settings, proof, now
    )
    return await world.store.write(_keep, order)


@dataclass(frozen=True, slots=True)
class Shown:
    """A bundle that was exported, and the first devices aboard."""

    exported: Exported
    devices: Sequence[DeviceId]


async def shown(world: World, tenant: TenantId, rollout: RolloutId, limit: int, devices: int) -> list[Shown]:
    """A rollout's bundles with their first devices, the newest first."""

    def look(tx: Tx) -> list[Shown]:
        found = tx.bundles.page(tenant, rollout, limit)
        return [Shown(one_, tx.bundles.aboard(tenant, one_.id, devices)) for one_ in found]

    return await world.store.read(look)


async def page(world: World, tenant: TenantId, rollout: RolloutId | None, limit: int) -> list[Exported]:
    """Bundles that were exported, the newest first."""
    return await world.store.glance(lambda tx: tx.bundles.page(tenant, rollout, limit))


@dataclass(frozen=True, slots=True)
class _Order:
    tenant: TenantId
    actor: Actor
    world: World
    wanted: Wanted
    name: str
    plan: Plan
    passengers: tuple[Passenger, ...]
    left_out: Mapping[str, int]
    following: DeviceId | None
    settings: Tenant
    proof: str
    now: datetime


@one
def _keep(tx: Tx, order: _Order) -> Made:
    """Make the document of what is signed now, and remember it."""
    tenant, wanted, role = order.tenant, order.wanted, signing.role_for(order.plan.release)
    image = tx.signatures.newest(tenant, IMAGE, [ROOT, TIMESTAMP, SNAPSHOT, TARGETS, role])
    grace = Grace(image[TIMESTAMP].version, image[SNAPSHOT].version)
    versions = {one.subject.id: one.issued.version for one in order.passengers}
    targets = {path: digest for one in order.passengers for path, digest in _directed(one.issued).items()}
    bundle = new_bundle(tenant, order.name, versions, grace, targets, wanted.expires_at)
    bundle, missing = _signed(order, bundle, image[ROOT])
    digest = sha256(bundle.signed_bytes).hexdigest()
    actor = order.actor.name
    ends, size = bundle.expires, len(order.passengers)
    exported = Exported(order.name, wanted.rollout, actor, order.now, ends, size, digest)
    aboard = [Aboard(one.subject.id, one.due.membership.action, one.issued.version) for one in order.passengers]
    tx.bundles.add(tenant, exported, aboard)
    told = {"bundle": order.name, "devices": size, "until": ends.isoformat(), "sha256": digest}
    tx.events.add([Happening(tenant, order.now, actor, Kind.ROLLOUT_EXPORTED, str(wanted.rollout), told)])
    files = {f"{kept.version}.{name}.json": kept.content for name, kept in image.items() if name != TIMESTAMP}
    files[f"{TIMESTAMP}.json"] = image[TIMESTAMP].content
    return Made(
        exported,
        bundle,
        missing,
        order.passengers,
        {**files, **_roots(tx, tenant, IMAGE)},
        _roots(tx, tenant, DIRECTOR),
        order.proof,
        order.left_out,
        order.following,
        order.settings,
    )


def _signed(order: _Order, bundle: OfflineBundle, root: Kept) -> tuple[OfflineBundle, Missing | None]:
    """With the signatures that the server can give: by development keys."""
    keys = as_root(read(ROOT, root.content)).signed.roles[TARGETS]
    for name, signer in order.world.keyring.of(order.tenant, keys.keyids).items():
        bundle = bundle.with_signature(name, signer.sign(bundle.signed_bytes))
    needed = keys.threshold - len(bundle.document.signatures)
    lacks = tuple(sorted(set(keys.keyids) - set(bundle.document.signatures)))
    return bundle, Missing(TARGETS, needed, lacks) if needed > 0 else None


def _directed(issued: Issued) -> dict[str, Sha256]:
    """What a device is directed to: the digest of each target."""
    told = json.loads(issued.targets)["signed"]["targets"]
    return {path: Sha256(one["hashes"]["sha256"]) for path, one in told.items()}


def _roots(tx: Tx, tenant: TenantId, repository: str) -> dict[str, bytes]:
    found = {}
    for version in range(1, _MAX_ROOTS + 1):
        kept = tx.signatures.get(tenant, repository, ROOT, version)
        if kept is None:
            break
        found[f"{version}.{ROOT}.json"] = kept.content
    return found


async def _proof(world: World, tenant: TenantId, plan: Plan) -> str:
    try:
        return await transparency.proof(world, tenant, f"{plan.release.product}:{plan.release.version}")
    except NotFoundError:
        return ""


def _check_ends(tx: Tx, tenant: TenantId, plan: Plan, expires_at: datetime) -> None:
    """Refuse an end after that of what people have signed: the bundle would not hold as long as it says."""
    role = signing.role_for(plan.release)
    rests = {**tx.signatures.newest(tenant, IMAGE, [ROOT, TARGETS, role])}
    rests |= {f"director:{name}": kept for name, kept in tx.signatures.newest(tenant, DIRECTOR, [ROOT]).items()}
    if not {ROOT, TARGETS, role} <= set(rests):
        raise InvalidStateError(f"nobody has signed {role}", hint="otaru keys status", allowed=[])
    name, first = min(rests.items(), key=lambda one: one[1].expires_at)
    if expires_at > first.expires_at:
        raise InvalidInputError(
            f"{name} ends at {first.expires_at:%Y-%m-%d %H:%M} UTC: the bundle cannot hold longer",
            hint=f"Have it signed anew (otaru keys request {name.removeprefix('director:')}), or let the bundle end before.",
        )


def _members(tx: Tx, tenant: TenantId, wanted: Wanted, now: datetime) -> tuple[list[DeviceId], DeviceId | None]:
    """Members that were not told to the end yet, of the target, by id; and after whom there are more."""
    query = None if wanted.target is None else groups.target(tx, tenant, wanted.target, now)
    found: list[DeviceId] = []
    after = wanted.after
    while True:
        if query is None:
            rows = tx.deployments.page(tenant, wanted.rollout, _UNENDED, after, _PAGE)
            ids = [row.device for row in rows]
            members = ids
        else:
            ids = [device.id for device in tx.devices.page(tenant, query, after, _PAGE)]
            current = tx.deployments.current(tenant, [(wanted.rollout, device) for device in ids])
            members = [row.device for row in current if row is not None and row.state in _UNENDED]
        for device in members:
            if len(found) == MAX_DEVICES:
                return found, found[-1]
            found.append(device)
        if len(ids) < _PAGE:
            return found, None
        after = ids[-1]


async def _all_told(
    world: World, tenant: Tenant, rollout: RolloutId, devices: Sequence[DeviceId]
) -> list[Passenger | Rule | UnavailableError]:
    some = asyncio.Semaphore(_AT_ONCE)

    async def tell(device: DeviceId) -> Passenger | Rule | UnavailableError:
        async with some:
            try:
                return await _told(world, tenant, rollout, device)
            except UnavailableError as error:
                return error

    return list(await asyncio.gather(*map(tell, devices)))


async def _told(world: World, tenant: Tenant, rollout: RolloutId, device: DeviceId) -> Passenger | Rule:
    """Tell one device, or the rule by which it is told nothing of this rollout now."""
    entry = await admission.device(world, tenant.id, device)
    if entry is None:
        return Rule.MEMBER
    subject = polling.seen(tenant, entry.subject, whole=True)
    if (held := await _held(world, tenant, subject, rollout)) is not None:
        return held
    entry, due, _ = await polling.poll(world, tenant, entry, whole=True, single=False)
    if due is None or due.membership.rollout != rollout or due.membership.state not in TOLD:
        held = await _held(world, tenant, polling.seen(tenant, entry.subject, whole=True), rollout)
        return held or Rule.BUSY
    issued = await directing.fresh(world, tenant.id, entry.subject)
    share = due.membership
    if issued.share is None or (issued.share.rollout, issued.share.action) != (rollout, share.action):
        return Rule.BUSY
    return Passenger(entry.subject, due, issued)


async def _held(world: World, tenant: Tenant, subject: Subject, rollout: RolloutId) -> Rule | None:
    """Why a device is told nothing of a rollout now. Nothing is moved by asking."""
    if (busy := subject.open) is not None:
        if busy.rollout != rollout:
            return Rule.BUSY
        return None if busy.state in TOLD else Rule.CONSENT
    answers = await polling.why(world, tenant, subject)
    last = next((one for one in reversed(answers) if one.membership and one.membership.rollout == rollout), None)
    if last is None:
        return answers[-1].rule if len(answers) == 1 else Rule.PRIORITY
    return None if last.rule is Rule.OFFER else last.rule
