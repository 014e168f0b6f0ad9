"""What devices that verify the director are told, what its signer refuses, and what is given out without it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from otaru.domain.deployment import Event, Report
from otaru.domain.device import Hardware, LifecycleEvent
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, TenantId, Version
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import Policy, RolloutEvent
from otaru.errors import (
    AssignmentRefusedError,
    MetadataContentError,
    NotFoundError,
    SignatureMissingError,
    UnavailableError,
)
from otaru.ports.director import Assignment
from otaru.services.control import artifacts, devices, directing, feedback, metadata, releases, rollouts
from otaru.services.control.desk import BURST
from otaru.services.control.devices import NewDevice
from otaru.services.control.metadata import Renew, Replace
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.transparency import integrate
from otaru.services.control.world import SYSTEM, World
from otaru.trust.tuf import changes
from otaru.trust.tuf.director import ONLY, Share
from otaru.trust.tuf.kept import DIRECTOR
from otaru.trust.tuf.metadata import as_root, check_signatures, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tests.support.databases import SqliteDatabases
from tests.support.keys import by, public, some
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock, a_world

pytestmark = pytest.mark.anyio

APP, BOARD, DEV = ProductName("app"), Hardware("board"), DeviceId("dev-1")
DAY = timedelta(days=1)
_CHANGED = "UPDATE {0} SET {1} = CAST(replace(CAST({1} AS TEXT), '{2}', '{3}') AS BLOB) WHERE {4}"


class Gone:
    """A signer that does not answer."""

    def __getattr__(self, name: str) -> Any:
        async def unavailable(*_: Any) -> Any:
            raise UnavailableError(f"no {name}")

        return unavailable


@dataclass
class Fleet:
    """A tenant with a release, and devices that poll and ask."""

    world: World

    async def add(self, name: str, tenant: TenantId = ACME) -> None:
        await devices.add(self.world, tenant, SYSTEM, NewDevice(DeviceId(name), BOARD))

    async def release(self, version: str, tenant: TenantId = ACME) -> None:
        async def content() -> AsyncIterator[bytes]:
            yield version.encode()

        stored = await artifacts.store(self.world, tenant, content())
        part = Part(stored.blob.sha256, "app.bin", "app", (BOARD,))
        await releases.create(self.world, tenant, SYSTEM, NewRelease(APP, Version(version), (part,)))

    async def roll_out(self, version: str = "2", policy: Policy | None = None) -> RolloutId:
        wanted = Intention(APP, Version(version), "id==*", policy or Policy(), start=True)
        return (await rollouts.create(self.world, ACME, SYSTEM, wanted)).id

    async def poll(self, name: str = DEV) -> None:
        tenant = await self.world.registry.tenant(ACME)
        entry = await self.world.registry.device(ACME, DeviceId(name))
        assert tenant is not None
        assert entry is not None
        await poll(self.world, tenant, entry)

    async def succeed(self) -> None:
        now = self.world.clock.now()
        said = Report(DEV, ActionId(1), now, Event.SUCCEED, "closed", "success", (), b"1")
        await feedback.report(self.world, ACME, said)

    async def file(self, name: str, device: str = DEV, tenant: TenantId = ACME) -> bytes:
        entry = await self.world.registry.device(tenant, DeviceId(device))
        assert entry is not None
        return (await directing.file(self.world, tenant, entry, name)).content

    async def told(self, device: str = DEV, tenant: TenantId = ACME) -> dict[str, Any]:
        """The targets that a device gets now, found by the way that clients go."""
        timestamp = read(TIMESTAMP, await self.file("timestamp.json", device, tenant))
        root = read(
            ROOT, (await metadata.file(self.world, tenant, f"{await self.roots(tenant)}.root.json", DIRECTOR)).content
        )
        version = timestamp.signed.version
        files = {role: await self.file(f"{version}.{role}.json", device, tenant) for role in (SNAPSHOT, TARGETS)}
        for role, found in {TIMESTAMP: timestamp, **{role: read(role, data) for role, data in files.items()}}.items():
            check_signatures(root.signed, role, found)
            assert found.signed.version == version
        told: dict[str, Any] = json.loads(files[TARGETS])["signed"]
        assert told["deviceId"] == device
        return told

    async def roots(self, tenant: TenantId = ACME) -> int:
        return (await self.world.store.glance(lambda tx: tx.signatures.ends(tenant, DIRECTOR)))[ROOT].version

    async def offered(self, **policy: Any) -> RolloutId:
        rollout = await self.roll_out(policy=Policy(**policy))
        await integrate(self.world)
        await self.poll()
        return rollout


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.add(DEV)
    await made.release("2")
    return made


async def refused(world: World, share: Share | None, device: str = DEV) -> str:
    with pytest.raises(AssignmentRefusedError) as caught:
        await world.director.sign(Assignment(ACME, DeviceId(device), share))
    return caught.value.message


async def test_the_first_release_begins_both_repositories(fleet: Fleet) -> None:
    found = await metadata.status(fleet.world, ACME)
    assert [role.name for role in found.director] == [ROOT, TARGETS, SNAPSHOT, TIMESTAMP]
    of = {repository: {k.id for k in found.keys if k.repository == repository} for repository in ("image", "director")}
    assert len(of["image"]) == 4
    assert len(of["director"]) == 2
    assert found.development
    assert not (await metadata.status(fleet.world, RIVAL)).keys


async def test_a_device_that_asks_is_told_that_nothing_is_due(fleet: Fleet) -> None:
    told = await fleet.told()
    assert (told["version"], told["targets"]) == (1, {})
    assert await fleet.told() == told
    await fleet.add("dev-2")
    await fleet.poll("dev-2")
    assert await fleet.world.store.glance(lambda tx: tx.directions.get(ACME, DeviceId("dev-2"))) is None


async def test_an_offer_is_signed_as_the_image_repository_has_it(fleet: Fleet) -> None:
    await fleet.told()
    rollout = await fleet.offered()
    kept = await fleet.world.store.glance(lambda tx: tx.directions.get(ACME, DEV))
    assert kept is not None
    assert (kept.version, kept.share) == (
        2,
        Share(rollout, 1, ActionId(1)),
    )  # made with the offer, before it was asked for
    told = await fleet.told()
    image = read("product.app.stable", (await metadata.file(fleet.world, ACME, "1.product.app.stable.json")).content)
    ((path, target),) = told["targets"].items()
    wanted = image.signed.targets[path].to_dict()
    assert {name: value for name, value in target["custom"].items() if name not in ONLY} == wanted["custom"]
    assert {**target, "custom": wanted["custom"]} == wanted
    assert (target["custom"]["rolloutId"], target["custom"]["action"]) == (rollout, 1)
    await fleet.succeed()
    assert (await fleet.told())["targets"] == {}


async def test_who_asks_once_is_known_to_verify(fleet: Fleet) -> None:
    """Also by the process that keeps devices in memory: the next offer is signed when it is made."""

    async def verifies() -> bool:
        entry = await fleet.world.registry.device(ACME, DEV)
        assert entry is not None
        return entry.verifies

    assert not await verifies()
    await fleet.file("timestamp.json")
    assert await verifies()


async def test_an_offer_to_a_device_that_does_not_verify_makes_nothing(fleet: Fleet) -> None:
    await fleet.offered()
    assert await fleet.world.store.glance(lambda tx: tx.directions.get(ACME, DEV)) is None


async def test_versions_rise_and_what_ends_soon_is_made_anew(fleet: Fleet, clock: SettableClock) -> None:
    first = await fleet.told()
    clock.ahead = timedelta(days=1.9)
    assert await fleet.told() == first
    clock.ahead = timedelta(days=2.1)
    second = await fleet.told()
    assert second["version"] == 2
    assert second["expires"] > first["expires"]
    with pytest.raises(NotFoundError):
        await fleet.file("1.targets.json")
    for name in ("", "targets.json", "2.timestamp.json", "2.product.app.stable.json", "../1.root.json", "9.root.json"):
        with pytest.raises(NotFoundError):
            await fleet.file(name)


async def test_a_new_root_signs_anew(fleet: Fleet) -> None:
    first = await fleet.told()
    for wanted in (ROOT, TARGETS):
        found = await metadata.status(fleet.world, ACME)
        old = next(role.keys[0] for role in found.director if role.name == wanted)
        assert not (await metadata.change(fleet.world, ACME, SYSTEM, Replace(old, made=True))).missing
    assert await fleet.roots() == 3
    second = await fleet.told()
    assert second["version"] == first["version"] + 1
    assert not (await metadata.change(fleet.world, ACME, SYSTEM, Renew(ROOT, repository=DIRECTOR))).missing
    assert await fleet.roots() == 4
    image = {role.name: role.end for role in (await metadata.status(fleet.world, ACME)).roles}
    assert (end := image[ROOT]) is not None
    assert end.version == 1


async def test_a_root_ends_and_is_signed_anew_in_time(fleet: Fleet, clock: SettableClock) -> None:
    clock.ahead = 300 * DAY
    assert await metadata.renew_due(fleet.world) == []
    assert await fleet.roots() == 2


async def test_what_is_not_logged_is_not_signed(fleet: Fleet) -> None:
    await fleet.told()
    await integrate(fleet.world)
    rollout = await fleet.roll_out()
    await fleet.poll()
    share = Share(rollout, 1, ActionId(1))
    assert "log does not" in await refused(fleet.world, share)
    assert (await fleet.told())["targets"] == {}  # what it has still holds, and directs to nothing
    await integrate(fleet.world)
    assert (await fleet.told())["targets"]


async def test_the_signer_looks_for_itself(fleet: Fleet) -> None:
    rollout = await fleet.offered()
    await fleet.add("dev-2")
    for share, device in (
        (Share(rollout, 1, ActionId(2)), DEV),
        (Share(rollout, 2, ActionId(1)), DEV),
        (Share(RolloutId(77), 1, ActionId(1)), DEV),
        (Share(rollout, 1, ActionId(1)), "dev-2"),
        (Share(rollout, 1, ActionId(1)), "nobody"),
    ):
        assert await refused(fleet.world, share, device)
    with pytest.raises(AssignmentRefusedError):
        await fleet.world.director.sign(Assignment(RIVAL, DEV, None))
    share = Share(rollout, 1, ActionId(1))
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert (await fleet.world.director.sign(Assignment(ACME, DEV, share))).share == share
    await releases.move(fleet.world, ACME, SYSTEM, APP, Version("2"), ReleaseEvent.WITHDRAW)
    assert await refused(fleet.world, share)


async def test_nothing_is_directed_to_who_is_not_served_or_waits_for_consent(fleet: Fleet) -> None:
    rollout = await fleet.offered(consent=True)
    assert (await fleet.told())["targets"] == {}
    assert "not been told" in await refused(fleet.world, Share(rollout, 1, ActionId(1)))
    await devices.move(fleet.world, ACME, SYSTEM, DEV, LifecycleEvent.QUARANTINE)
    assert "not active" in await refused(fleet.world, Share(rollout, 1, ActionId(1)))


@pytest.mark.parametrize("what", ["artifact", "metadata", "log"])
async def test_a_database_changed_by_hand(sqlite_databases: SqliteDatabases, tmp_path: Any, what: str) -> None:
    url = sqlite_databases.fresh()
    async with a_world(url, tmp_path) as (world, _):
        fleet = Fleet(world)
        await fleet.add(DEV)
        await fleet.release("2")
        rollout = await fleet.offered()
        statement = {
            "artifact": "UPDATE artifact SET filename = 'other.bin'",
            "metadata": _CHANGED.format("tuf_metadata", "content", "app.bin", "bad.bin", "role LIKE 'product%'"),
            "log": _CHANGED.format("log_entry", "entry", "running", "planned", "kind = 'rollout.moved'"),
        }[what]
        engine = create_engine(url)
        with engine.begin() as connection:
            assert connection.execute(text(statement)).rowcount
        engine.dispose()
        assert await refused(world, Share(rollout, 1, ActionId(1)))


async def test_no_device_has_endlessly_much_signed(fleet: Fleet, clock: SettableClock) -> None:
    for _ in range(BURST):
        await fleet.world.director.sign(Assignment(ACME, DEV, None))
    assert "short time" in await refused(fleet.world, None)
    await fleet.add("dev-2")
    await fleet.told("dev-2")
    clock.ahead = timedelta(minutes=2)
    await fleet.world.director.sign(Assignment(ACME, DEV, None))


async def test_without_the_signer_what_holds_is_given_out_and_nothing_else(fleet: Fleet, clock: SettableClock) -> None:
    first = await fleet.told()
    alone = Fleet(replace(fleet.world, director=Gone()))
    await alone.offered()  # offers go on
    assert await alone.told() == first
    directed = await fleet.told()
    assert directed["targets"]
    assert await alone.told() == directed
    await alone.succeed()
    with pytest.raises(UnavailableError):  # it would direct to what is over
        await alone.told()
    assert (await fleet.told())["targets"] == {}
    clock.ahead = 4 * DAY
    with pytest.raises(UnavailableError):
        await alone.told()


async def test_a_release_is_published_without_the_signer_and_the_director_begins_when_it_is_back(world: World) -> None:
    alone = Fleet(replace(world, director=Gone()))
    await alone.add(DEV)
    await alone.release("2")
    with pytest.raises(UnavailableError):
        await alone.told()
    assert (await Fleet(world).told())["version"] == 1


async def ceremony(world: World) -> None:
    """Roots of people's keys."""
    now = world.clock.now()
    for of, people in (("image", "root-1"), (DIRECTOR, "director-1")):
        online = ([await metadata.online_key(world, ACME, SYSTEM, of)], 1)
        keys: dict[str, changes.Keys] = {ROOT: some([people]), TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}
        made: dict[str, Any] = {ROOT: by(changes.new_root(keys, now), people)}
        if of != DIRECTOR:
            keys[TARGETS] = some(["targets-1"])
            made = {ROOT: by(changes.new_root(keys, now), people)}
            made[TARGETS] = by(changes.new_targets(TARGETS, now), "targets-1")
        await metadata.accept(world, ACME, SYSTEM, made, of)


