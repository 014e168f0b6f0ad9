"""How far a rollout goes by itself when a wave fails: it tells, pauses, stops, or stops and brings devices back."""

from datetime import timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.rollout import (
    ClassicRule,
    OnError,
    Policy,
    RolloutEvent,
    RolloutState,
    SequentialRule,
    Share,
    WaveState,
)
from otaru.domain.terms import Terms
from otaru.errors import InvalidInputError
from otaru.services.control import releases, rollouts, survey
from otaru.services.control.releases import NewRelease, Part
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.unit.services.control.test_rollback import Back
from tests.unit.services.control.test_rollouts import APP, BOARD, OTHER_BOARD

pytestmark = pytest.mark.anyio

NAMES = [f"d{n}" for n in range(6)]
WAVES = (Share(3, percent=False), Share(100, percent=True))


def policy(on_error: OnError, **more: object) -> Policy:
    return Policy(waves=WAVES, rule=ClassicRule(0.9, 0.1), on_error=on_error, **more)  # type: ignore[arg-type]


@pytest.fixture
async def fleet(world: World) -> Back:
    made = Back(world)
    for version in ("1", "2"):
        await made.release(version, (BOARD,))
    await made.add(*NAMES, installed="1")
    return made


async def wave(fleet: Back, rollout: RolloutId, ends: Event, *rest: Event) -> list[str]:
    """The devices of the open wave, which end so; the first as `ends` says."""
    told = [name for name in NAMES if await fleet.poll(name) is State.OFFERED]
    for name, event in zip(told, (ends, *rest), strict=False):
        await fleet.say(name, event, action=await fleet.action(name, rollout))
    return told


async def happened(fleet: Back, rollout: RolloutId, kind: Kind) -> list[dict[str, object]]:
    recorded = await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 1000, str(rollout)))
    return [dict(one.what.data) | {"actor": one.what.actor} for one in recorded if one.what.kind is kind]


async def test_advice_is_told_once_and_nothing_is_done(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=policy(OnError.ADVISE))
    await wave(fleet, rollout, Event.FAIL, Event.SUCCEED)
    for _ in range(3):
        shown = await fleet.show(rollout)
    assert (shown.state, shown.waves[0].state) == (RolloutState.RUNNING, WaveState.OPEN)
    assert shown.waves[0].reason == "advised to stop: 1 of 3 failed, more than 10%"
    assert shown.waves[1].state is WaveState.PENDING, "the next one waits until this one is complete"
    notes = [what["notes"] for what in await happened(fleet, rollout, Kind.ROLLOUT_WAVE)]
    assert notes == [["wave 1: advised to stop: 1 of 3 failed, more than 10%"]]
    (third,) = [name for name in NAMES if await fleet.poll(name) is State.OFFERED]
    await fleet.say(third, Event.SUCCEED, action=1)
    shown = await fleet.show(rollout)
    assert [w.state for w in shown.waves] == [WaveState.OVERRULED, WaveState.OPEN]
    assert shown.waves[0].reason == "went on, though 1 of 3 failed, more than 10%"
    await wave(fleet, rollout, *[Event.SUCCEED] * 3)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED


async def test_a_sequential_judge_does_more_than_advise(fleet: Back) -> None:
    with pytest.raises(InvalidInputError):
        await fleet.roll_out("2", policy=Policy(sequential=SequentialRule(0.01), on_error=OnError.ADVISE))


@pytest.mark.parametrize("on_error", [OnError.PAUSE, OnError.STOP])
async def test_who_only_pauses_or_stops_brings_nobody_back(fleet: Back, on_error: OnError) -> None:
    rollout = await fleet.roll_out("2", policy=policy(on_error))
    await wave(fleet, rollout, Event.FAIL, Event.SUCCEED, Event.SUCCEED)
    ended = RolloutState.PAUSED if on_error is OnError.PAUSE else RolloutState.STOPPED
    assert (await fleet.show(rollout)).state is ended
    assert await happened(fleet, rollout, Kind.ROLLOUT_BACK) == []


