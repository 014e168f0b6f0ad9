"""Rollouts over a real store: people, devices and the worker in turn, as in a running server."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from otaru.adapters.judges.classic import ClassicJudge
from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Hardware, LifecycleEvent
from otaru.domain.events import START, Kind
from otaru.domain.evidence import Call, Evidence, Ruling, Verdict
from otaru.domain.ids import DeviceId, ProductName, RolloutId, Version
from otaru.domain.release import ReleaseEvent
from otaru.domain.rollout import ClassicRule, OnError, Policy, Rollout, RolloutEvent, RolloutState, Share
from otaru.domain.terms import NO_TERMS, Terms
from otaru.errors import InvalidStateError, NotFoundError, NothingToDoError, PreconditionFailedError
from otaru.services.control import artifacts, devices, feedback, releases, rollouts, survey, tenants
from otaru.services.control import poll as poll_module
from otaru.services.control.devices import NewDevice
from otaru.services.control.poll import poll
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.rollouts import Intention
from otaru.services.control.stepping import step_due
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock

pytestmark = pytest.mark.anyio

APP = ProductName("app")
BOARD = Hardware("board")
OTHER_BOARD = Hardware("other")
STAGED = Policy(waves=(Share(1, percent=False), Share(100, percent=True)), rule=ClassicRule(0.9, 0.1))


@dataclass
class Fleet:
    """A tenant's devices as they poll and report, and the worker."""

    world: World
    said: int = 0
    ask_at: datetime | None = None
    """When the last device that polled was told to ask again."""

    async def add(self, *names: str, hardware: Hardware = BOARD, installed: str | None = None) -> None:
        known = {} if installed is None else {"app": Version(installed)}
        for name in names:
            await devices.add(self.world, ACME, SYSTEM, NewDevice(DeviceId(name), hardware, installed=known))

    async def release(self, version: str, hardware: Sequence[Hardware] = (BOARD,), terms: Terms = NO_TERMS) -> None:
        async def content() -> AsyncIterator[bytes]:
            yield version.encode()

        stored = await artifacts.store(self.world, ACME, content())
        part = Part(stored.blob.sha256, "app.bin", "app", hardware)
        await releases.create(self.world, ACME, SYSTEM, NewRelease(APP, Version(version), (part,), terms=terms))

    async def roll_out(self, version: str = "2", target: str = "id==*", policy: Policy | None = None) -> RolloutId:
        wanted = Intention(APP, Version(version), target, policy or Policy(), start=True)
        return (await rollouts.create(self.world, ACME, SYSTEM, wanted)).id

    async def poll(self, name: str) -> State | None:
        """What the device is told: the state of the deployment that it is shown."""
        tenant = await self.world.registry.tenant(ACME)
        entry = await self.world.registry.device(ACME, DeviceId(name))
        assert tenant is not None
        assert entry is not None
        after, due, self.ask_at = await poll(self.world, tenant, entry)
        open_ = after.subject.open
        assert due is None or open_ is not None
        return None if due is None or open_ is None else open_.state

    async def say(self, name: str, event: Event, action: int = 1) -> State:
        self.said += 1
        words = (f"words {self.said}",)
        digest = self.said.to_bytes(4, "big")
        now = self.world.clock.now()
        report = Report(DeviceId(name), action, now, event, "closed", "", words, digest)  # type: ignore[arg-type]
        return await feedback.report(self.world, ACME, report)

    async def work(self) -> None:
        for _ in range(10):
            if not await step_due(self.world):
                return

    async def show(self, rollout: RolloutId) -> Rollout:
        await self.work()
        await self.hold_counters(rollout)
        return (await rollouts.progress(self.world, ACME, rollout)).rollout

    async def counts(self, rollout: RolloutId) -> dict[State, int]:
        total: dict[State, int] = {}
        for tally in (await rollouts.progress(self.world, ACME, rollout)).tallies.values():
            for state, members in tally.counts.items():
                total[state] = total.get(state, 0) + members
        return {state: members for state, members in total.items() if members}

    async def hold_counters(self, rollout: RolloutId) -> None:
        """Counters shown equal counters recomputed from rows, in one snapshot (DOMAIN, Invariants)."""
        shown, rows = await self.world.store.read(
            lambda tx: (tx.rollouts.evidence(ACME, rollout), tx.rollouts.recounted(ACME, rollout))
        )
        assert shown == rows


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    return made


async def test_from_offer_to_inventory(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    rollout = await fleet.roll_out()
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.poll("a") is State.OFFERED, "offered until the device closes it"
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED
    assert await fleet.poll("a") is None
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    await fleet.poll("b")
    await fleet.say("b", Event.FAIL)
    ended = await fleet.show(rollout)
    assert ended.state is RolloutState.FINISHED
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 1, State.FAILED: 1}
    entry = await fleet.world.registry.device(ACME, DeviceId("a"))
    assert entry is not None
    assert entry.subject.installed == (("app", "2"),)


