"""The image repository of a tenant: development keys, offline keys, drafts that wait, what ends in time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from otaru import errors
from otaru.domain.device import Hardware
from otaru.domain.events import START, Kind
from otaru.domain.ids import ProductName, Sha256, Version
from otaru.domain.release import Release, ReleaseEvent, ReleaseState
from otaru.domain.terms import NO_TERMS, Terms
from otaru.services.control import alarms, artifacts, metadata, releases, survey
from otaru.services.control.metadata import Delegate, Order, Rekey, Renew, Replace
from otaru.services.control.release_record import Record
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.transparency import entries, integrate
from otaru.services.control.world import SYSTEM, World
from otaru.trust.log.entries import Log
from otaru.trust.tuf import changes
from otaru.trust.tuf.files import files_of_all
from otaru.trust.tuf.kept import DIRECTOR, Place
from otaru.trust.tuf.metadata import AnyMetadata, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, address, role_of
from tests.support.blobs import content, in_pieces
from tests.support.keys import APP, NOW, ROOTS, TARGETERS, a_file, all_by, by, public, some
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

PRODUCT = ProductName("app")
DAY = timedelta(days=1)


@pytest.fixture
def production(world: World) -> World:
    return replace(world, production=True)


async def publish(world: World, version: str, *, publish: bool = True, terms: Terms = NO_TERMS) -> Release:
    stored = await artifacts.store(world, ACME, in_pieces(content(int(version), 1000)))
    part = Part(stored.blob.sha256, f"app-{version}.swu", "app", [Hardware("pi")])
    new = NewRelease(PRODUCT, Version(version), (part,), publish=publish, terms=terms)
    return await releases.create(world, ACME, SYSTEM, new)


async def role(world: World, name: str) -> AnyMetadata:
    """What clients get of a role now, found by the way they go."""
    timestamp = read(TIMESTAMP, (await metadata.file(world, ACME, "timestamp.json")).content)
    version = timestamp.signed.snapshot_meta.version
    snapshot = read(SNAPSHOT, (await metadata.file(world, ACME, f"{version}.snapshot.json")).content)
    if name == TIMESTAMP:
        return timestamp
    if name == SNAPSHOT:
        return snapshot
    version = snapshot.signed.meta[f"{name}.json"].version
    return read(name, (await metadata.file(world, ACME, f"{version}.{name}.json")).content)


async def listed(world: World, name: str = APP) -> list[str]:
    return list((await role(world, name)).signed.targets)


async def ceremony(world: World) -> None:
    """Root and targets of people's keys; the server keeps one for what is signed all the time."""
    online = await metadata.online_key(world, ACME, SYSTEM)
    keys: dict[str, changes.Keys] = {
        ROOT: some(ROOTS, 2),
        TARGETS: some(TARGETERS, 2),
        SNAPSHOT: ([online], 1),
        TIMESTAMP: ([online], 1),
    }
    now = world.clock.now()
    made: dict[str, AnyMetadata] = {
        ROOT: by(changes.new_root(keys, now), *ROOTS[:2]),
        TARGETS: by(changes.new_targets(TARGETS, now), *TARGETERS),
    }
    await metadata.accept(world, ACME, SYSTEM, made)


async def signed(world: World, order: Order, *names: str) -> list[Release]:
    """Order, have people sign, bring it back."""
    outcome = await metadata.change(world, ACME, SYSTEM, order)
    assert outcome.missing
    return await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, *names))


async def delegated(world: World) -> None:
    await ceremony(world)
    await signed(world, Delegate(APP, [public("alice")], 1), *TARGETERS)


async def directed(world: World) -> Sequence[metadata.RoleState]:
    """A director root of a person's key, and what it says."""
    online = ([await metadata.online_key(world, ACME, SYSTEM, DIRECTOR)], 1)
    keys: dict[str, changes.Keys] = dict.fromkeys((TARGETS, SNAPSHOT, TIMESTAMP), online)
    keys[ROOT] = some(["director-1"])
    root: AnyMetadata = by(changes.new_root(keys, world.clock.now()), "director-1")
    await metadata.accept(world, ACME, SYSTEM, {ROOT: root}, DIRECTOR)
    return (await metadata.status(world, ACME)).director


