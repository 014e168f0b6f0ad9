"""Blackouts, ends and plans that can never offer anything, over a real store."""

from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy, RolloutState
from otaru.domain.schedule import Blackout, window
from otaru.errors import InvalidInputError, InvalidStateError, NeverDueError, NotFoundError
from otaru.services.control import blackouts, rollouts, survey
from otaru.services.control.rollouts import Intention
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME, RIVAL
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, Fleet
from tests.unit.services.control.test_windows import turn, why

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, NOON)
    made = Fleet(world)
    await made.release("2")
    await made.add("a", "b")
    return made


async def blackout(fleet: Fleet, start: float = -1, end: float | None = 1) -> Blackout:
    """From so many hours after noon to so many."""
    wanted = Blackout(0, "freeze", NOON + start * HOUR, None if end is None else NOON + end * HOUR)
    return await blackouts.add(fleet.world, ACME, SYSTEM, wanted)


async def test_nothing_new_is_offered_while_it_lasts(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out()
    assert await fleet.poll("b") is State.OFFERED
    made = await blackout(fleet)
    assert await fleet.poll("a") is None
    said = f"Blackout {made.id} (freeze) lasts until 2031-05-01 13:00 UTC: nothing new is offered."
    assert await why(fleet) == [(Rule.BLACKOUT, said)]
    assert await fleet.poll("b") is State.OFFERED, "who has been told goes on"
    assert await fleet.say("b", Event.SUCCEED) is State.SUCCEEDED
    turn(clock, NOON + HOUR)
    assert await fleet.poll("a") is State.OFFERED
    await fleet.hold_counters(rollout)


async def test_a_yes_does_not_outrun_it(fleet: Fleet) -> None:
    await fleet.roll_out(policy=Policy(consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    made = await blackout(fleet)
    assert await fleet.say("a", Event.CONSENT) is State.AWAITING_CONSENT
    await blackouts.remove(fleet.world, ACME, SYSTEM, made.id)
    assert await fleet.say("a", Event.CONSENT) is State.OFFERED


async def test_an_emergency_goes_on_and_is_recorded(fleet: Fleet) -> None:
    await blackout(fleet)
    await fleet.roll_out(policy=Policy(ignore_blackout=True))
    assert await fleet.poll("a") is State.OFFERED
    found = await survey.events(fleet.world, ACME, START, 50, None, newest=False)
    (created,) = [e.what for e in found if e.what.kind is Kind.ROLLOUT_CREATED]
    assert created.data["ignore_blackout"] is True


async def test_ids_are_given_once_and_are_the_tenants_own(fleet: Fleet) -> None:
    first = await blackout(fleet)
    await blackouts.remove(fleet.world, ACME, SYSTEM, first.id)
    second = await blackout(fleet)
    assert second.id > first.id
    assert await blackouts.listed(fleet.world, ACME) == (second,)
    assert await blackouts.listed(fleet.world, RIVAL) == ()
    for tenant, number in ((RIVAL, second.id), (ACME, first.id)):
        with pytest.raises(NotFoundError):
            await blackouts.remove(fleet.world, tenant, SYSTEM, number)
    found = await survey.events(fleet.world, ACME, START, 50, None, newest=False)
    said = [e.what.data["change"] for e in found if e.what.kind is Kind.TENANT_BLACKOUT]
    assert said == ["added", "removed", "added"]


async def test_what_could_never_offer_anything_is_refused(fleet: Fleet, clock: SettableClock) -> None:
    made = await blackout(fleet, end=None)
    wanted = Intention(APP, Version("2"), "id==*", Policy())
    said = f"blackout {made.id} .freeze. lasts until it is removed"
    with pytest.raises(NeverDueError, match=said):
        await rollouts.create(fleet.world, ACME, SYSTEM, wanted)
    with pytest.raises(NeverDueError, match=said):
        await rollouts.preview(fleet.world, ACME, wanted)
    await blackouts.remove(fleet.world, ACME, SYSTEM, made.id)
    nightly = window("02:00/1h")
    for policy, said in (
        (Policy(end_at=NOON), "before it begins"),
        (Policy(window=nightly, end_at=NOON + 3 * HOUR), "nothing may be offered before"),
        (Policy(window=nightly, expires_after=3 * HOUR), "nothing may be offered before"),
        (Policy(window=nightly, install_takes=2 * HOUR), "shorter than the 120 minutes"),
    ):
        with pytest.raises(NeverDueError, match=said):
            await fleet.roll_out(policy=policy)
    turn(clock, NOON + 14 * HOUR)
    await fleet.roll_out(policy=Policy(window=nightly, end_at=NOON + 15 * HOUR))


async def test_at_its_end_who_has_not_begun_is_skipped(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.add("c")
    rollout = await fleet.roll_out(policy=Policy(end_at=NOON + HOUR, consent=True))
    assert await fleet.poll("b") is State.AWAITING_CONSENT
    assert await fleet.say("b", Event.CONSENT) is State.OFFERED
    assert await fleet.poll("c") is State.AWAITING_CONSENT
    turn(clock, NOON + HOUR)
    assert await fleet.poll("a") is None, "also before the worker has seen it"
    assert (await why(fleet))[0][0] is Rule.OVER
    shown = await fleet.show(rollout)
    assert (shown.state, shown.reason) == (RolloutState.RUNNING, "its end has come")
    assert await fleet.counts(rollout) == {State.SKIPPED: 2, State.OFFERED: 1}
    with pytest.raises(InvalidStateError, match="its end"):
        await rollouts.retry(fleet.world, ACME, SYSTEM, rollout)
    assert await fleet.say("b", Event.SUCCEED) is State.SUCCEEDED
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    (deployment, _), *_ = await survey.history(fleet.world, ACME, DeviceId("c"), 1)
    assert deployment.reason == "rollout running: its end has come"


async def test_nobody_is_told_when_too_little_of_the_window_is_left(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON + 15 * HOUR - timedelta(minutes=20))  # 02:40
    await fleet.roll_out(policy=Policy(window=window("02:00/1h"), install_takes=timedelta(minutes=30)))
    assert await fleet.poll("a") is None
    ((rule, said),) = await why(fleet)
    assert rule is Rule.WINDOW
    assert said.endswith("takes 30 minutes, which are not left. It opens next at 2031-05-03 02:00 UTC.")
    assert fleet.ask_at is not None
    assert fleet.ask_at >= datetime(2031, 5, 3, 2, tzinfo=UTC)


async def test_what_is_over_is_refused(fleet: Fleet) -> None:
    over = (
        Blackout(0, "last year", NOON - 9 * HOUR, NOON - 8 * HOUR),
        Blackout(0, "no day", window=window("03:00/1h UTC FREQ=DAILY;UNTIL=20200101 from 2019-01-01")),
    )
    for one in over:
        with pytest.raises(InvalidInputError, match="over already"):
            await blackouts.add(fleet.world, ACME, SYSTEM, one)
    assert await blackouts.listed(fleet.world, ACME) == ()