async def test_nobody_is_offered_anything_while_it_is_paused_or_halted(fleet: Fleet) -> None:
    await fleet.add("a", "b", "c")
    rollout = await fleet.roll_out()
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert await fleet.poll("a") is None
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    assert await fleet.poll("a") is State.OFFERED
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    assert await fleet.poll("b") is None
    assert await fleet.poll("a") is State.OFFERED, "who has begun goes on"
    await tenants.lift(fleet.world, ACME, SYSTEM)
    assert await fleet.poll("b") is State.OFFERED


async def test_a_wave_that_has_not_opened_is_offered_to_nobody(fleet: Fleet) -> None:
    names = ["a", "b", "c", "d"]
    await fleet.add(*names)
    rollout = await fleet.roll_out(policy=STAGED)
    told = [name for name in names if await fleet.poll(name) is not None]
    assert len(told) == 1
    await fleet.say(told[0], Event.FAIL)
    paused = await fleet.show(rollout)
    assert paused.state is RolloutState.PAUSED
    assert [name for name in names if await fleet.poll(name) is not None] == []
    await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    assert await fleet.poll(told[0]) is State.OFFERED
    assert await fleet.say(told[0], Event.SUCCEED, action=2) is State.SUCCEEDED
    await fleet.show(rollout)
    assert len([name for name in names if await fleet.poll(name) is not None]) == 3


async def test_stopping_cancels_what_is_open_and_ends_with_the_last_word(fleet: Fleet) -> None:
    await fleet.add("a", "b", "c")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    await fleet.poll("b")
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP, reason="wrong file")
    assert await fleet.poll("c") is None
    assert (await fleet.show(rollout)).state is RolloutState.STOPPING
    assert await fleet.say("a", Event.CANCEL_DONE) is State.CANCELLED
    assert await fleet.say("b", Event.SUCCEED) is State.SUCCEEDED, "it was faster than the order"
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    with pytest.raises(InvalidStateError):
        await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)