async def test_a_fresh_tenant_signs_with_development_keys_in_one_step(world: World) -> None:
    with pytest.raises(errors.NotFoundError):
        await metadata.file(world, ACME, "timestamp.json")
    assert not (await metadata.status(world, ACME)).roles
    release = await publish(world, "1")
    assert release.state is ReleaseState.PUBLISHED
    assert await listed(world) == ["app/stable/1/app-1.swu"]
    status = await metadata.status(world, ACME)
    assert status.development
    assert [(r.name, r.due, r.stale) for r in status.roles] == [
        (name, False, False) for name in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, APP)
    ]
    assert await metadata.development(world) == [ACME]
    assert not (await metadata.status(world, RIVAL)).keys
    with pytest.raises(errors.NotFoundError):
        await metadata.file(world, RIVAL, "1.root.json")


async def test_what_clients_see_follows_the_releases(world: World) -> None:
    for version in "12":
        await publish(world, version)
    draft = await publish(world, "3", publish=False)
    assert len(await listed(world)) == 2
    await releases.move(world, ACME, SYSTEM, PRODUCT, draft.version, ReleaseEvent.PUBLISH)
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("2"), ReleaseEvent.DEPRECATE)
    assert len(await listed(world)) == 3
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("1"), ReleaseEvent.WITHDRAW)
    assert await listed(world) == ["app/stable/2/app-2.swu", "app/stable/3/app-3.swu"]


async def test_targets_are_those_of_releases_that_are_out(world: World) -> None:
    release = await publish(world, "1")
    draft = await publish(world, "2", publish=False)
    there = address("app/stable/1/app-1.swu", release.artifacts[0].blob.sha256)
    assert await metadata.target(world, ACME, there) == release.artifacts[0]
    waits = address("app/stable/2/app-2.swu", draft.artifacts[0].blob.sha256)
    other = address("app/stable/1/app-1.swu", Sha256("0" * 64))
    for wrong in (waits, other, there.replace("stable", "beta"), there.replace("app/", "os/", 1), "", "x/y"):
        with pytest.raises(errors.NotFoundError):
            await metadata.target(world, ACME, wrong)
    with pytest.raises(errors.NotFoundError):
        await metadata.target(world, RIVAL, there)
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("1"), ReleaseEvent.WITHDRAW)
    with pytest.raises(errors.NotFoundError):
        await metadata.target(world, ACME, there)


async def test_production_has_no_development_keys(production: World) -> None:
    release = await publish(production, "1")
    assert release.state is ReleaseState.DRAFT
    assert not (await metadata.status(production, ACME)).keys
    with pytest.raises(errors.SignatureMissingError) as caught:
        await releases.move(production, ACME, SYSTEM, PRODUCT, Version("1"), ReleaseEvent.PUBLISH)
    assert caught.value.facts["missing"][0]["role"] == ROOT
    assert (await releases.show(production, ACME, PRODUCT, Version("1"))).state is ReleaseState.DRAFT
    await ceremony(production)
    assert not (await metadata.status(production, ACME)).development


async def test_with_offline_keys_a_release_waits_for_its_signature(world: World) -> None:
    await delegated(world)
    release = await publish(world, "1")
    assert release.state is ReleaseState.DRAFT
    assert await publish(world, "1") == release
    missing = await world.store.read(lambda tx: releases.lacking(world, tx, ACME, release))
    assert missing is not None
    assert (missing.role, missing.keys) == (APP, (public("alice").keyid,))
    with pytest.raises(errors.SignatureMissingError):
        await releases.move(world, ACME, SYSTEM, PRODUCT, Version("1"), ReleaseEvent.PUBLISH)
    (published,) = await signed(world, Renew(APP, [Version("1")]), "alice")
    assert published.state is ReleaseState.PUBLISHED
    assert await releases.show(world, ACME, PRODUCT, Version("1")) == published
    (moved,) = await survey.events(world, ACME, START, 10, "app:1", kinds=[Kind.RELEASE_MOVED])
    assert moved.what.data["artifacts"] == [release.artifacts[0].blob.sha256]
    assert await listed(world) == ["app/stable/1/app-1.swu"]


