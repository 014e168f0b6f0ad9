"""Devices that took a bad release are brought back, those for which it is safe."""

from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import LifecycleEvent
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import Policy, RolloutEvent, RolloutState, Way
from otaru.domain.targeting import parse
from otaru.domain.terms import Terms
from otaru.errors import ForbiddenError, InvalidStateError, NothingToDoError, PreconditionFailedError
from otaru.services.control import devices, releases, rollouts, survey, tenants
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollback import plan_back, roll_back
from otaru.services.control.world import SYSTEM, Actor, World
from tests.support.stores import ACME
from tests.unit.services.control.test_rollouts import APP, BOARD, OTHER_BOARD, Fleet

pytestmark = pytest.mark.anyio


class Back(Fleet):
    """A fleet that goes forth and back."""

    async def took(self, rollout: RolloutId, *names: str) -> None:
        """These take what is offered."""
        for name in names:
            assert await self.poll(name) is State.OFFERED
            await self.say(name, Event.SUCCEED, action=await self.action(name, rollout))

    async def action(self, name: str, rollout: RolloutId) -> int:
        history = (await survey.device(self.world, ACME, DeviceId(name))).history
        return next(d.action for d, _ in history if d.rollout == rollout)

    async def runs(self, *names: str) -> list[str]:
        shown = [(await survey.device(self.world, ACME, DeviceId(name))).device for name in names]
        return [str(device.version_of("app")) for device in shown]

    async def back(self, rollout: RolloutId, reason: str = "") -> dict[str | None, Way]:
        return {way.base: way for way in await roll_back(self.world, ACME, SYSTEM, rollout, reason=reason)}

    async def plan(self, rollout: RolloutId) -> dict[str | None, Way]:
        return {way.base: way for way in await plan_back(self.world, ACME, rollout)}

    async def release_on(self, version: str, terms: Terms) -> None:
        """A release with terms, of the bytes that every other one has."""
        shown = await releases.show(self.world, ACME, APP, Version("1"))
        part = Part(shown.artifacts[0].blob.sha256, "app.bin", "app", (BOARD,))
        await releases.create(self.world, ACME, SYSTEM, NewRelease(APP, Version(version), (part,), terms=terms))


@pytest.fixture
async def fleet(world: World) -> Back:
    made = Back(world)
    for version in ("1", "1.5", "2"):
        await made.release(version, (BOARD, OTHER_BOARD) if version == "2" else (BOARD,))
    return made


async def test_each_goes_back_to_what_it_ran(fleet: Back) -> None:
    await fleet.add("a", "b", "c", installed="1")
    await fleet.add("d", installed="1.5")
    bad = await fleet.roll_out("2", target="id=in=(a,b,d)")
    await fleet.took(bad, "a", "b", "d")
    assert {base: way.members for base, way in (await fleet.plan(bad)).items()} == {"1": 2, "1.5": 1}
    assert (await rollouts.progress(fleet.world, ACME, bad)).rolled_back_by == (), "a plan changes nothing"
    ways = await fleet.back(bad, "it reboots")
    numbers = [way.rollout for way in ways.values()]
    assert None not in numbers
    assert (await rollouts.progress(fleet.world, ACME, bad)).rolled_back_by == sorted(n for n in numbers if n)
    one = ways["1"].rollout
    assert one is not None
    shown = await fleet.show(one)
    assert (shown.rolls_back, shown.version, shown.state, shown.size) == (bad, "1", RolloutState.RUNNING, 2)
    assert [wave.size for wave in shown.waves] == [1, 1], "a canary, then the rest"
    parse(shown.target, fleet.world.clock.now())

    assert await fleet.poll("c") is None, "who never took it is no member"
    for _ in range(2):
        for name in ("a", "b"):
            if await fleet.poll(name) is not None:
                await fleet.say(name, Event.SUCCEED, action=2)
        await fleet.work()
    await fleet.poll("d")
    await fleet.say("d", Event.SUCCEED, action=2)
    assert await fleet.runs("a", "b", "c", "d") == ["1", "1", "1", "1.5"]
    assert (await fleet.show(one)).state is RolloutState.FINISHED
    with pytest.raises(NothingToDoError):
        await fleet.back(bad)


async def test_it_stops_what_runs_and_is_recorded(fleet: Back) -> None:
    await fleet.add("a", "b", installed="1")
    bad = await fleet.roll_out("2", policy=Policy(validate=timedelta(hours=1)))
    await fleet.took(bad, "a")
    assert await fleet.counts(bad) == {State.ON_TRIAL: 1, State.SCHEDULED: 1}
    with pytest.raises(PreconditionFailedError):
        await roll_back(fleet.world, ACME, SYSTEM, bad, edition=99)
    ways = await fleet.back(bad, "it reboots")
    assert (await fleet.show(bad)).state is RolloutState.STOPPED
    assert await fleet.counts(bad) == {State.CANCELLED: 2}
    made = ways["1"].rollout
    assert made is not None
    assert (await fleet.show(made)).policy.validate == timedelta(hours=1), "tried as long as what failed was"
    recorded = await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 1000, str(bad)))
    (told,) = [one.what.data for one in recorded if one.what.kind is Kind.ROLLOUT_BACK]
    assert told == {"rollouts": [made], "members": 1, "left_out": {}, "reason": "it reboots"}
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.poll("b") is None