async def test_a_verdict_stops_by_itself_where_the_policy_says_so(fleet: Fleet) -> None:
    await fleet.add(*"abcd")
    policy = Policy(rule=ClassicRule(0.9, 0.1), on_error=OnError.STOP)
    rollout = await fleet.roll_out(policy=policy)
    await fleet.poll("a")
    await fleet.say("a", Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    assert await fleet.counts(rollout) == {State.FAILED: 1, State.CANCELLED: 3}


async def test_withdrawing_a_release_stops_its_rollouts_and_no_other(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    await fleet.release("3")
    other = await fleet.roll_out("3", "id==b")
    rollout = await fleet.roll_out("2", "id==a")
    await fleet.poll("a")
    uses = await survey.uses(fleet.world, ACME, APP, Version("2"), 9)
    assert [(r.id, tally.members) for r, tally in uses.rollouts] == [(rollout, 1)]
    assert (uses.release.version, uses.stoppable, uses.devices) == ("2", 1, 1)
    await releases.move(fleet.world, ACME, SYSTEM, APP, Version("2"), ReleaseEvent.WITHDRAW)
    uses = await survey.uses(fleet.world, ACME, APP, Version("2"), 9)
    assert ([r.id for r, _ in uses.rollouts], uses.stoppable, uses.devices) == ([rollout], 0, 0)
    with pytest.raises(NotFoundError):
        await survey.uses(fleet.world, ACME, APP, Version("9"), 9)
    stopping = await fleet.show(rollout)
    assert stopping.state is RolloutState.STOPPING
    assert "withdrawn" in stopping.reason
    assert (await fleet.show(other)).state is RolloutState.RUNNING
    with pytest.raises(InvalidStateError):
        await fleet.roll_out("2")


async def test_a_device_in_two_rollouts_takes_the_older_one_first(fleet: Fleet) -> None:
    await fleet.add("a")
    await fleet.release("3")
    first, second = await fleet.roll_out("2"), await fleet.roll_out("3")
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.counts(second) == {State.SCHEDULED: 1}
    await fleet.say("a", Event.SUCCEED)
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.counts(second) == {State.OFFERED: 1}
    await fleet.say("a", Event.SUCCEED, action=2)
    assert {(await fleet.show(r)).state for r in (first, second)} == {RolloutState.FINISHED}


async def test_who_has_it_or_does_not_fit_any_more_is_skipped_at_the_poll(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    rollout = await fleet.roll_out()
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("a"), devices.Change(installed={"app": Version("2")}))
    await devices.change(fleet.world, ACME, SYSTEM, DeviceId("b"), devices.Change(hardware=Hardware("other")))
    assert await fleet.poll("a") is None
    assert await fleet.poll("b") is None
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    assert await fleet.counts(rollout) == {State.SKIPPED: 2}


async def test_who_is_left_out_is_said_before(fleet: Fleet) -> None:
    await fleet.add("fits")
    await fleet.add("has", installed="2")
    await fleet.add("other", hardware=Hardware("other"))
    await fleet.add("gone")
    await devices.move(fleet.world, ACME, SYSTEM, DeviceId("gone"), LifecycleEvent.QUARANTINE)
    wanted = Intention(APP, Version("2"), "id==*", Policy())
    seen = await rollouts.preview(fleet.world, ACME, wanted)
    assert (seen.members, dict(seen.left_out)) == (1, {"inactive": 1, "misfit": 1, "installed": 1, "pinned": 0})
    with pytest.raises(NothingToDoError):
        await fleet.roll_out(target="id==has")
    with pytest.raises(NotFoundError):
        await rollouts.progress(fleet.world, RIVAL, await fleet.roll_out())


async def test_quarantine_and_the_end_of_a_device(fleet: Fleet) -> None:
    await fleet.add("a", "b")
    rollout = await fleet.roll_out()
    await devices.move(fleet.world, ACME, SYSTEM, DeviceId("a"), LifecycleEvent.QUARANTINE)
    assert await fleet.poll("a") is None
    await fleet.poll("b")
    for name in ("a", "b"):
        await devices.move(fleet.world, ACME, SYSTEM, DeviceId(name), LifecycleEvent.DECOMMISSION)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_expiry_gives_up_who_never_came(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.add("a", "b")
    rollout = await fleet.roll_out(policy=Policy(expires_after=timedelta(days=1)))
    await fleet.poll("a")
    clock.ahead = timedelta(days=1, seconds=1)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    assert await fleet.counts(rollout) == {State.SILENT: 1, State.SKIPPED: 1}
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED, "silence is not the last word"
    await fleet.hold_counters(rollout)


async def test_a_cancel_is_asked_for_or_forced(fleet: Fleet) -> None:
    await fleet.add("a", "b", "c")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    await fleet.poll("b")
    cancel = rollouts.cancel
    assert (await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"))).state is State.CANCELLING
    with pytest.raises(InvalidStateError) as refused:
        await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"))
    assert "`--force`" in (refused.value.hint or "")
    assert (await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), force=True)).state is State.CANCELLED
    assert (await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("b"), force=True)).state is State.CANCELLED
    assert (await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("c"))).state is State.CANCELLED
    assert await fleet.poll("c") is None
    with pytest.raises(InvalidStateError):
        await cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("c"))
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    assert await fleet.say("a", Event.SUCCEED) is State.CANCELLED, "its word comes too late"


async def test_a_poll_that_began_before_a_halt_offers_nothing_after_it(fleet: Fleet) -> None:
    """What the poll decided in memory is decided again in the transaction that offers it."""
    await fleet.add("a", "b")
    rollout = await fleet.roll_out()
    now = fleet.world.clock.now()
    moves = [poll_module._Move(ACME, DeviceId(name), rollout, 1, now) for name in ("a", "b")]
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    await fleet.world.store.write(poll_module._move, moves[0])
    assert await fleet.counts(rollout) == {State.SCHEDULED: 2}
    await tenants.lift(fleet.world, ACME, SYSTEM)
    await devices.move(fleet.world, ACME, SYSTEM, DeviceId("a"), LifecycleEvent.QUARANTINE)
    await fleet.world.store.write(poll_module._move, moves[0])
    await fleet.world.store.write(poll_module._move, moves[1])
    assert await fleet.counts(rollout) == {State.SCHEDULED: 1, State.OFFERED: 1}