async def test_a_product_nobody_may_sign_for_waits(world: World) -> None:
    await ceremony(world)
    release = await publish(world, "1")
    missing = await world.store.read(lambda tx: releases.lacking(world, tx, ACME, release))
    assert missing is not None
    assert (missing.role, missing.keys) == (APP, ())
    with pytest.raises(errors.MetadataContentError):
        await metadata.change(world, ACME, SYSTEM, Renew(APP))


async def test_a_withdrawn_release_is_served_to_nobody_though_its_metadata_lists_it(world: World) -> None:
    await delegated(world)
    release = await publish(world, "1")
    await signed(world, Renew(APP, [Version("1")]), "alice")
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("1"), ReleaseEvent.WITHDRAW)
    there = address("app/stable/1/app-1.swu", release.artifacts[0].blob.sha256)
    with pytest.raises(errors.NotFoundError):
        await metadata.target(world, ACME, there)
    assert [r.name for r in (await metadata.status(world, ACME)).roles if r.stale] == [APP]
    await signed(world, Renew(APP), "alice")
    assert await listed(world) == []
    assert not any(r.stale for r in (await metadata.status(world, ACME)).roles)


def files(version: int, names: Mapping[str, bytes], signer: str = "alice") -> dict[str, Metadata[Any]]:
    made = {path: file for path, data in names.items() for path, file in a_file(path, data).items()}
    return {APP: by(changes.new_targets(APP, NOW, version, made), signer)}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"app/stable/9/evil.swu": b"evil"}, "no release has"),
        ({"app/stable/1/app-1.swu": b"evil"}, "not so"),
        ({}, "does not list"),
        ({"x": b""}, "no release has"),
    ],
)
async def test_metadata_that_says_what_is_not_so_is_refused(
    world: World, names: Mapping[str, bytes], told: str
) -> None:
    await delegated(world)
    await publish(world, "1")
    await signed(world, Renew(APP, [Version("1")]), "alice")
    before = await metadata.status(world, ACME)
    with pytest.raises(errors.MetadataContentError, match=told):
        await metadata.accept(world, ACME, SYSTEM, files(2, names))
    assert await metadata.status(world, ACME) == before


async def test_a_request_that_was_overtaken_is_refused(world: World) -> None:
    await delegated(world)
    await publish(world, "1")
    late = await metadata.change(world, ACME, SYSTEM, Renew(APP))
    await signed(world, Renew(APP, [Version("1")]), "alice")
    with pytest.raises(errors.MetadataVersionError):
        await metadata.accept(world, ACME, SYSTEM, all_by(late.offered, "alice"))


@pytest.mark.parametrize(("names", "code"), [([], "unsigned"), (["mallory"], "signature")])
async def test_what_is_not_signed_well_is_not_kept(world: World, names: Sequence[str], code: str) -> None:
    await delegated(world)
    await publish(world, "1")
    before = await metadata.status(world, ACME)
    outcome = await metadata.change(world, ACME, SYSTEM, Renew(APP, [Version("1")]))
    with pytest.raises(errors.MetadataError) as caught:
        await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, *names))
    assert caught.value.code == f"metadata_{code}"
    assert await metadata.status(world, ACME) == before


