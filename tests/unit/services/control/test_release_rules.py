"""What releases require of devices, from their making to the poll and to "why not updated?"."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Hardware, Source
from otaru.domain.ids import DeviceId, ProductName, RolloutId, Version
from otaru.domain.offer import Rule
from otaru.domain.release import Release, ReleaseEvent
from otaru.domain.rollout import Policy
from otaru.domain.targeting import parse
from otaru.domain.terms import Terms, requirement
from otaru.domain.versions import VersionOrder
from otaru.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from otaru.services.control import artifacts, devices, feedback, products, releases, rollouts, survey
from otaru.services.control.devices import Change, NewDevice
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
BOARD = Hardware("board")
APP, BOOT = ProductName("app"), ProductName("boot")


async def release(
    world: World, version: str, terms: Terms | None = None, *, product: str = "app", component: str = ""
) -> Release:
    async def content() -> AsyncIterator[bytes]:
        yield f"{product} {version}".encode()

    stored = await artifacts.store(world, ACME, content())
    part = Part(stored.blob.sha256, "app.bin", component or product, [BOARD])
    new = NewRelease(ProductName(product), Version(version), [part], terms=terms or Terms())
    return await releases.create(world, ACME, SYSTEM, new)


async def added(world: World, **installed: str) -> None:
    runs = {component: Version(version) for component, version in installed.items()}
    await devices.add(world, ACME, SYSTEM, NewDevice(DEV, BOARD, installed=runs))


async def rolled_out(world: World, version: str, product: str = "app") -> RolloutId:
    wanted = Intention(ProductName(product), Version(version), "id==*", Policy(), start=True)
    return (await rollouts.create(world, ACME, SYSTEM, wanted)).id


async def polled(world: World) -> str | None:
    """The version that the device is told to install."""
    tenant, entry = await world.registry.tenant(ACME), await world.registry.device(ACME, DEV)
    assert tenant is not None
    assert entry is not None
    _, due, _ = await poll(world, tenant, entry)
    return None if due is None else due.plan.release.version


async def updated(world: World) -> str:
    """Poll, and install what the device is told to."""
    version = await polled(world)
    assert version is not None
    shown = await survey.device(world, ACME, DEV)
    action = next(d.action for d, _ in shown.history if d.state is State.OFFERED)
    said = Report(DEV, action, world.clock.now(), Event.SUCCEED, "closed", "success", (), b"%d" % action)
    await feedback.report(world, ACME, said)
    return version


async def why(world: World) -> list[tuple[Rule, str]]:
    return [(a.rule, a.because) for a in await survey.why(world, ACME, DEV)]


async def test_a_device_passes_through_the_floors_that_why_names(world: World) -> None:
    await added(world, app="1.0")
    for version, floor in (("2.0", None), ("2.4", None), ("3.0", "2.4"), ("3.1", "3.0")):
        await release(world, version, Terms(floor=None if floor is None else Version(floor)))
    await rolled_out(world, "3.1")
    assert await polled(world) is None
    assert await why(world) == [
        (
            Rule.FLOOR,
            "3.1 is reached from app 3.0 or newer; the device runs app 1.0. Install app 2.4, then app 3.0 first.",
        )
    ]
    await rolled_out(world, "2.4")
    await rolled_out(world, "3.0")
    assert [await updated(world) for _ in range(3)] == ["2.4", "3.0", "3.1"]
    await releases.move(world, ACME, SYSTEM, APP, Version("3.0"), ReleaseEvent.WITHDRAW)
    await devices.change(world, ACME, SYSTEM, DEV, Change(installed={"app": Version("1.0")}))
    await rolled_out(world, "3.1")
    assert (await why(world))[0][1].endswith("the device runs app 1.0. No published release leads there.")


async def test_what_a_release_requires_comes_first_and_wakes_nobody_else(world: World) -> None:
    await added(world, boot="2025.1")
    for version in ("2025.1", "2025.3", "2025.10", "2026.1"):
        await release(world, version, product="boot")
    await release(world, "1.0", Terms(requires=(requirement("boot>=2025.3"), requirement("boot<2026"))))
    await rolled_out(world, "1.0")
    assert await polled(world) is None
    said = "The release requires boot>=2025.3; the device runs boot 2025.1."
    assert await why(world) == [(Rule.REQUIREMENTS, f"{said} Install boot 2025.10 first.")]
    await rolled_out(world, "2025.10", "boot")
    assert [await updated(world), await updated(world)] == ["2025.10", "1.0"]


async def test_a_counter_rises_only_with_a_confirmed_burn(world: World) -> None:
    await added(world, app="1.0")
    await release(world, "1.0")
    assert (await release(world, "1.1", Terms(security_floor=3))).counter == 3
    assert (await release(world, "1.2")).counter == 3, "inherited"
    assert (await release(world, "0.9")).counter == 0

    async def counter() -> int:
        (fact,) = (await survey.device(world, ACME, DEV)).device.installed
        return fact.counter

    await rolled_out(world, "1.2")
    assert await updated(world) == "1.2"
    assert await counter() == 0, "1.2 burns nothing itself"
    await rolled_out(world, "1.0")
    assert await updated(world) == "1.0", "so it may go back"
    await rolled_out(world, "1.1")
    assert await updated(world) == "1.1"
    assert await counter() == 3
    back = await rolled_out(world, "1.0")
    assert [rule for rule, _ in await why(world)] == [Rule.SECURITY_FLOOR]
    assert await polled(world) is None
    shown = await survey.device(world, ACME, DEV)
    share, _ = next((d, r) for d, r in shown.history if r.id == back)
    assert share.state is State.SKIPPED
    assert share.reason.startswith("The device's security counter for app is 3, that of 1.0 is 0: going below needs")
    await rolled_out(world, "1.2")
    assert await updated(world) == "1.2"
    await devices.change(world, ACME, SYSTEM, DEV, Change(installed={"app": Version("0.9")}))
    (fact,) = (await survey.device(world, ACME, DEV)).device.installed
    assert (fact.version, fact.source, fact.counter) == ("0.9", Source.OFFLINE, 3), "what is set by hand lowers nothing"


async def test_a_burn_is_never_lower_than_one_before(world: World) -> None:
    await release(world, "1.1", Terms(security_floor=3))
    with pytest.raises(InvalidInputError, match="lower than 3"):
        await release(world, "1.2", Terms(security_floor=2))
    await release(world, "1.0.1", Terms(security_floor=3))
    again = await release(world, "1.1", Terms(security_floor=3))
    assert again.counter == 3


async def test_the_order_of_a_product_is_held_against_its_versions(world: World) -> None:
    await release(world, "2026.4")
    await release(world, "2026.11")
    with pytest.raises(InvalidInputError, match=r"2026\.11, 2026\.4"):
        await products.set_order(world, ACME, SYSTEM, APP, VersionOrder.SEMANTIC)
    assert await products.set_order(world, ACME, SYSTEM, APP, VersionOrder.CALENDAR) is VersionOrder.CALENDAR
    with pytest.raises(InvalidInputError, match="of the calendar order"):
        await release(world, "1.0")
    with pytest.raises(InvalidInputError, match="of the calendar order"):
        await release(world, "2027.1", Terms(floor=Version("v1")))
    with pytest.raises(NotFoundError):
        await products.set_order(world, ACME, SYSTEM, BOOT, VersionOrder.AUTO)
    (product,) = await products.page(world, ACME, None, 9)
    assert (product.name, product.order, product.releases) == (APP, VersionOrder.CALENDAR, 2)


async def test_another_order_is_heard_of_at_the_next_poll(world: World) -> None:
    await added(world, app="26.04")
    await release(world, "2026.05", Terms(floor=Version("2026.04")))
    await rolled_out(world, "2026.05")
    assert await polled(world) is None, "26.04 is two thousand years old"
    await products.set_order(world, ACME, SYSTEM, APP, VersionOrder.CALENDAR)
    assert await polled(world) == "2026.05"


async def test_the_same_release_with_other_terms_is_another(world: World) -> None:
    terms = Terms(channel="beta", requires=(requirement("boot>=1"),), support_until=date(2031, 12, 31))
    first = await release(world, "1", terms)
    assert await release(world, "1", terms) == first
    with pytest.raises(AlreadyExistsError):
        await release(world, "1", Terms(channel="stable"))


async def test_a_requirement_names_a_component(world: World) -> None:
    await release(world, "1", product="linux-image", component="os")
    with pytest.raises(InvalidInputError, match="updates the component os"):
        await release(world, "2", Terms(requires=(requirement("linux-image>=1"),)))


async def test_the_preview_warns_of_the_end_of_support(made: tuple[World, SettableClock]) -> None:
    world, clock = made
    await added(world)
    await release(world, "1", Terms(support_until=clock.now().date()))
    wanted = Intention(APP, Version("1"), "id==*", Policy())
    assert (await rollouts.preview(world, ACME, wanted)).warnings == []
    clock.ahead = timedelta(days=1)
    (warning,) = (await rollouts.preview(world, ACME, wanted)).warnings
    assert warning.startswith("The support of app 1 ended on")
    await releases.move(world, ACME, SYSTEM, APP, Version("1"), ReleaseEvent.DEPRECATE)
    assert len((await rollouts.preview(world, ACME, wanted)).warnings) == 2


async def test_who_runs_a_withdrawn_release_is_counted_and_found(world: World) -> None:
    await added(world, app="1")
    await release(world, "1")
    await releases.move(world, ACME, SYSTEM, APP, Version("1"), ReleaseEvent.WITHDRAW)
    assert (await survey.uses(world, ACME, APP, Version("1"), 1)).running == 1
    query = parse("installed.app=='1'", world.clock.now())
    assert await world.store.read(lambda tx: tx.devices.count(ACME, query)) == 1
