"""Images are read once, kept, and held against what was typed and whom the tenant trusts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from otaru.adapters.inspector.process import ProcessInspector
from otaru.domain.device import Hardware
from otaru.domain.events import START, Kind
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Release, ReleaseEvent, ReleaseState
from otaru.errors import (
    AlreadyExistsError,
    ImageBrokenError,
    ImageMismatchError,
    ImageSignatureError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from otaru.images import recognise
from otaru.images.admission import Aspect
from otaru.images.facts import Facts, Format, Verdict
from otaru.ports.blobs import OpenBlob
from otaru.ports.inspector import TrustTexts
from otaru.services.control import anchors, artifacts, inspection, releases
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.world import SYSTEM, World
from otaru.trust.tuf.files import files_of
from tests.support import images
from tests.support.blobs import chunks
from tests.support.images import signer
from tests.support.stores import ACME, RIVAL

pytestmark = pytest.mark.anyio

APP, BOARD = ProductName("app"), Hardware("board")
PEM, OTHER = images.anchor(), images.anchor(signer("somebody else"))


@dataclass
class Counting:
    """The real inspector, and how often it was asked."""

    real: ProcessInspector = field(default_factory=ProcessInspector)
    asked: int = 0

    async def inspect(self, blob: OpenBlob, trust: TrustTexts) -> Facts:
        self.asked += 1
        return await self.real.inspect(blob, trust)

    @asynccontextmanager
    async def turn(self, sha256: Sha256) -> AsyncIterator[None]:
        async with self.real.turn(sha256):
            yield


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def seen(world: World, counting: Counting) -> World:
    return replace(world, inspector=counting)


async def made(  # what differs from an app for the board
    world: World,
    data: bytes,
    version: str = "1.1.0",
    *,
    name: str = "app.swu",
    hardware: Hardware = BOARD,
    accept: frozenset[Aspect] = frozenset(),
    publish: bool = True,
) -> Release:
    stored = await artifacts.store(world, ACME, chunks(data))
    part = Part(stored.blob.sha256, name, "app", [hardware])
    new = NewRelease(APP, Version(version), [part], publish=publish, accept=accept)
    return await releases.create(world, ACME, SYSTEM, new)


def foreign(version: str) -> bytes:
    """An image for another board."""
    text = images.description(b"x", version=version).replace(b'"1.0", "1.2"', b'"7.0", "7.2"')
    return images.cpio(("sw-description", text), ("root.img", b"x"))


async def verdict(world: World, release: Release) -> Verdict:
    sha256 = release.artifacts[0].blob.sha256
    found = (await inspection.images(world, ACME, [sha256]))[sha256]
    assert found.facts is not None
    return found.facts.verdict


async def test_an_image_is_read_once(seen: World, counting: Counting) -> None:
    image = images.swu(by=signer())
    release = await made(seen, image)
    assert await made(seen, image) == release
    await made(seen, image, "1.1", publish=False)
    assert counting.asked == 1
    assert await verdict(seen, release) is Verdict.UNKNOWN


async def test_many_at_once_wait_for_the_first(seen: World, counting: Counting) -> None:
    stored = await artifacts.store(seen, ACME, chunks(images.swu()))
    await asyncio.gather(*(inspection.look(seen, ACME, [stored.blob.sha256] * 2) for _ in range(5)))
    assert counting.asked == 1


async def test_what_no_format_claims_is_not_read(seen: World, counting: Counting) -> None:
    release = await made(seen, b"no image at all" * 9999, "7")
    assert counting.asked == 0
    assert await verdict(seen, release) is Verdict.NONE


async def test_a_broken_image_is_refused_and_read_once(seen: World, counting: Counting) -> None:
    image = images.swu(by=signer())[:-200]
    for _ in range(2):
        with pytest.raises(ImageBrokenError, match="ends within"):
            await made(seen, image)
    assert counting.asked == 1
    with pytest.raises(NotFoundError):
        await releases.show(seen, ACME, APP, Version("1.1.0"))


async def test_bytes_of_another_tenant_are_not_there(seen: World) -> None:
    stored = await artifacts.store(seen, RIVAL, chunks(images.swu()))
    with pytest.raises(NotFoundError, match="no artifact"):
        await inspection.look(seen, ACME, [stored.blob.sha256])


async def test_a_wrong_version_is_refused_with_both_unless_it_is_accepted(world: World) -> None:
    with pytest.raises(ImageMismatchError, match=r"says it is version 1\.1\.0, the release is 2\.0\.0") as told:
        await made(world, images.swu(), "2.0.0")
    (mismatch,) = told.value.facts["mismatches"]
    assert (mismatch["found"], mismatch["typed"]) == ("1.1.0", "2.0.0")
    with pytest.raises(ImageMismatchError):
        await made(world, images.swu(), "2.0.0", accept=frozenset({Aspect.HARDWARE}))
    release = await made(world, images.swu(), "2.0.0", accept=frozenset({Aspect.VERSION}))
    assert release.state is ReleaseState.PUBLISHED
    events = await world.store.read(lambda tx: tx.events.page(ACME, START, 100))
    (created,) = [one.what for one in events if one.what.kind is Kind.RELEASE_CREATED]
    assert "1.1.0" in created.data["accepted"][0]


async def test_hardware_is_held_against_the_products_earlier_images(world: World) -> None:
    await made(world, images.swu(version="1"), "1")
    await made(world, images.swu(version="2", hardware="1.3"), "2")  # still for 1.0, and for 1.3 now
    with pytest.raises(ImageMismatchError, match=r"made for 7\.0 or 7\.2.*board.*1\.0 or 1\.3") as told:
        await made(world, foreign("3"), "3")
    assert told.value.facts["mismatches"][0]["aspect"] == "hardware"
    await made(world, foreign("3"), "3", hardware=Hardware("other"))
    accepted = frozenset({Aspect.HARDWARE})
    await made(world, foreign("4"), "4", accept=accepted)
    with pytest.raises(ImageMismatchError, match=r"7\.0 or 7\.2"):
        await made(world, images.swu(version="5"), "5")
    await releases.move(world, ACME, SYSTEM, APP, Version("4"), ReleaseEvent.WITHDRAW)
    await made(world, images.swu(version="5"), "5")


async def test_anchors_decide_and_a_change_judges_anew(seen: World, counting: Counting) -> None:
    image = images.swu(by=signer())
    release = await made(seen, image)
    anchor = await anchors.add(seen, ACME, SYSTEM, Format.SWU, PEM)
    assert anchor.name == "CN=release manager"
    assert (await inspection.images(seen, ACME, [release.artifacts[0].blob.sha256])).popitem()[1].stale
    assert await inspection.renew(seen, set()) == 1
    assert await verdict(seen, release) is Verdict.VALID
    assert await anchors.add(seen, ACME, SYSTEM, Format.SWU, PEM) == anchor
    assert await inspection.renew(seen, set()) == 0
    await anchors.add(seen, ACME, SYSTEM, Format.RAUC, PEM)
    assert await inspection.renew(seen, set()) == 0
    await anchors.remove(seen, ACME, SYSTEM, Format.SWU, anchor.id)
    await made(seen, image)  # who asks is not kept waiting for the background
    assert await verdict(seen, release) is Verdict.UNKNOWN
    assert counting.asked == 3
    kinds = [one.what.kind for one in await seen.store.read(lambda tx: tx.events.page(ACME, START, 100))]
    assert (kinds.count(Kind.ANCHOR_ADDED), kinds.count(Kind.ANCHOR_REMOVED)) == (2, 1)


async def test_anchors_that_change_while_an_image_is_read_have_it_judged_again(world: World) -> None:
    class Slow(Counting):
        async def inspect(self, blob: OpenBlob, trust: TrustTexts) -> Facts:
            facts = await super().inspect(blob, trust)
            if self.asked == 1:
                await anchors.add(world, ACME, SYSTEM, Format.SWU, PEM)
            return facts

    slow = replace(world, inspector=Slow())
    release = await made(slow, images.swu(by=signer()))
    assert await verdict(slow, release) is Verdict.VALID
    assert await inspection.renew(slow, set()) == 0


async def test_an_image_that_cannot_be_read_again_is_left_alone(seen: World, counting: Counting) -> None:
    release = await made(seen, images.swu(by=signer()))
    await anchors.add(seen, ACME, SYSTEM, Format.SWU, PEM)
    await seen.blobs.remove(release.artifacts[0].blob.sha256)
    given_up: set[tuple[object, object]] = set()
    assert await inspection.renew(seen, given_up) == 1  # type: ignore[arg-type]
    assert await inspection.renew(seen, given_up) == 0  # type: ignore[arg-type]
    assert counting.asked == 1


async def test_a_broken_signature_is_refused_everywhere(world: World) -> None:
    image = images.mcuboot(by=signer())
    forged = image[:-1] + bytes([image[-1] ^ 1])
    await anchors.add(world, ACME, SYSTEM, Format.MCUBOOT, PEM)
    with pytest.raises(ImageSignatureError, match="broken"):
        await made(world, forged, "1.2.3", name="app.bin")
    await made(world, image, "1.2.3", name="app.bin")


async def test_production_wants_trusted_signatures_where_there_are_anchors(world: World) -> None:
    production = replace(world, production=True)
    draft = await made(production, images.swu(), publish=False)  # nobody is trusted yet: nothing to hold it against
    await anchors.add(production, ACME, SYSTEM, Format.SWU, OTHER)
    with pytest.raises(ImageSignatureError, match="is not signed"):
        await releases.move(production, ACME, SYSTEM, draft.product, draft.version, ReleaseEvent.PUBLISH)
    with pytest.raises(ImageSignatureError, match="nobody you trust"):
        await made(production, images.swu(by=signer(), version="2"), "2")
    await made(world, images.swu(by=signer(), version="2"), "2")
    await anchors.add(production, ACME, SYSTEM, Format.SWU, PEM)
    await made(production, images.swu(by=signer(), version="3"), "3", publish=False)


async def test_the_installer_follows_the_format_and_stays(world: World) -> None:
    release = await made(world, images.swu(), name="app.raucb")
    assert release.artifacts[0].installer == "swupdate"
    plain = await made(world, b"plain", "2", name="app.raucb")
    assert plain.artifacts[0].installer == "rauc"
    again = await releases.show(world, ACME, APP, Version("1.1.0"))
    (target,) = files_of("product.app.stable", again).values()
    assert target.custom is not None
    assert target.custom["installer"] == "swupdate"
    facts = recognise.read(images.Watched(images.swu()))
    assert f"sha256:{target.custom['installerDigest']}" == facts.digest
    (other,) = files_of("product.app.stable", plain).values()
    assert other.custom is not None
    assert "installerDigest" not in other.custom
    old = replace(again, artifacts=(replace(again.artifacts[0], installer=""),))
    (target,) = files_of("product.app.stable", old).values()
    assert target.custom is not None
    assert target.custom["installer"] == "rauc"


async def test_what_was_made_before_installers_were_kept_is_the_same_release(world: World) -> None:
    release = await made(world, images.swu())

    def forget(tx: object, _: list[None]) -> list[None]:
        from sqlalchemy import update

        from otaru.adapters.sql.tables import artifact

        tx.releases._session.connection.execute(update(artifact).values(installer=""))  # type: ignore[attr-defined]
        return [None]

    await world.store.write(forget, None)  # type: ignore[arg-type]
    assert (await made(world, images.swu())).created_at == release.created_at
    with pytest.raises(AlreadyExistsError):
        await made(world, images.swu(b"other bytes"))


@pytest.mark.parametrize(
    ("form", "pem", "why"),
    [
        (Format.UF2, PEM, "no signatures"),
        (Format.SWU, "nonsense", "no trust anchor"),
        (Format.SWU, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no trust anchor"),
        (Format.SWU, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private"),
    ],
)
async def test_what_is_no_anchor_is_refused(world: World, form: Format, pem: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        await anchors.add(world, ACME, SYSTEM, form, pem)
    assert await anchors.page(world, ACME) == []


async def test_a_format_has_so_many_anchors(world: World) -> None:
    for number in range(anchors.MAX_ANCHORS):
        key = signer(f"key {number}").key.public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        assert (await anchors.add(world, ACME, SYSTEM, Format.SWU, pem)).name == "ECDSA secp256r1"
    with pytest.raises(TooLargeError):
        await anchors.add(world, ACME, SYSTEM, Format.SWU, PEM)