async def test_a_development_key_is_replaced_at_once(world: World) -> None:
    await publish(world, "1")
    status = await metadata.status(world, ACME)
    for name in (ROOT, TARGETS, SNAPSHOT, APP):
        (old,) = next(r.keys for r in status.roles if r.name == name)
        outcome = await metadata.change(world, ACME, SYSTEM, Replace(old, made=True))
        assert not outcome.missing
        after = await metadata.status(world, ACME)
        assert old not in {key for r in after.roles for key in r.keys}
        assert next(key for key in after.keys if key.id == old).revoked_at is not None
        with pytest.raises(errors.MetadataContentError):
            await metadata.change(world, ACME, SYSTEM, Replace(old))
    other = NewRelease(ProductName("other"), Version("1"), (await _part(world),))
    assert (await releases.create(world, ACME, SYSTEM, other)).state is ReleaseState.PUBLISHED
    assert await listed(world) == ["app/stable/1/app-1.swu"]


async def _part(world: World) -> Part:
    stored = await artifacts.store(world, ACME, in_pieces(content(9, 100)))
    return Part(stored.blob.sha256, "x", "x", [Hardware("pi")])


async def test_a_revoked_key_does_not_come_back(world: World) -> None:
    await delegated(world)
    early = await metadata.change(world, ACME, SYSTEM, Delegate(role_of(ProductName("b")), [public("alice")], 1))
    await signed(world, Replace(public("alice").keyid, public("bob")), *TARGETERS, "bob")
    for order in (Delegate(APP, [public("alice")], 1), Replace(public("bob").keyid, public("alice"))):
        with pytest.raises(errors.MetadataContentError, match="revoked"):  # before anybody signs it
            await metadata.change(world, ACME, SYSTEM, order)
    late = dict(early.offered)
    late[TARGETS].signed.version += 1
    with pytest.raises(errors.MetadataContentError, match="revoked"):
        await metadata.accept(world, ACME, SYSTEM, all_by(late, *TARGETERS))


async def test_the_server_puts_no_key_of_its_own_in_a_keeper_s_place(production: World) -> None:
    """Else the one who asks for it would have the server sign what two people have to."""
    await delegated(production)
    roles = {role.name: role.keys for role in (await metadata.status(production, ACME)).roles}
    for name in (ROOT, TARGETS, APP):
        with pytest.raises(errors.InvalidInputError, match="keeper"):
            await metadata.change(production, ACME, SYSTEM, Replace(roles[name][0], made=True))
    (online,) = roles[TIMESTAMP]
    await signed(production, Replace(online, made=True), *ROOTS)


async def test_what_was_brought_is_not_brought_again(world: World) -> None:
    await delegated(world)
    outcome = await metadata.change(world, ACME, SYSTEM, Renew(TARGETS))
    whole = all_by(outcome.offered, *TARGETERS)
    await metadata.accept(world, ACME, SYSTEM, whole)
    before = await metadata.status(world, ACME)
    with pytest.raises(errors.NothingToDoError):
        await metadata.accept(world, ACME, SYSTEM, whole)
    assert await metadata.status(world, ACME) == before


async def test_from_development_keys_to_one_s_own(world: World) -> None:
    """Root goes over first: the server still has the old one's key, people sign the new one."""
    await publish(world, "1")
    status = await metadata.status(world, ACME)
    for name, person in ((ROOT, "root-1"), (TARGETS, "targets-1"), (APP, "alice")):
        (old,) = next(r.keys for r in status.roles if r.name == name)
        signers = ["root-1", "targets-1", "alice"]
        await signed(world, Replace(old, public(person)), *signers)
    status = await metadata.status(world, ACME)
    left = {(key.repository, key.role) for key in status.keys if key.development and key.revoked_at is None}
    assert left == {("image", SNAPSHOT), (DIRECTOR, ROOT), (DIRECTOR, TARGETS)}
    (old,) = next(r.keys for r in status.roles if r.name == SNAPSHOT)
    await signed(world, Replace(old, await metadata.online_key(world, ACME, SYSTEM)), "root-1")
    for name, heir in (
        (ROOT, public("director-1")),
        (TARGETS, await metadata.online_key(world, ACME, SYSTEM, DIRECTOR)),
    ):
        (old,) = next(r.keys for r in status.director if r.name == name)
        outcome = await metadata.change(world, ACME, SYSTEM, Replace(old, heir))
        await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, "director-1"), outcome.repository)
    assert not (await metadata.status(world, ACME)).development
    assert await listed(world) == ["app/stable/1/app-1.swu"]
    assert (await publish(world, "2")).state is ReleaseState.DRAFT


