"""What uploaded images say of themselves: read once, kept, and held against what people typed.

Reading takes seconds where an image is large, so it is done outside of transactions, before the one that decides
(`look`, then `refuse`). What was found is kept by itself: an image that is refused is not read again. It is read anew
where the tenant's trust anchors for its format have changed since, or the readers. Bytes that no format claims are not read.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from otaru.domain.device import Hardware
from otaru.domain.ids import Sha256, TenantId
from otaru.domain.release import Artifact, Release, ReleaseState
from otaru.errors import ImageBrokenError, ImageMismatchError, NotFoundError, OtaruError
from otaru.images import admission, recognise
from otaru.images.admission import Aspect, Mismatch
from otaru.images.facts import SIGNED, Facts, Format, Payload, bounded
from otaru.images.reading import BrokenImageError, EndlessImageError
from otaru.ports.store import Anchor, Inspection, Tx, one
from otaru.services.control.signing import Pen
from otaru.services.control.world import World
from otaru.trust.tuf.files import installer_by

_EARLIER = 20
"""Releases among which names for a hardware are looked for, the newest."""
_AT_ONCE = 20
_TRIES = 3
"""How often one image is read where anchors change all the time."""
_OUT = frozenset({ReleaseState.PUBLISHED, ReleaseState.DEPRECATED})


async def look(world: World, tenant: TenantId, digests: Collection[Sha256]) -> None:
    """Have every one of these images read, where that was not done, and keep what was found.

    Raises:
        NotFoundError: bytes have not been uploaded to this tenant.
        ImageBrokenError: reading one took too long or ended the reader; it may be tried again.
        OverloadedError: too many images wait to be read.
        UnavailableError: no reader could be started.
    """
    looks = (_look(world, tenant, sha256) for sha256 in dict.fromkeys(digests))
    for outcome in await asyncio.gather(*looks, return_exceptions=True):  # the others are kept all the same
        if outcome is not None:
            raise outcome


async def images(world: World, tenant: TenantId, digests: Collection[Sha256]) -> dict[Sha256, Inspection]:
    """What is known of bytes that somebody has read."""
    return await world.store.read(lambda tx: tx.inspections.of(tenant, set(digests)))


async def renew(world: World, given_up: set[tuple[TenantId, Sha256]]) -> int:
    """Judge anew, of all tenants, what was judged by other trust anchors; how many. What fails is not tried again.

    Args:
        world: the ports
        given_up: those that failed; they are added to.
    """
    stale = await world.store.read(lambda tx: tx.inspections.every_stale(_AT_ONCE + len(given_up)))
    due = [one for one in stale if one not in given_up]
    for tenant, sha256 in due:
        try:
            await _look(world, tenant, sha256)
        except OtaruError:
            given_up.add((tenant, sha256))
    return len(due)


def refuse(tx: Tx, pen: Pen, release: Release, accepted: frozenset[Aspect]) -> list[Mismatch]:
    """Refuse a release whose images may not stand in it; the mismatches that people have `accepted`.

    Raises:
        ImageBrokenError: one is broken.
        ImageSignatureError: the signature of one does not hold, or in production nobody who is trusted has made it.
        ImageFormError: production refuses the form of one.
        ImageMismatchError: one says something else of itself, and nobody has accepted that.
    """
    images = recheck(tx, pen, release)
    found = admission.mismatches(release, images, _earlier(tx, pen.tenant, release, images))
    if left := [mismatch for mismatch in found if mismatch.aspect not in accepted]:
        raise ImageMismatchError(
            "; ".join(mismatch.sentence for mismatch in left),
            hint="Build it anew or correct the release; where both are right: "
            + " ".join(f"--accept-mismatch {aspect}" for aspect in sorted({m.aspect for m in left}))
            + ".",
            mismatches=[_told(mismatch) for mismatch in left],
        )
    return found


def recheck(tx: Tx, pen: Pen, release: Release) -> dict[Sha256, Facts]:
    """As `refuse`, whatever was typed: that is not held against the images. What is known of them.

    Raises:
        ImageError: but for ImageMismatchError, what `refuse` raises.
    """
    found = tx.inspections.of(pen.tenant, {artifact.blob.sha256 for artifact in release.artifacts})
    anchored = {anchor.format for anchor in tx.anchors.of(pen.tenant)}
    images: dict[Sha256, Facts] = {}
    for artifact in release.artifacts:
        known = found.get(artifact.blob.sha256)
        if known is None:
            continue
        if known.facts is None:
            raise _broken(artifact.filename, artifact.blob.sha256, known.broken or "it cannot be read")
        facts = images[artifact.blob.sha256] = known.facts
        signed = facts.format in anchored
        if refused := admission.refusal(artifact, facts, anchored=signed, production=pen.production):
            raise refused
    return images


def with_installers(tx: Tx, tenant: TenantId, artifacts: Collection[Artifact]) -> tuple[Artifact, ...]:
    """Artifacts with what installs them: by the format that was found, else by the name of the file."""
    found = tx.inspections.of(tenant, {artifact.blob.sha256 for artifact in artifacts})
    made = []
    for artifact in artifacts:
        known = found.get(artifact.blob.sha256)
        by_name = installer_by(artifact.filename)
        if known is None or known.facts is None:
            made.append(replace(artifact, installer=by_name))
            continue
        named, inner = admission.installer(known.facts, by_name), admission.installer_digest(known.facts)
        made.append(replace(artifact, installer=named, installer_digest=inner))
    return tuple(made)


def _broken(name: str, sha256: Sha256, reason: str) -> ImageBrokenError:
    return ImageBrokenError(
        f"the file {name} is no whole image: {reason}",
        hint="Build or copy it again, and upload that.",
        sha256=sha256,
        reason=reason,
    )


def _told(mismatch: Mismatch) -> dict[str, str]:
    artifact = mismatch.artifact
    return {
        "aspect": str(mismatch.aspect),
        "filename": artifact.filename,
        "sha256": artifact.blob.sha256,
        "format": str(mismatch.format),
        "found": mismatch.found,
        "typed": mismatch.typed,
    }


def _earlier(
    tx: Tx, tenant: TenantId, release: Release, images: Mapping[Sha256, Facts]
) -> dict[tuple[Hardware, Format], frozenset[str]]:
    """By what names the newest earlier image of the product called each hardware, by the image's format."""
    wanted = {
        (artifact.hardware, facts.format)
        for artifact in release.artifacts
        if (facts := images.get(artifact.blob.sha256)) is not None and facts.hardware
    }
    if not wanted:
        return {}
    before = [r for r in tx.releases.latest(tenant, release.product, None, _EARLIER) if r.state in _OUT]
    known = tx.inspections.of(tenant, {artifact.blob.sha256 for r in before for artifact in r.artifacts})
    found: dict[tuple[Hardware, Format], frozenset[str]] = {}
    for artifact in (artifact for r in before for artifact in r.artifacts):
        inspection = known.get(artifact.blob.sha256)
        facts = None if inspection is None else inspection.facts
        if facts is not None and facts.hardware and (place := (artifact.hardware, facts.format)) in wanted:
            found.setdefault(place, frozenset(facts.hardware))
    return found