async def test_who_is_left_out_and_why(fleet: Back) -> None:
    await fleet.add("a", "q", "moved", installed="1")
    await fleet.add("new")  # nobody knows what it ran
    await fleet.add("gone", installed="0.9")  # of which there is no release
    await fleet.add("else", installed="1")
    bad = await fleet.roll_out("2")
    await fleet.took(bad, "a", "q", "moved", "new", "gone", "else")
    await devices.move(fleet.world, ACME, SYSTEM, DeviceId("q"), LifecycleEvent.QUARANTINE)
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("moved"), devices.Change(hardware=OTHER_BOARD))
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("else"), devices.Change(installed={"app": Version("3")}))
    ways = await fleet.plan(bad)
    assert (ways["1"].devices, ways["1"].members, ways["1"].left_out) == (3, 1, {"inactive": 1, "misfit": 1})
    assert (ways[None].members, ways[None].barred) == (0, "it is not known what they ran before")
    assert (ways["0.9"].members, ways["0.9"].barred) == (0, "there is no release app 0.9")
    made = (await fleet.back(bad))["1"].rollout
    assert made is not None
    assert await fleet.counts(made) == {State.SCHEDULED: 1}
    again = (await fleet.plan(bad))["1"]
    assert again.left_out == {"inactive": 1, "misfit": 1, "going back": 1}, "nobody is brought twice"


async def test_a_release_that_is_no_longer_published_is_no_way_back(fleet: Back) -> None:
    await fleet.add("a", installed="1")
    bad = await fleet.roll_out("2")
    await fleet.took(bad, "a")
    await releases.move(fleet.world, ACME, SYSTEM, APP, Version("1"), ReleaseEvent.WITHDRAW)
    with pytest.raises(NothingToDoError) as caught:
        await fleet.back(bad)
    assert caught.value.facts["left_out"] == {"app 1 is withdrawn": 1}
    assert (await fleet.show(bad)).state is RolloutState.FINISHED


async def test_nobody_goes_back_from_a_one_way_migration(fleet: Back) -> None:
    await fleet.add("a", installed="1")
    await fleet.release_on("3", Terms(no_way_back=True))
    assert (await releases.show(fleet.world, ACME, APP, Version("3"))).terms.no_way_back
    bad = await fleet.roll_out("3")
    await fleet.took(bad, "a")
    with pytest.raises(NothingToDoError) as caught:
        await fleet.back(bad)
    assert caught.value.facts["left_out"] == {"app 3 declares that nobody goes back from it": 1}


async def test_nobody_goes_below_what_was_burnt(fleet: Back) -> None:
    await fleet.add("a", installed="1")
    await fleet.release_on("3", Terms(security_floor=2))
    bad = await fleet.roll_out("3")
    await fleet.took(bad, "a")
    ways = await fleet.plan(bad)
    assert (ways["1"].members, ways["1"].left_out) == (0, {"security floor": 1})
    with pytest.raises(NothingToDoError):
        await fleet.back(bad)


async def test_a_rollout_that_stays_running_where_nobody_can_be_brought(fleet: Back) -> None:
    await fleet.add("a", "b", installed="1")
    bad = await fleet.roll_out("2")
    with pytest.raises(NothingToDoError):
        await fleet.back(bad)
    assert (await fleet.show(bad)).state is RolloutState.RUNNING, "nothing was stopped"


async def test_a_rollback_is_not_rolled_back_nor_what_has_not_begun(fleet: Back) -> None:
    await fleet.add("a", installed="1")
    bad = await fleet.roll_out("2")
    await fleet.took(bad, "a")
    made = (await fleet.back(bad))["1"].rollout
    assert made is not None
    with pytest.raises(InvalidStateError):
        await fleet.back(made)
    wanted = rollouts.Intention(APP, Version("1.5"), "id==*", Policy())
    planned = await rollouts.create(fleet.world, ACME, SYSTEM, wanted)
    with pytest.raises(InvalidStateError):
        await fleet.plan(planned.id)


async def test_who_comes_later_is_brought_by_the_next(fleet: Back) -> None:
    await fleet.add("a", "b", installed="1")
    bad = await fleet.roll_out("2")
    await fleet.took(bad, "a")
    assert await fleet.poll("b") is State.OFFERED
    first = await fleet.back(bad)
    assert first["1"].members == 1
    await fleet.say("b", Event.SUCCEED, action=1)  # it had begun: its success crosses the order to cancel
    second = await fleet.back(bad)
    assert (second["1"].members, second["1"].left_out) == (1, {"going back": 1})
    assert await fleet.poll("b") is State.OFFERED


async def test_where_four_eyes_are_wanted_somebody_else_approves_it(fleet: Back) -> None:
    await fleet.add("a", installed="1")
    bad = await fleet.roll_out("2")
    await fleet.took(bad, "a")
    await tenants.change(fleet.world, ACME, SYSTEM, tenants.Change(four_eyes=True))
    made = (await fleet.back(bad))["1"].rollout
    assert made is not None
    assert (await fleet.show(made)).state is RolloutState.AWAITING_APPROVAL
    assert await fleet.poll("a") is None
    with pytest.raises(ForbiddenError):
        await rollouts.order(fleet.world, ACME, SYSTEM, made, RolloutEvent.APPROVE)
    await rollouts.order(fleet.world, ACME, Actor("user:bea"), made, RolloutEvent.APPROVE)
    assert await fleet.poll("a") is State.OFFERED