async def test_what_the_server_can_sign_never_ends(world: World, clock: SettableClock) -> None:
    await publish(world, "1")
    versions = []
    for days in range(0, 400, 1):
        clock.ahead = days * DAY
        assert await metadata.renew_due(world) == []
        if days % 40 == 0:
            status = await metadata.status(world, ACME)
            assert not any(r.expired or r.due for r in status.roles)
            versions.append([r.end.version for r in status.roles if r.end])
    assert versions[-1][0] == 2
    assert versions == sorted(versions)
    assert await listed(world) == ["app/stable/1/app-1.swu"]


async def test_what_people_have_to_sign_is_an_alarm(world: World, clock: SettableClock) -> None:
    await delegated(world)
    clock.ahead = 100 * DAY
    assert await metadata.renew_due(world) == []
    clock.ahead = 271 * DAY
    assert await metadata.renew_due(world) == [(ACME, ROOT), (ACME, TARGETS)]
    status = await metadata.status(world, ACME)
    assert [(r.name, r.due) for r in status.roles] == [
        (ROOT, True),
        (TARGETS, True),
        (SNAPSHOT, False),
        (TIMESTAMP, False),
        (APP, False),
    ]
    await signed(world, Renew(ROOT), *ROOTS)
    await signed(world, Renew(TARGETS), *TARGETERS)
    assert await metadata.renew_due(world) == []


async def test_a_role_s_name_and_channel(world: World) -> None:
    await ceremony(world)
    for name in ("product.app.Beta", "product.a/b.stable", "targets", "x"):
        with pytest.raises(errors.RoleNameError):
            await metadata.change(world, ACME, SYSTEM, Delegate(name, [public("alice")], 1))
    for order in (Renew(TIMESTAMP), Renew(ROOT, [Version("1")])):
        with pytest.raises(errors.InvalidInputError):
            await metadata.change(world, ACME, SYSTEM, order)
    with pytest.raises(errors.NotFoundError):
        await metadata.change(world, RIVAL, SYSTEM, Renew(ROOT))


LTS = role_of(PRODUCT, "lts")


async def test_a_channel_has_a_role_of_its_own(world: World) -> None:
    """Signed by development keys: each role lists its own, and counters rise with those that burn them."""
    await publish(world, "1")
    await publish(world, "2", terms=Terms(channel="lts", security_floor=4))
    await publish(world, "3")
    assert await listed(world) == ["app/stable/1/app-1.swu", "app/stable/3/app-3.swu"]
    assert await listed(world, LTS) == ["app/lts/2/app-2.swu"]
    counters = {
        path: file.custom["releaseCounter"]
        for name in (APP, LTS)
        for path, file in (await role(world, name)).signed.targets.items()
    }
    assert counters == {"app/stable/1/app-1.swu": 0, "app/lts/2/app-2.swu": 4, "app/stable/3/app-3.swu": 4}
    release = await releases.show(world, ACME, PRODUCT, Version("2"))
    there = address("app/lts/2/app-2.swu", release.artifacts[0].blob.sha256)
    assert await metadata.target(world, ACME, there) == release.artifacts[0]
    with pytest.raises(errors.NotFoundError):
        await metadata.target(world, ACME, there.replace("lts", "stable"))
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("2"), ReleaseEvent.WITHDRAW)
    assert await listed(world, LTS) == []
    assert len(await listed(world)) == 2
    assert not any(r.stale for r in (await metadata.status(world, ACME)).roles)