async def _look(world: World, tenant: TenantId, sha256: Sha256) -> None:
    async with world.inspector.turn(sha256):

        def known(tx: Tx) -> tuple[bool, Inspection | None, list[Anchor]]:
            here = tx.blobs.get(tenant, sha256) is not None
            return here, tx.inspections.of(tenant, [sha256]).get(sha256), tx.anchors.of(tenant)

        here, before, anchors = await world.store.glance(known)
        if not here:
            raise NotFoundError(f"there is no artifact {sha256}", hint="Upload it first: POST /api/v1/artifacts.")
        due = before is None or before.stale or before.reader != recognise.EDITION
        for _ in range(_TRIES):
            if not due:
                break
            found = await _read(world, sha256, anchors)
            due = await world.store.beside().write(_keep, (tenant, sha256, found, anchors))
            anchors = await world.store.glance(lambda tx: tx.anchors.of(tenant))


async def _read(world: World, sha256: Sha256, anchors: Collection[Anchor]) -> Inspection:
    now = world.clock.now()
    trust = {kind: tuple(a.pem.encode() for a in anchors if a.format is kind) for kind in {a.format for a in anchors}}
    with world.blobs.open(sha256) as blob:
        start = await blob.read_at(0, recognise.START)
        end = await blob.read_at(max(blob.size - recognise.END, 0), recognise.END)
        if recognise.is_plain(blob.size, start, end):
            facts = Facts(Format.PLAIN, payloads=(Payload("", blob.size, sha256),))
            return Inspection(facts, None, recognise.EDITION, now)
        try:
            facts = await world.inspector.inspect(blob, trust)
        except EndlessImageError as error:
            raise _broken("the file", sha256, str(error)) from None
        except BrokenImageError as error:
            return Inspection(None, str(error), recognise.EDITION, now)
    return Inspection(bounded(facts), None, recognise.EDITION, now)


@one
def _keep(tx: Tx, asked: tuple[TenantId, Sha256, Inspection, Collection[Anchor]]) -> bool:
    """Whether it is to be read once more: anchors have changed meanwhile."""
    tenant, sha256, found, judged_by = asked
    if found.facts is not None and found.facts.format in SIGNED:
        # Anchors may have changed while it was read.
        used = {anchor.id for anchor in judged_by if anchor.format is found.facts.format}
        found = replace(found, stale=used != {anchor.id for anchor in tx.anchors.of(tenant, found.facts.format)})
    tx.inspections.put(tenant, sha256, found)
    return found.stale