async def test_a_ceremony_of_the_director(world: World) -> None:
    production = replace(world, production=True)
    fleet = Fleet(production)
    await fleet.add(DEV)
    with pytest.raises(NotFoundError, match="no director"):
        await fleet.told()
    await ceremony(production)
    assert (await fleet.told())["targets"] == {}
    found = await metadata.status(production, ACME)
    places = {(key.repository, key.role, key.place.value) for key in found.keys}
    assert (DIRECTOR, ROOT, "offline") in places
    assert (DIRECTOR, TARGETS, "server") in places


async def test_the_repositories_share_no_key_and_the_signer_has_to_hold_its_own(world: World) -> None:
    await ceremony(world)
    now = world.clock.now()
    theirs = ([await metadata.online_key(world, ACME, SYSTEM, DIRECTOR)], 1)
    for online in (some(["eve"]), theirs):
        keys = {ROOT: some(["root-9"]), TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}
        with pytest.raises(SignatureMissingError):
            await metadata.accept(world, RIVAL, SYSTEM, {ROOT: by(changes.new_root(keys, now), "root-9")}, DIRECTOR)
    assert not (await metadata.status(world, RIVAL)).director
    old, heir, (image,) = public("director-1").keyid, public("director-9"), some(["root-1"])[0]
    with pytest.raises(MetadataContentError, match="image repository"):
        await metadata.change(world, ACME, SYSTEM, Replace(old, by=image))
    outcome = await metadata.change(world, ACME, SYSTEM, Replace(old, by=heir))
    assert outcome.repository == DIRECTOR
    root = as_root(outcome.offered[ROOT]).signed
    root.revoke_key(heir.keyid, ROOT)
    root.add_key(image, ROOT)
    signed = {role: by(found, "director-1", "root-1") for role, found in outcome.offered.items()}
    with pytest.raises(MetadataContentError, match="image repository"):
        await metadata.accept(world, ACME, SYSTEM, signed, DIRECTOR)