async def test_who_signs_one_channel_signs_no_other(world: World) -> None:
    await delegated(world)
    draft = await publish(world, "1", terms=Terms(channel="lts"))
    missing = await world.store.read(lambda tx: releases.lacking(world, tx, ACME, draft))
    assert missing is not None
    assert (missing.role, missing.keys) == (LTS, ())
    with pytest.raises(errors.MetadataContentError, match="channel lts"):
        await metadata.change(world, ACME, SYSTEM, Renew(APP, [draft.version]))
    data = {path.replace("lts", "stable"): file for path, file in files_of_all(LTS, [draft]).items()}
    with pytest.raises(errors.MetadataContentError, match="no release has"):
        await metadata.accept(world, ACME, SYSTEM, {APP: by(changes.new_targets(APP, NOW, 1, data), "alice")})
    await signed(world, Delegate(LTS, [public("bob")], 1), *TARGETERS)
    (published,) = await signed(world, Renew(LTS, [draft.version]), "bob")
    assert published.state is ReleaseState.PUBLISHED
    assert await listed(world, LTS) == ["app/lts/1/app-1.swu"]


async def test_what_was_withdrawn_holds_up_no_rotation(world: World) -> None:
    """A thief's release is withdrawn before the stolen key goes: its successor signs what is left, in the same step."""
    await delegated(world)
    for version in "12":
        await publish(world, version)
        await signed(world, Renew(APP, [Version(version)]), "alice")
    await releases.move(world, ACME, SYSTEM, PRODUCT, Version("2"), ReleaseEvent.WITHDRAW)
    await signed(world, Replace(public("alice").keyid, public("bob")), *TARGETERS, "bob")
    assert await listed(world) == ["app/stable/1/app-1.swu"]
    assert not any(r.stale for r in (await metadata.status(world, ACME)).roles)


async def test_a_role_s_threshold_and_keys(world: World) -> None:
    """Root from 2 of 3 to 3 of 4, targets to 1 of 1, the product's to 2 of 2: each keeps what is published."""
    await delegated(world)
    await publish(world, "1")
    await signed(world, Renew(APP, [Version("1")]), "alice")
    await signed(world, Rekey(ROOT, 3, [public("root-4")]), *ROOTS, "root-4")
    with pytest.raises(errors.MetadataThresholdError):
        await signed(world, Renew(ROOT), *ROOTS[:2])
    await signed(world, Rekey(TARGETS, 1, remove=[public("targets-2").keyid]), *ROOTS, "targets-1")
    await signed(world, Rekey(APP, 2, [public("bob")]), "targets-1", "alice", "bob")
    status = await metadata.status(world, ACME)
    assert {r.name: (r.threshold, len(r.keys)) for r in status.roles if r.name not in {SNAPSHOT, TIMESTAMP}} == {
        ROOT: (3, 4),
        TARGETS: (1, 1),
        APP: (2, 2),
    }
    assert [key.id for key in status.keys if key.revoked_at] == [public("targets-2").keyid]
    assert await listed(world) == ["app/stable/1/app-1.swu"]
    await publish(world, "2")
    with pytest.raises(errors.MetadataThresholdError):
        await signed(world, Renew(APP, [Version("2")]), "alice")
    await signed(world, Renew(APP, [Version("2")]), "alice", "bob")


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (Rekey(TIMESTAMP, 2), errors.InvalidInputError),
        (Rekey(LTS, 1), errors.MetadataContentError),
        (Rekey(APP, remove=["0" * 64]), errors.MetadataContentError),
        (Rekey(APP, 2), errors.MetadataThresholdError),
        (Rekey(APP, 1), errors.NothingToDoError),
        (Rekey(APP, add=[public("alice")]), errors.NothingToDoError),
        (Rekey(APP, remove=[public("alice").keyid]), errors.MetadataThresholdError),
        (Rekey(APP, add=[public("bob"), public("bob")]), errors.MetadataFormError),
        (Rekey(APP, add=[public("gone")]), errors.MetadataContentError),
    ],
)
async def test_what_a_role_cannot_become(world: World, order: Rekey, error: type[Exception]) -> None:
    await delegated(world)
    await signed(world, Rekey(APP, add=[public("gone")]), *TARGETERS)
    await signed(world, Rekey(APP, remove=[public("gone").keyid]), *TARGETERS)
    with pytest.raises(error):
        await metadata.change(world, ACME, SYSTEM, order)


