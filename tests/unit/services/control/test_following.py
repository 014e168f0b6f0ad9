"""Groups follow channels: what becomes of releases, rollouts and devices, over a real store."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import Hardware
from otaru.domain.events import START, Kind
from otaru.domain.following import Stream
from otaru.domain.group import GroupName
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import (
    Approve,
    ClassicRule,
    Growth,
    OnError,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Shape,
    Share,
)
from otaru.domain.schedule import Blackout
from otaru.domain.terms import Terms
from otaru.errors import (
    ForbiddenError,
    InvalidInputError,
    InvalidStateError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
)
from otaru.services.control import blackouts, devices, following, groups, releases, rollouts, tenants
from otaru.services.control.alarms import of_tenant
from otaru.services.control.devices import Change
from otaru.services.control.following import Kept, Wanted, follow, propose, show, tend, unfollow
from otaru.services.control.groups import NewGroup
from otaru.services.control.joining import join_all
from otaru.services.control.world import SYSTEM, Actor, World
from tests.support.stores import ACME, RIVAL
from tests.unit.services.control.test_rollouts import APP, BOARD, OTHER_BOARD, Fleet

pytestmark = pytest.mark.anyio

LAB = GroupName("lab")
STABLE = Stream(LAB, APP, "stable")
BETA = Stream(LAB, APP, "beta")
ALICE = Actor("user:alice")
BOB = Actor("user:bob")
SIMPLE = Policy()
FIRST_ONE = Policy(waves=(Share(1, percent=False), Share(100, percent=True)), rule=ClassicRule(0.9, 0.1))


class Lab(Fleet):
    """A tenant whose group `lab` is every device that is not tagged `out`."""

    async def publish(self, version: str, channel: str = "stable", hardware: Sequence[Hardware] = (BOARD,)) -> None:
        await self.release(version, hardware, Terms(channel=channel))
        await self.worker()

    async def move(self, version: str, event: ReleaseEvent) -> None:
        await releases.move(self.world, ACME, SYSTEM, APP, Version(version), event)
        await self.worker()

    async def worker(self) -> None:
        """Rounds of the worker until nothing is left to do."""
        while await tend(self.world) + bool(await self.steps()):
            pass
        assert await tend(self.world) == 0, "what was dealt with is not dealt with again"

    async def steps(self) -> int:
        before = await self.standing()
        await self.work()
        return int(await self.standing() != before)

    async def order(self, policy: Policy = SIMPLE, stream: Stream = STABLE, by: Actor = ALICE) -> Kept:
        return await follow(self.world, ACME, by, Wanted(stream, policy))

    async def standing(self, stream: Stream = STABLE) -> list[Rollout]:
        """The rollouts of an order, oldest first; at most one of them is live."""
        every = await self.world.store.read(lambda tx: tx.rollouts.page(ACME, (), None, 100))
        mine = [one for one in every if one.follows == stream.follows and one.product == stream.product]
        assert sum(one.is_live for one in mine) <= 1
        return sorted(mine, key=lambda one: one.id)

    async def versions(self, stream: Stream = STABLE) -> list[tuple[str, RolloutState]]:
        return [(one.version, one.state) for one in await self.standing(stream)]

    async def states(self, rollout: RolloutId) -> dict[str, State]:
        rows = await self.world.store.read(lambda tx: tx.deployments.page(ACME, rollout, (), None, 100))
        return {row.device: row.state for row in rows}

    async def update(self, name: str, event: Event = Event.SUCCEED) -> bool:
        """Have a device take what it is offered, if anything is."""
        if await self.poll(name) is None:
            return False
        entry = await self.world.registry.device(ACME, DeviceId(name))
        assert entry is not None
        assert entry.subject.open is not None
        await self.say(name, event, entry.subject.open.action)
        await self.worker()
        return True

    async def runs(self, name: str) -> str | None:
        entry = await self.world.registry.device(ACME, DeviceId(name))
        assert entry is not None
        return entry.subject.version_of("app")

    async def told(self, kind: Kind) -> list[dict[str, object]]:
        events = await self.world.store.read(lambda tx: tx.events.page(ACME, START, 1000))
        return [dict(one.what.data) for one in events if one.what.kind is kind]


@pytest.fixture
async def lab(world: World) -> Lab:
    made = Lab(world)
    await groups.create(world, ACME, SYSTEM, NewGroup(LAB, "not(tag==out)"))
    await made.add("a", "b", "c")
    await made.release("1")
    return made


async def test_each_release_of_the_channel_reaches_the_group(lab: Lab) -> None:
    kept = await lab.order()
    assert kept.last is not None, "what there is to do is done at once"
    assert (kept.last.version, kept.last.state, kept.last.size) == ("1", RolloutState.RUNNING, 3)
    assert (kept.last.target, kept.last.name, kept.last.created_by) == (
        "group==lab",
        "lab follows app stable",
        "user:alice",
    )
    for name in "abc":
        assert await lab.update(name)
    assert await lab.versions() == [("1", RolloutState.RUNNING)], "it goes on: who comes later joins"
    await lab.publish("2-beta", "beta")
    assert await lab.versions() == [("1", RolloutState.RUNNING)], "another channel"
    await lab.publish("2")
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.RUNNING)]
    assert await lab.update("a")
    assert await lab.runs("a") == "2"
    made = [data for data in await lab.told(Kind.ROLLOUT_CREATED) if data["version"] == "2"]
    assert made == [
        {"product": "app", "version": "2", "target": "group==lab", "size": 3, "group": "lab", "channel": "stable"}
    ]


async def test_a_newer_release_supersedes_who_was_not_told(lab: Lab) -> None:
    await lab.order()
    await lab.poll("a")
    await lab.say("a", Event.INSTALL)
    await lab.publish("2")
    first, second = await lab.standing()
    assert (first.state, first.superseded_by) == (RolloutState.RUNNING, second.id)
    assert first.reason == f"superseded by rollout {second.id}: app 2"
    assert await lab.states(first.id) == {"a": State.INSTALLING, "b": State.SKIPPED, "c": State.SKIPPED}
    rows = await lab.world.store.read(lambda tx: tx.deployments.page(ACME, first.id, [State.SKIPPED], None, 9))
    assert {row.reason for row in rows} == {first.reason}
    assert await lab.poll("b") is State.OFFERED
    assert await lab.poll("a") is State.INSTALLING, "who is in flight ends as they are"
    with pytest.raises(InvalidStateError):
        await rollouts.order(lab.world, ACME, SYSTEM, first.id, RolloutEvent.PAUSE)
    await lab.say("a", Event.SUCCEED)
    await lab.worker()
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.RUNNING)]
    with pytest.raises(InvalidStateError, match="superseded"):
        await rollouts.retry(lab.world, ACME, SYSTEM, first.id, [State.CANCELLED])
    assert await lab.update("a")
    assert await lab.runs("a") == "2"
    await lab.hold_counters(first.id)
    await lab.hold_counters(second.id)


async def test_who_is_asked_for_consent_is_asked_for_the_newer_one(lab: Lab) -> None:
    await lab.order(Policy(consent=True))
    assert await lab.poll("a") is State.AWAITING_CONSENT
    await lab.publish("2")
    assert (await lab.states((await lab.standing())[0].id))["a"] is State.SKIPPED
    assert (await lab.standing())[0].state is RolloutState.FINISHED
    assert await lab.poll("a") is State.AWAITING_CONSENT


async def test_an_older_patch_supersedes_nothing(lab: Lab) -> None:
    await lab.order()
    await lab.publish("2.0")
    await lab.publish("1.5")
    await lab.publish("1.9.9-rc.1")
    assert [version for version, _ in await lab.versions()] == ["1", "2.0"]
    await lab.publish("2.0.1")
    assert [version for version, _ in await lab.versions()] == ["1", "2.0", "2.0.1"]


async def test_who_comes_later_joins(lab: Lab) -> None:
    await lab.order()
    await devices.change(lab.world, ACME, SYSTEM, DeviceId("b"), Change(tags=frozenset({"out"})))
    await lab.add("d")
    await lab.add("other", hardware=OTHER_BOARD)
    await lab.add("ahead", installed="3")
    assert await join_all(lab.world) == 1
    assert await lab.update("d")
    assert sorted(await lab.states((await lab.standing())[0].id)) == ["a", "b", "c", "d"]


async def test_nobody_goes_back(lab: Lab) -> None:
    """Who runs something newer is left out when it is planned, and skipped where it came to that meanwhile."""
    await lab.add("ahead", installed="3")
    await lab.add("odd", installed="unlike-any-version")
    kept = await lab.order()
    assert kept.last is not None
    assert sorted(await lab.states(kept.last.id)) == ["a", "b", "c", "odd"]
    await devices.change(lab.world, ACME, SYSTEM, DeviceId("a"), Change(installed={"app": Version("1.1")}))
    assert not await lab.update("a")
    assert (await lab.states(kept.last.id))["a"] is State.SKIPPED
    assert await lab.update("b")
    rollout = await lab.roll_out("1", "id==ahead")
    assert await lab.update("ahead"), "an ordinary rollout does as it is told"
    assert (await rollouts.progress(lab.world, ACME, rollout)).rollout.follows is None


async def test_what_its_judge_stopped_is_not_made_again(lab: Lab) -> None:
    stops = Policy(rule=ClassicRule(0.9, 0.1), on_error=OnError.STOP)
    await lab.order(stops)
    assert await lab.update("a", Event.FAIL)
    assert await lab.versions() == [("1", RolloutState.STOPPED)]
    await tend(lab.world, again=True)
    await lab.order(replace(stops, priority=7))
    kept = await show(lab.world, ACME, STABLE)
    assert await lab.versions() == [("1", RolloutState.STOPPED)]
    assert kept.following.stuck
    assert kept.following.waits.startswith("rollout 1 of app 1, the newest, is stopped: wave 1: ")
    assert "next release is waited for" in kept.following.waits
    assert (await of_tenant(lab.world, ACME)).stuck == 1
    (told,) = [data for data in await lab.told(Kind.GROUP_WAITS) if "is stopped" in str(data["reason"])]
    assert told == {"product": "app", "channel": "stable", "reason": kept.following.waits, "stuck": True}
    await unfollow(lab.world, ACME, ALICE, STABLE)
    await lab.order(stops)
    assert await lab.versions() == [("1", RolloutState.STOPPED)], "nor by a new order"
    await lab.publish("2")
    assert await lab.versions() == [("1", RolloutState.STOPPED), ("2", RolloutState.RUNNING)]
    kept = await show(lab.world, ACME, STABLE)
    assert (kept.following.waits, kept.following.stuck) == ("", False)
    assert (await of_tenant(lab.world, ACME)).stuck == 0


async def test_a_paused_one_is_told_of_and_gives_way_to_the_next(lab: Lab) -> None:
    await lab.order(FIRST_ONE)
    (name,) = [name for name in "abc" if await lab.poll(name) is not None]
    await lab.update(name, Event.FAIL)
    assert await lab.versions() == [("1", RolloutState.PAUSED)]
    kept = await show(lab.world, ACME, STABLE)
    assert kept.following.stuck
    assert kept.following.waits.startswith("rollout 1 is paused: wave 1: ")
    await lab.publish("2")
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.RUNNING)]
    await lab.move("2", ReleaseEvent.WITHDRAW)
    assert len(await lab.standing()) == 2, "what spoke against 1 speaks against it still"
    assert "app 1, the newest, is finished" in (await show(lab.world, ACME, STABLE)).following.waits


async def test_a_withdrawn_release_falls_back_for_those_behind(lab: Lab) -> None:
    await lab.publish("2")
    await lab.order()
    await lab.publish("3")
    assert await lab.update("a")
    await lab.move("3", ReleaseEvent.WITHDRAW)
    assert await lab.versions() == [
        ("2", RolloutState.FINISHED),
        ("3", RolloutState.STOPPED),
        ("2", RolloutState.RUNNING),
    ]
    assert [await lab.update(name) for name in "abc"] == [False, True, True]
    assert [await lab.runs(name) for name in "abc"] == ["3", "2", "2"], "nobody goes back"
    await lab.publish("2.5")
    assert [await lab.update(name) for name in "abc"] == [False, True, True]
    await lab.publish("4")
    assert [await lab.update(name) for name in "abc"] == [True, True, True]


async def test_a_deprecated_release_goes_on_for_its_members(lab: Lab) -> None:
    await lab.order()
    await lab.publish("2")
    await lab.move("2", ReleaseEvent.DEPRECATE)
    await lab.add("d")
    assert await join_all(lab.world) == 0
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.RUNNING)]
    kept = await show(lab.world, ACME, STABLE)
    assert "app 2 is no longer published: rollout 2 goes on" in kept.following.waits
    assert not kept.following.stuck
    assert await lab.update("a")


async def test_nothing_published_and_nobody_there_are_waited_for(lab: Lab) -> None:
    kept = await lab.order(stream=BETA)
    assert (kept.last, kept.following.waits) == (None, "nothing of app beta is published.")
    await lab.publish("2", "beta", [OTHER_BOARD])
    kept = await show(lab.world, ACME, BETA)
    assert (kept.last, kept.following.waits) == (None, "no device of lab needs app 2 now")
    assert not kept.following.stuck
    before = len(await lab.told(Kind.GROUP_WAITS))
    assert await tend(lab.world, again=True) == 0
    assert len(await lab.told(Kind.GROUP_WAITS)) == before, "what was told is not told again"
    await lab.add("other", hardware=OTHER_BOARD)
    assert await tend(lab.world) == 0, "that is looked for now and then"
    assert await tend(lab.world, again=True) == 1
    assert await lab.update("other")


async def test_pins_and_halts_hold(lab: Lab) -> None:
    await devices.change(lab.world, ACME, SYSTEM, DeviceId("a"), Change(pins=frozenset({"app"})))
    await tenants.halt(lab.world, ACME, SYSTEM, "an incident")
    assert (await lab.order()).last is None
    await lab.publish("2")
    assert await lab.standing() == []
    await tenants.lift(lab.world, ACME, SYSTEM)
    await lab.worker()
    (only,) = await lab.standing()
    assert (only.version, sorted(await lab.states(only.id))) == ("2", ["b", "c"])


async def test_it_waits_for_approval_by_somebody_else(lab: Lab) -> None:
    await tenants.change(lab.world, ACME, SYSTEM, tenants.Change(four_eyes=True))
    kept = await lab.order()
    assert kept.last is not None
    assert (kept.last.state, kept.following.waits) == (RolloutState.AWAITING_APPROVAL, "rollout 1 waits for approval")
    with pytest.raises(ForbiddenError):
        await rollouts.order(lab.world, ACME, ALICE, kept.last.id, RolloutEvent.APPROVE)
    assert await lab.poll("a") is None
    await lab.publish("2")
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.AWAITING_APPROVAL)]
    await rollouts.order(lab.world, ACME, BOB, RolloutId(2), RolloutEvent.APPROVE)
    assert await lab.update("a")
    await lab.worker()
    assert (await show(lab.world, ACME, STABLE)).following.waits == ""
    await lab.order(Policy(approve=Approve.WAVES))


async def test_an_order_of_nobody_in_particular_is_taken_over(lab: Lab) -> None:
    """With four eyes nobody could approve its rollouts: whoever gave it might be anybody."""
    nobody = Actor(f"user:admin {7:032x}")
    await lab.order(by=nobody)
    await tenants.change(lab.world, ACME, SYSTEM, tenants.Change(four_eyes=True))
    with pytest.raises(ForbiddenError):
        await lab.order(by=nobody)
    assert (await lab.order(by=ALICE)).following.created_by == "user:alice"
    assert (await lab.order(by=BOB)).following.created_by == "user:alice", "which could be told already"


async def test_what_cannot_be_made_says_why_and_is_tried_again(lab: Lab) -> None:
    now = lab.world.clock.now()
    black = await blackouts.add(lab.world, ACME, SYSTEM, Blackout(0, "the year's end", now, None))
    kept = await lab.order()
    assert kept.last is None
    assert kept.following.stuck
    assert kept.following.waits.startswith("app 1 cannot be rolled out: ")
    await blackouts.remove(lab.world, ACME, SYSTEM, black.id)
    assert await tend(lab.world) == 0
    assert await tend(lab.world, again=True) == 1


async def test_an_order_is_changed_for_releases_to_come(lab: Lab) -> None:
    first = await lab.order()
    again = await lab.order()
    assert again.following == first.following, "said twice is said once"
    changed = await lab.order(FIRST_ONE, by=BOB)
    assert (changed.following.edition, changed.following.created_by) == (2, "user:bob")
    assert changed.last == first.last
    with pytest.raises(PreconditionFailedError):
        await follow(lab.world, ACME, ALICE, Wanted(STABLE, SIMPLE), edition=1)
    await lab.publish("2")
    assert (await lab.standing())[-1].policy.waves == FIRST_ONE.waves
    assert len(await lab.told(Kind.GROUP_FOLLOWED)) == 2


async def test_an_order_is_ended(lab: Lab) -> None:
    await lab.order()
    ended = await unfollow(lab.world, ACME, ALICE, STABLE)
    assert ended.last is not None
    await lab.add("d")
    assert await join_all(lab.world) == 0
    await lab.publish("2")
    assert await lab.versions() == [("1", RolloutState.RUNNING)]
    assert await lab.told(Kind.GROUP_UNFOLLOWED) == [{"product": "app", "channel": "stable", "rollout": 1}]
    with pytest.raises(NotFoundError):
        await unfollow(lab.world, ACME, ALICE, STABLE)
    with pytest.raises(NotFoundError):
        await show(lab.world, ACME, STABLE)
    await lab.order()
    await lab.worker()
    assert await lab.versions() == [("1", RolloutState.FINISHED), ("2", RolloutState.RUNNING)]


async def test_taken_up_again_who_comes_later_joins_again(lab: Lab) -> None:
    await lab.order()
    await unfollow(lab.world, ACME, ALICE, STABLE)
    await lab.order()
    await lab.add("d")
    assert await join_all(lab.world) == 1
    assert len(await lab.standing()) == 1


async def test_without_an_order_its_rollout_finishes(lab: Lab) -> None:
    await lab.order()
    await unfollow(lab.world, ACME, ALICE, STABLE)
    for name in "abc":
        assert await lab.update(name)
    assert await lab.versions() == [("1", RolloutState.FINISHED)]
    assert (await lab.order()).following.waits == "no device of lab needs app 1 now"
    await lab.add("d")
    assert await tend(lab.world, again=True) == 1
    assert await lab.update("d"), "what finished well may be made again"


async def test_tenants_never_cross(lab: Lab) -> None:
    await lab.order()
    assert await following.page(lab.world, RIVAL, None, 9) == []
    with pytest.raises(NotFoundError):
        await show(lab.world, RIVAL, STABLE)
    with pytest.raises(NotFoundError):
        await follow(lab.world, RIVAL, ALICE, Wanted(STABLE, SIMPLE))
    with pytest.raises(NotFoundError):
        await unfollow(lab.world, RIVAL, ALICE, STABLE)
    assert await lab.world.store.read(lambda tx: tx.rollouts.page(RIVAL, (), None, 9)) == []


async def test_what_makes_no_sense_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    later = lab.world.clock.now() + timedelta(days=1)
    for wrong in (
        Policy(end_at=later),
        Policy(after=RolloutId(1)),
        Policy(split=("hardware",)),
        Policy(quorum=0),
    ):
        with pytest.raises(InvalidInputError):
            await lab.order(wrong)
    with pytest.raises(InvalidInputError, match="reason"):
        await follow(lab.world, ACME, ALICE, Wanted(STABLE, SIMPLE, Growth(Shape.ALL)))
    for stream in (replace(STABLE, group=GroupName("none")), replace(STABLE, product="none")):  # type: ignore[arg-type]
        with pytest.raises(NotFoundError):
            await lab.order(stream=stream)
    monkeypatch.setattr(following, "MAX_FOLLOWINGS", 1)
    await lab.order()
    with pytest.raises(TooLargeError):
        await lab.order(stream=BETA)
    with pytest.raises(InvalidStateError, match="follows app stable"):
        await groups.remove(lab.world, ACME, SYSTEM, LAB)


async def test_a_proposal_changes_nothing(lab: Lab) -> None:
    found = await propose(lab.world, ACME, Wanted(STABLE, SIMPLE, Growth(Shape.ADAPTIVE)))
    assert found.foresight is not None
    assert (found.look.make, found.foresight.rollout.size, found.supersedes) == (True, 3, None)
    assert (await lab.standing(), await following.page(lab.world, ACME, None, 9)) == ([], [])
    await lab.order()
    found = await propose(lab.world, ACME, Wanted(STABLE, SIMPLE))
    assert (found.look.make, found.foresight) == (False, None)
    await lab.release("2", [OTHER_BOARD], Terms(channel="beta"))
    found = await propose(lab.world, ACME, Wanted(BETA, SIMPLE))
    assert (found.look.make, found.look.waits) == (False, "no device of lab needs app 2 now")
    await lab.release("3")
    found = await propose(lab.world, ACME, Wanted(STABLE, SIMPLE))
    assert (found.look.make, found.supersedes) == (True, 1)


async def test_orders_are_listed(lab: Lab) -> None:
    await lab.order(stream=BETA)
    await lab.order()
    listed = await following.page(lab.world, ACME, None, 9)
    assert [one.following.stream for one in listed] == [BETA, STABLE]
    assert [one.newest and one.newest.version for one in listed] == [None, "1"]
    assert [one.following.stream for one in await following.page(lab.world, ACME, BETA, 9)] == [STABLE]
    (only,) = await following.page(lab.world, ACME, None, 9, channel="beta")
    assert (only.following.stream, only.following.created_at) == (BETA, listed[0].following.created_at)