async def test_it_stops_and_brings_back_who_took_it(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=policy(OnError.ROLLBACK))
    told = await wave(fleet, rollout, Event.SUCCEED, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPING
    (back,) = (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by
    assert await fleet.counts(back) == {State.SCHEDULED: 1}
    assert await fleet.poll(told[0]) is State.OFFERED
    (rung,) = await happened(fleet, rollout, Kind.ROLLOUT_BACK)
    why = "wave 1: 1 of 3 failed, more than 10%"
    assert rung == {"rollouts": [back], "members": 1, "left_out": {}, "reason": why, "actor": "judge"}

    await fleet.say(told[2], Event.SUCCEED, action=1)  # it had begun: it took it all the same
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    first, second = (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by
    assert first == back
    assert await fleet.poll(told[2]) is State.OFFERED
    rungs = await happened(fleet, rollout, Kind.ROLLOUT_BACK)
    assert [(rung["rollouts"], rung["reason"]) for rung in rungs] == [
        ([back], why),
        ([second], "taken while it was stopped"),
    ]


async def test_a_bad_rollback_does_not_roll_back_itself(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=policy(OnError.ROLLBACK))
    told = await wave(fleet, rollout, Event.SUCCEED, Event.SUCCEED, Event.FAIL)
    await fleet.work()
    (back,) = (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by
    for name in told[:2]:
        if await fleet.poll(name) is State.OFFERED:
            await fleet.say(name, Event.FAIL, action=2)
    shown = await fleet.show(back)
    assert (shown.state, shown.policy.on_error) == (RolloutState.PAUSED, OnError.PAUSE)
    assert (await rollouts.progress(fleet.world, ACME, back)).rolled_back_by == ()
    assert await happened(fleet, back, Kind.ROLLOUT_BACK) == []


async def test_it_rolls_back_where_the_last_report_makes_it_fail(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=Policy(rule=ClassicRule(0.9, 0.1), on_error=OnError.ROLLBACK))
    await wave(fleet, rollout, *[Event.SUCCEED] * 5, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    (back,) = (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by
    assert sum((await fleet.counts(back)).values()) == 5


async def test_where_it_is_not_safe_it_is_stopped_and_told(fleet: Back) -> None:
    await fleet.release_on("3", Terms(no_way_back=True))
    rollout = await fleet.roll_out("3", policy=policy(OnError.ROLLBACK))
    await wave(fleet, rollout, Event.SUCCEED, Event.FAIL, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    assert (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by == ()
    for rung in await happened(fleet, rollout, Kind.ROLLOUT_BACK):
        assert (rung["rollouts"], rung["left_out"]) == ([], {"app 3 declares that nobody goes back from it": 1})


async def test_a_person_who_stops_it_brings_nobody_back(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=policy(OnError.ROLLBACK))
    await wave(fleet, rollout, Event.SUCCEED)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    await fleet.work()
    assert (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by == ()


async def test_who_is_on_trial_is_brought_back_too(fleet: Back) -> None:
    rollout = await fleet.roll_out("2", policy=policy(OnError.ROLLBACK, validate=timedelta(hours=1)))
    told = await wave(fleet, rollout, Event.SUCCEED, Event.FAIL, Event.FAIL)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    assert (await fleet.counts(rollout))[State.CANCELLED] == 4, "the trial, and who was not told yet"
    (back,) = (await rollouts.progress(fleet.world, ACME, rollout)).rolled_back_by
    assert (await fleet.show(back)).size == 1
    assert await fleet.poll(told[0]) is State.OFFERED
    runs = (await survey.device(fleet.world, ACME, DeviceId(told[0]))).device.version_of("app")
    assert runs == Version("2")


ODD = [f"o{n}" for n in range(40)]
EVEN = [f"e{n}" for n in range(40)]


@pytest.fixture
async def split(world: World) -> Back:
    """Half of the devices are of another board."""
    made = Back(world)
    for version in ("1", "2"):
        await made.release(version, (BOARD, OTHER_BOARD))
    await made.add(*EVEN, installed="1")
    await made.add(*ODD, installed="1", hardware=OTHER_BOARD)
    return made


def by_board(on_error: OnError, **more: object) -> Policy:
    halves = (Share(40, percent=False), Share(100, percent=True))
    return Policy(waves=halves, sequential=SequentialRule(), split=("hardware",), on_error=on_error, **more)  # type: ignore[arg-type]


async def half(fleet: Back, rollout: RolloutId) -> tuple[str, str]:
    """A wave in which the odd ones fail but for one, that took it, and one, that has only begun: these two."""
    told = [name for name in (*EVEN, *ODD) if await fleet.poll(name) is State.OFFERED]
    odd = [name for name in told if name in ODD]
    for name in told:
        event = Event.SUCCEED if name in EVEN or name == odd[0] else Event.FAIL
        if name != odd[1]:
            await fleet.say(name, event, action=await fleet.action(name, rollout))
    await fleet.say(odd[1], Event.INSTALL, action=1)
    return odd[0], odd[1]


async def test_a_segment_that_the_judge_holds_is_brought_back_and_the_others_go_on(split: Back) -> None:
    rollout = await split.roll_out("2", policy=by_board(OnError.ROLLBACK))
    took, begun = await half(split, rollout)
    shown = await split.show(rollout)
    assert (shown.state, [s.held for s in shown.segments]) == (RolloutState.RUNNING, [False, True])
    (back,) = (await rollouts.progress(split.world, ACME, rollout)).rolled_back_by
    brings = await split.show(back)
    assert (brings.rolls_back, brings.version, brings.size, brings.state) == (rollout, "1", 1, RolloutState.RUNNING)
    assert brings.name == f"Rollback of rollout {rollout}: {shown.segments[1].name}"
    assert await split.poll(took) is State.OFFERED
    await split.say(took, Event.SUCCEED, action=2)
    assert await split.runs(took) == ["1"]
    (rung,) = await happened(split, rollout, Kind.ROLLOUT_BACK)
    assert (rung["rollouts"], rung["segments"], rung["members"], rung["actor"]) == ([back], [1], 1, "judge")

    for _ in range(3):
        await split.work()
    assert len((await rollouts.progress(split.world, ACME, rollout)).rolled_back_by) == 1, "nobody twice"
    await split.say(begun, Event.SUCCEED, action=1)
    shown = await split.show(rollout)
    assert shown.segments[1].reason.endswith("; who took it is brought back")
    first, second = (await rollouts.progress(split.world, ACME, rollout)).rolled_back_by
    assert (first, (await split.show(second)).size) == (back, 1)
    assert await split.poll(begun) is State.OFFERED
    for _ in range(3):
        await split.work()
    assert len((await rollouts.progress(split.world, ACME, rollout)).rolled_back_by) == 2
    assert await split.runs(*EVEN) != ["1"] * len(EVEN), "the others keep it"
    assert (await split.show(rollout)).state is RolloutState.RUNNING


@pytest.mark.parametrize("on_error", [OnError.PAUSE, OnError.STOP])
async def test_a_held_segment_stays_as_it_is_where_it_only_pauses_or_stops(split: Back, on_error: OnError) -> None:
    rollout = await split.roll_out("2", policy=by_board(on_error))
    await half(split, rollout)
    assert (await split.show(rollout)).segments[1].held
    assert (await rollouts.progress(split.world, ACME, rollout)).rolled_back_by == ()


async def test_a_segment_that_a_person_holds_is_not_brought_back(split: Back) -> None:
    rollout = await split.roll_out("2", policy=by_board(OnError.ROLLBACK))
    for name in EVEN[:20]:
        if await split.poll(name) is State.OFFERED:
            await split.say(name, Event.SUCCEED, action=1)
    await rollouts.hold_segment(split.world, ACME, SYSTEM, rollout, 0, reason="a bad feeling")
    await split.work()
    assert (await split.show(rollout)).segments[0].reason == "held by hand: a bad feeling"
    assert (await rollouts.progress(split.world, ACME, rollout)).rolled_back_by == ()


async def test_a_held_segment_is_not_brought_back_where_nobody_goes_back(split: Back) -> None:
    shown = await releases.show(split.world, ACME, APP, Version("1"))
    parts = tuple(Part(a.blob.sha256, "app.bin", "app", (a.hardware,)) for a in shown.artifacts)
    made = NewRelease(APP, Version("3"), parts, terms=Terms(no_way_back=True))
    await releases.create(split.world, ACME, SYSTEM, made)
    rollout = await split.roll_out("3", policy=by_board(OnError.ROLLBACK))
    await half(split, rollout)
    shown_now = await split.show(rollout)
    assert (shown_now.state, shown_now.segments[1].held) == (RolloutState.RUNNING, True)
    assert (await rollouts.progress(split.world, ACME, rollout)).rolled_back_by == ()
    (rung,) = await happened(split, rollout, Kind.ROLLOUT_BACK)
    assert rung["left_out"] == {"app 3 declares that nobody goes back from it": 1}