async def test_the_director_s_online_roles_get_keys_of_their_own(world: World) -> None:
    """Timestamp gets another key than targets and snapshot have, made by the signer; then root a second keeper."""
    (old,) = {key for r in await directed(world) if r.name != ROOT for key in r.keys}
    outcome = await metadata.change(world, ACME, SYSTEM, Rekey(TIMESTAMP, None, [], [old], DIRECTOR, made=True))
    assert (outcome.repository, {lack.role for lack in outcome.missing}) == (DIRECTOR, {ROOT})
    await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, "director-1"), DIRECTOR)
    status = await metadata.status(world, ACME)
    keys = {r.name: r.keys for r in status.director}
    assert keys[TARGETS] == keys[SNAPSHOT] == [old]
    assert old not in keys[TIMESTAMP]
    assert {key.id: key.place for key in status.keys}[keys[TIMESTAMP][0]] is Place.SERVER
    outcome = await metadata.change(world, ACME, SYSTEM, Rekey(ROOT, 2, [public("director-2")], repository=DIRECTOR))
    await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, "director-1", "director-2"), DIRECTOR)
    assert {r.name: r.threshold for r in (await metadata.status(world, ACME)).director}[ROOT] == 2


async def test_nobody_else_s_key_comes_to_direct(world: World) -> None:
    """A key that the signer does not hold cannot take the place of the one it has; nor does it make people's keys."""
    (old,) = {key for r in await directed(world) if r.name != ROOT for key in r.keys}
    outcome = await metadata.change(world, ACME, SYSTEM, Rekey(TARGETS, None, [public("alice")], [old], DIRECTOR))
    with pytest.raises(errors.SignatureMissingError):
        await metadata.accept(world, ACME, SYSTEM, all_by(outcome.offered, "director-1"), DIRECTOR)
    for order in (Rekey(ROOT, made=True, repository=DIRECTOR), Rekey(APP, made=True), Rekey(SNAPSHOT, made=True)):
        with pytest.raises(errors.InvalidInputError):
            await metadata.change(world, ACME, SYSTEM, order)


async def test_who_made_a_release_what_it_is(world: World) -> None:
    await delegated(world)
    draft = await publish(world, "1")
    before = (await releases.detailed(world, ACME, PRODUCT, draft.version))[2]
    assert before == Record(APP, "system", None, None, [], None)
    await signed(world, Renew(APP, [draft.version]), "alice")
    await integrate(world)
    after = (await releases.detailed(world, ACME, PRODUCT, draft.version))[2]
    assert (after.published_by, after.signed_version, after.signed_by) == ("system", 1, [public("alice").keyid])
    assert after.log_index is not None
    ((place, entry),) = [
        (place, one)
        for place, one in await entries(world, ACME, Log.RELEASE, "app:1", None, 9)
        if b"published" in one.entry
    ]
    assert (place, entry.subject) == (after.log_index, "app:1")


async def test_a_ceremony_needs_a_key_that_the_server_holds(world: World) -> None:
    now = world.clock.now()
    keys = {name: some(["root-1"]) for name in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)}
    made: dict[str, AnyMetadata] = {ROOT: changes.new_root(keys, now), TARGETS: changes.new_targets(TARGETS, now)}
    with pytest.raises(errors.SignatureMissingError):
        await metadata.accept(world, ACME, SYSTEM, all_by(made, "root-1"))
    assert not (await metadata.status(world, ACME)).roles