async def test_a_yes_does_not_outrun_a_halt(fleet: Fleet) -> None:
    await fleet.add("a")
    await fleet.roll_out(policy=Policy(consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    assert await fleet.say("a", Event.CONSENT) is State.AWAITING_CONSENT
    await tenants.lift(fleet.world, ACME, SYSTEM)
    assert await fleet.say("a", Event.CONSENT) is State.OFFERED


async def test_the_same_answer_to_a_second_order_counts(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    answer = Report(DeviceId("a"), 1, fleet.world.clock.now(), Event.CANCEL_REFUSED, "rejected", "", (), b"no")  # type: ignore[arg-type]
    for _ in range(2):
        await rollouts.cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"))
        assert await feedback.report(fleet.world, ACME, answer) is State.INSTALLING


async def test_a_success_after_a_forced_cancel_is_what_runs(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    await rollouts.cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), force=True)
    assert await fleet.say("a", Event.SUCCEED) is State.CANCELLED
    assert (await devices_of(fleet, "a")) == {"app": "2"}


async def devices_of(fleet: Fleet, name: str) -> dict[str, str]:
    found = await fleet.world.store.read(lambda tx: tx.devices.get(ACME, DeviceId(name)))
    assert found is not None
    return {i.component: i.version for i in found.installed}


async def test_a_stop_ends_during_a_halt(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out()
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED


async def test_retry_is_for_the_edition_that_was_seen(fleet: Fleet) -> None:
    await fleet.add("a")
    rollout = await fleet.roll_out()
    await fleet.poll("a")
    await fleet.say("a", Event.FAIL)
    seen = (await fleet.show(rollout)).edition
    with pytest.raises(PreconditionFailedError):
        await rollouts.retry(fleet.world, ACME, SYSTEM, rollout, edition=seen - 1)
    again = await rollouts.retry(fleet.world, ACME, SYSTEM, rollout, edition=seen)
    assert again.state is RolloutState.RUNNING


async def test_a_segment_is_held_and_the_others_come_to_their_end(fleet: Fleet) -> None:
    await fleet.release("3", (BOARD, OTHER_BOARD))
    await fleet.add("a", "b")
    await fleet.add("c", hardware=OTHER_BOARD)
    rollout = await fleet.roll_out("3", policy=Policy(split=("hardware",)))
    segments = (await fleet.show(rollout)).segments
    assert [(s.name, s.size) for s in segments] == [("board", 2), ("other", 1)]
    await rollouts.hold_segment(fleet.world, ACME, SYSTEM, rollout, 1, reason="look")
    assert await fleet.poll("c") is None
    (why,) = await survey.why(fleet.world, ACME, DeviceId("c"))
    assert why.because == f"Its segment 2 (other) of rollout {rollout} is held: held by hand: look."
    for name in ("a", "b"):
        assert await fleet.poll(name) is State.OFFERED
        await fleet.say(name, Event.SUCCEED)
    ended = await fleet.show(rollout)
    assert (ended.state, ended.reason) == (RolloutState.FINISHED, "without what was left of held segments: other")
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 2, State.SKIPPED: 1}


async def test_a_released_segment_is_offered_what_is_open(fleet: Fleet) -> None:
    await fleet.release("3", (BOARD, OTHER_BOARD))
    await fleet.add("a")
    await fleet.add("c", hardware=OTHER_BOARD)
    rollout = await fleet.roll_out("3", policy=Policy(split=("hardware",)))
    await rollouts.hold_segment(fleet.world, ACME, SYSTEM, rollout, 1)
    assert await fleet.poll("c") is None
    with pytest.raises(PreconditionFailedError):
        await rollouts.release_segment(fleet.world, ACME, SYSTEM, rollout, 1, edition=1)
    await rollouts.release_segment(fleet.world, ACME, SYSTEM, rollout, 1, reason="it was the cable")
    assert await fleet.poll("c") is State.OFFERED
    kinds = [
        e.what for e in await survey.events(fleet.world, ACME, START, 100, str(rollout), kinds=[Kind.ROLLOUT_SEGMENT])
    ]
    assert [(e.data["held"], e.data["reason"]) for e in kinds] == [
        (True, "held by hand: no reason was given"),
        (False, "released by hand: it was the cable"),
    ]


class Strict:
    """A judge that stops a segment at its first failure."""

    def ruling(self, rollout: Rollout, evidence: Evidence, now: datetime) -> Ruling:
        found = ClassicJudge().ruling(rollout, evidence, now)
        failing = {s.index: evidence.segment(s.index).failures for s in rollout.segments}
        return replace(found, segments={i: Verdict(Call.STOP, f"{n} failed") for i, n in failing.items() if n})


async def test_the_worker_holds_what_the_judge_stops_and_a_person_overrules(fleet: Fleet) -> None:
    fleet.world = replace(fleet.world, judge=Strict())
    await fleet.release("3", (BOARD, OTHER_BOARD))
    await fleet.add("a", "b", "d")
    await fleet.add("c", hardware=OTHER_BOARD)
    rollout = await fleet.roll_out("3", policy=Policy(split=("hardware",)))
    await fleet.poll("a")
    await fleet.say("a", Event.FAIL)
    held = await fleet.show(rollout)
    assert (held.state, held.held) == (RolloutState.RUNNING, frozenset({0}))
    assert await fleet.poll("b") is None
    assert await fleet.poll("c") is State.OFFERED
    (told,) = await survey.events(fleet.world, ACME, START, 100, str(rollout), kinds=[Kind.ROLLOUT_SEGMENT])
    assert (told.what.actor, told.what.data["reason"]) == ("judge", "1 failed")
    await rollouts.release_segment(fleet.world, ACME, SYSTEM, rollout, 0)
    assert (await fleet.show(rollout)).segments[0].overruled
    assert await fleet.poll("b") is State.OFFERED
