"""Releases of several components, over a real store: all of them or none."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from otaru.adapters.contacts import record_contacts
from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Hardware, pins
from otaru.domain.ids import ActionId, DeviceId, ProductName, Version
from otaru.domain.offer import Rule
from otaru.domain.release import Release
from otaru.domain.rollout import Policy
from otaru.domain.terms import NO_TERMS, Terms
from otaru.errors import InvalidInputError
from otaru.services.control import artifacts, devices, pieces, planning, releases, rollouts, survey, tenants
from otaru.services.control.devices import Change, NewDevice
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollback import plan_back
from otaru.services.control.rollouts import Intention
from otaru.services.control.trials import end_trials
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet

pytestmark = pytest.mark.anyio

GATEWAY = ProductName("app")
SMALL, LARGE = Hardware("gw", "a"), Hardware("gw", "b")
GW = Hardware("gw")


class Gateways(Fleet):
    """Gateways with an os and an app, the large ones with an FPGA beside."""

    async def stored(self, text: str) -> Part:
        async def content() -> AsyncIterator[bytes]:
            yield text.encode()

        blob = (await artifacts.store(self.world, ACME, content())).blob
        return Part(blob.sha256, f"{text}.bin", text.partition("-")[0], [GW])

    async def bring(self, version: str, *components: str, terms: Terms = NO_TERMS) -> Release:
        parts = [await self.stored(f"{name}-{version}") for name in components or ("os", "app", "fpga")]
        parts = [p if p.component != "fpga" else Part(p.sha256, p.filename, "fpga", [LARGE]) for p in parts]
        new = NewRelease(GATEWAY, Version(version), parts, terms=terms)
        return await releases.create(self.world, ACME, SYSTEM, new)

    async def gateway(self, name: str, hardware: Hardware = SMALL, **installed: str) -> None:
        runs = {component: Version(version) for component, version in installed.items()}
        await devices.add(self.world, ACME, SYSTEM, NewDevice(DeviceId(name), hardware, installed=runs))

    async def told(self, name: str, *, single: bool = False) -> list[str] | None:
        tenant = await self.world.registry.tenant(ACME)
        entry = await self.world.registry.device(ACME, DeviceId(name))
        assert tenant is not None
        assert entry is not None
        _, due, _ = await poll(self.world, tenant, entry, single=single)
        return None if due is None else [artifact.component for artifact in due.artifacts]

    async def heard(self, name: str) -> None:
        await self.world.store.write(record_contacts, [(ACME, DeviceId(name), self.world.clock.now(), "")])

    async def runs(self, name: str) -> dict[str, str]:
        device = (await survey.device(self.world, ACME, DeviceId(name))).device
        return {one.component: one.version for one in device.installed}

    async def why(self, name: str) -> list[tuple[Rule, str]]:
        return [(a.rule, a.because) for a in await survey.why(self.world, ACME, DeviceId(name))]


@pytest.fixture
async def fleet(world: World) -> Gateways:
    made = Gateways(world)
    await made.bring("2")
    return made


async def test_each_gets_all_that_is_for_its_hardware_in_the_order_of_the_release(fleet: Gateways) -> None:
    await fleet.gateway("small")
    await fleet.gateway("large", LARGE)
    await fleet.roll_out()
    assert await fleet.told("small") == ["os", "app"]
    assert await fleet.told("large") == ["os", "app", "fpga"]
    assert await fleet.say("small", Event.SUCCEED) is State.SUCCEEDED
    assert await fleet.say("large", Event.FAIL) is State.FAILED
    assert await fleet.runs("small") == {"os": "2", "app": "2"}
    assert await fleet.runs("large") == {}


async def test_who_has_all_of_it_is_left_out_and_who_has_some_is_not(fleet: Gateways) -> None:
    await fleet.gateway("all", os="2", app="2")
    await fleet.gateway("some", os="2", app="1")
    await fleet.gateway("most", LARGE, os="2", app="2")
    await fleet.gateway("held")
    await fleet.gateway("other", Hardware("x"))
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("held"), Change(pins=pins(["app", "fpga"])))
    await fleet.gateway("free")
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("free"), Change(pins=pins(["fpga"])))
    found = await rollouts.preview(fleet.world, ACME, Intention(GATEWAY, Version("2"), "id==*", Policy()))
    assert (found.members, found.left_out) == (3, {"inactive": 0, "misfit": 1, "installed": 1, "pinned": 1})
    await fleet.roll_out()
    for name in ("some", "most", "free"):
        assert await fleet.told(name) is not None


async def test_a_plan_counts_the_bytes_of_all_of_them(fleet: Gateways) -> None:
    await fleet.gateway("small")
    await fleet.gateway("large", LARGE)
    found = await planning.plan(fleet.world, ACME, Intention(GATEWAY, Version("2"), "id==*", Policy()))
    assert found.volume == 2 * len("os-2" + "app-2") + len("fpga-2")


async def test_what_is_done_meanwhile_is_skipped_as_a_whole(fleet: Gateways) -> None:
    await fleet.gateway("a", app="2")
    await fleet.roll_out()
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("a"), Change(installed={"os": Version("2")}))
    assert await fleet.why("a") == [(Rule.INSTALLED, "os and app 2 are installed already.")]
    assert await fleet.told("a") is None


async def test_a_client_of_one_file_is_never_told(fleet: Gateways) -> None:
    await fleet.gateway("a")
    rollout = await fleet.roll_out()
    assert await fleet.told("a", single=True) is None
    assert await fleet.counts(rollout) == {State.SCHEDULED: 1}
    ((rule, because),) = await fleet.why("a")
    assert rule is Rule.OFFER, "by which road it asks shows when it asks"
    assert "brings os and app together: a DDI client is not told of it" in because
    await tenants.change(fleet.world, ACME, SYSTEM, tenants.Change(several=("gw",)))
    ((_, because),) = await fleet.why("a")
    assert "DDI" not in because
    assert await fleet.told("a") == ["os", "app"]


async def test_counters_are_asked_of_each_and_the_floor_of_the_first(fleet: Gateways) -> None:
    await fleet.bring("3", terms=Terms(floor=Version("1"), security_floor=5))
    await fleet.gateway("a", os="1")
    await fleet.gateway("b", app="9")
    await fleet.roll_out("3")
    assert await fleet.told("a") == ["os", "app"], "what runs in app is not asked"
    assert await fleet.told("b") is None
    assert [rule for rule, _ in await fleet.why("b")] == [Rule.FLOOR]
    await fleet.say("a", Event.SUCCEED)
    await fleet.bring("1.9", "app", "os")
    with pytest.raises(InvalidInputError, match="lower"):
        await fleet.bring("4", "fpga", "app", terms=Terms(security_floor=4))
    await fleet.roll_out("1.9", "id==a")
    assert [rule for rule, _ in await fleet.why("a")] == [Rule.SECURITY_FLOOR]


async def test_a_trial_is_one_of_all_of_them(fleet: Gateways, clock: SettableClock) -> None:
    await fleet.gateway("a")
    await fleet.gateway("b")
    rollout = await fleet.roll_out(policy=Policy(validate=timedelta(minutes=10)))
    for name in ("a", "b"):
        await fleet.told(name)
        assert await fleet.say(name, Event.SUCCEED) is State.ON_TRIAL
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("b"), Change(installed={"app": Version("1")}))
    clock.ahead += timedelta(hours=2)
    for name in ("a", "b"):
        await fleet.heard(name)
    assert await end_trials(fleet.world) == 2
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 1, State.REVERTED: 1}
    confirmed = (await survey.device(fleet.world, ACME, DeviceId("a"))).device.installed
    assert {one.component: one.confirmed for one in confirmed} == {"os": True, "app": True}


async def test_nobody_goes_back_to_a_release_of_other_components(fleet: Gateways) -> None:
    await fleet.bring("1", "os")
    await fleet.bring("1.5")
    for name, base in (("a", "1"), ("b", "1.5")):
        await fleet.gateway(name, os=base)
    bad = await fleet.roll_out()
    for name in ("a", "b"):
        await fleet.told(name)
        await fleet.say(name, Event.SUCCEED)
    ways = {way.base: way for way in await plan_back(fleet.world, ACME, bad)}
    assert ways[Version("1")].barred == "app 1 is not for the same components, but for os"
    assert ways[Version("1.5")].members == 1


async def test_a_success_of_something_else_is_none(fleet: Gateways) -> None:
    await fleet.gateway("a")
    await fleet.roll_out()
    await fleet.told("a")
    entry = await fleet.world.registry.device(ACME, DeviceId("a"))
    assert entry is not None
    report = Report(DeviceId("a"), ActionId(1), fleet.world.clock.now(), Event.SUCCEED, "succeed", "", (), b"1")

    async def heard(**runs: str) -> Event | None:
        versions = {component: Version(version) for component, version in runs.items()}
        (said,) = await pieces.whole(fleet.world, ACME, entry.subject, [report], versions)
        return said.event

    assert await heard() is Event.SUCCEED, "who says nothing of what runs is believed"
    assert await heard(os="2", app="2", other="7") is Event.SUCCEED
    assert await heard(bootloader="7") is Event.SUCCEED, "needed only for what Otaru has not brought"
    assert await heard(os="2", app="1") is Event.FAIL


async def test_two_components_may_not_have_files_of_one_name(fleet: Gateways) -> None:
    same = await fleet.stored("os-9")
    parts = [same, Part(same.sha256, same.filename, "app", [GW])]
    with pytest.raises(InvalidInputError, match="is the file of two components, os and app"):
        await releases.create(fleet.world, ACME, SYSTEM, NewRelease(GATEWAY, Version("9"), parts))