async def test_events_tell_what_was_signed(world: World) -> None:
    await publish(world, "1")
    found = await world.store.read(lambda tx: tx.events.page(ACME, START, 100))
    kinds = [(one.what.kind, one.what.subject) for one in found if one.what.kind.startswith("metadata")]
    assert kinds == [
        ("metadata.signed", "root"),
        ("metadata.signed", "targets"),
        ("metadata.signed", "director:root"),
        ("metadata.signed", "targets"),
        ("metadata.signed", APP),
    ]
    assert sum(one.what.kind == "key.added" for one in found) == 6


async def test_what_waits_for_people_in_numbers(world: World, clock: SettableClock) -> None:
    await delegated(world)
    await publish(world, "1")
    found = await alarms.of_tenant(world, ACME)
    assert (found.development, found.drafts) == (0, 1)
    assert {end.role: end.people for end in found.endings} == {
        ROOT: True,
        TARGETS: True,
        SNAPSHOT: False,
        TIMESTAMP: False,
    }
    clock.ahead = timedelta(seconds=90)
    found = await alarms.of_tenant(world, ACME)
    assert all(lag.entries > 0 and lag.age >= clock.ahead for lag in found.lags.values())
    await integrate(world)
    found = await alarms.of_tenant(world, ACME)
    assert set(found.lags.values()) == {alarms.Lag(0, timedelta(0))}
    every, left_out = await alarms.of_all(world)
    assert ([one.tenant for one in every], left_out) == ([ACME, RIVAL], 0)


async def test_the_director_s_root_is_counted_too(world: World) -> None:
    await directed(world)
    found = (await alarms.of_tenant(world, ACME)).endings
    assert [(end.repository, end.role, end.people) for end in found] == [(DIRECTOR, ROOT, True)]


async def test_a_banner_says_what_ends(world: World, clock: SettableClock) -> None:
    await delegated(world)
    await directed(world)
    assert await alarms.brief(world, ACME) == alarms.Brief(development=False, due=[], stuck=[])
    clock.ahead = 270 * DAY + timedelta(minutes=30)
    await metadata.renew_due(world)
    assert not (await alarms.brief(world, ACME)).due
    clock.ahead = 270 * DAY + timedelta(minutes=61)
    assert {(due.role, due.expired) for due in (await alarms.brief(world, ACME)).due} == {
        (f"{DIRECTOR}:{ROOT}", False),
        (ROOT, False),
        (TARGETS, False),
    }
    clock.ahead = 366 * DAY
    await metadata.renew_due(world)
    assert all(due.expired for due in (await alarms.brief(world, ACME)).due)


async def test_the_end_of_the_director_s_root_is_told_of(world: World, clock: SettableClock) -> None:
    """When it has ended, no device that verifies takes anything any more."""
    await delegated(world)
    clock.ahead = 50 * DAY
    online = ([await metadata.online_key(world, ACME, SYSTEM, DIRECTOR)], 1)
    keys: dict[str, changes.Keys] = {ROOT: some(["director-1"]), TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}
    root = by(changes.new_root(keys, world.clock.now()), "director-1")
    await metadata.accept(world, ACME, SYSTEM, {ROOT: root}, DIRECTOR)
    found = await alarms.of_tenant(world, ACME)
    assert {(end.repository, end.role): end.people for end in found.endings}[DIRECTOR, ROOT]
    clock.ahead = 321 * DAY
    await metadata.renew_due(world)
    due = [(one.role, one.expired) for one in (await alarms.brief(world, ACME)).due]
    assert due == [(ROOT, False), (TARGETS, False), ("director:root", False)]


async def test_development_keys_are_told_of(world: World) -> None:
    assert not (await alarms.brief(world, ACME)).development
    await publish(world, "1")
    assert (await alarms.brief(world, ACME)).development
    assert (await alarms.of_tenant(world, ACME)).development == 6
