"""Rollouts with a maintenance window, and yeses that were given while nothing could begin."""

from datetime import UTC, datetime, time, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.device import AutoConfirm, Merge
from otaru.domain.ids import DeviceId
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy, RolloutEvent
from otaru.domain.schedule import Window, window
from otaru.errors import InvalidInputError
from otaru.services.control import attributes, rollouts, survey, tenants
from otaru.services.control import poll as poll_module
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet

pytestmark = pytest.mark.anyio

NIGHT = Window(time(2), timedelta(hours=4))
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.add("a")
    return made


def turn(clock: SettableClock, to: datetime) -> None:
    """Set the clock; it goes on from there."""
    clock.ahead += to - clock.now()


async def why(fleet: Fleet) -> list[tuple[Rule, str]]:
    return [(b.rule, b.because) for b in await survey.why(fleet.world, ACME, DeviceId("a"))]


async def yes(fleet: Fleet, *, standing: bool = True) -> None:
    given = AutoConfirm("ann", None, fleet.world.clock.now()) if standing else None
    await attributes.auto_confirm(fleet.world, ACME, DeviceId("a"), given)


async def test_held_back_until_it_opens_then_kept(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=Policy(window=NIGHT))
    opens = datetime(2031, 5, 2, 2, tzinfo=UTC)
    assert (await fleet.poll("a"), fleet.ask_at) == (None, opens)
    shut = "The maintenance window 02:00/4h UTC is shut: it opens at 2031-05-02 02:00 UTC."
    assert await why(fleet) == [(Rule.WINDOW, shut)]
    assert await fleet.counts(rollout) == {State.SCHEDULED: 1}

    turn(clock, opens)
    assert (await fleet.poll("a"), fleet.ask_at) == (State.OFFERED, None)
    opened = "The maintenance window 02:00/4h UTC is open until 2031-05-02 06:00 UTC."
    assert await why(fleet) == [(Rule.OFFER, f"It has been told: action 1 is offered. {opened}")]

    turn(clock, opens + timedelta(hours=4))
    assert await fleet.poll("a") is State.OFFERED, "who has been told keeps its action"
    assert "is shut: it opens at 2031-05-03 02:00 UTC." in (await why(fleet))[0][1]
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED
    assert await fleet.poll("a") is None


async def test_a_younger_rollout_goes_first_while_the_older_one_waits(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    await fleet.release("3")
    older = await fleet.roll_out("2", policy=Policy(window=NIGHT))
    younger = await fleet.roll_out("3")
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.counts(older) == {State.SCHEDULED: 1}
    assert await fleet.counts(younger) == {State.OFFERED: 1}


async def test_a_poll_that_began_before_the_end_offers_nothing_after_it(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=Policy(window=NIGHT))
    late = poll_module._Move(ACME, DeviceId("a"), rollout, 1, datetime(2031, 5, 2, 6, tzinfo=UTC))
    await fleet.world.store.write(poll_module._move, late)
    assert await fleet.counts(rollout) == {State.SCHEDULED: 1}


async def test_nobody_is_asked_outside_and_an_explicit_yes_counts_there(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    await fleet.roll_out(policy=Policy(window=NIGHT, consent=True))
    assert await fleet.poll("a") is None
    turn(clock, NOON + timedelta(hours=15))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    turn(clock, NOON + timedelta(hours=24))
    assert await fleet.say("a", Event.CONSENT) is State.OFFERED


@pytest.mark.parametrize("asked", [State.AWAITING_CONSENT, State.POSTPONED])
async def test_a_standing_yes_given_during_a_halt_counts_when_it_is_lifted(fleet: Fleet, asked: State) -> None:
    rollout = await fleet.roll_out(policy=Policy(consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    if asked is State.POSTPONED:
        await fleet.say("a", Event.POSTPONE)
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    await yes(fleet)
    assert await fleet.poll("a") is asked
    await tenants.lift(fleet.world, ACME, SYSTEM)
    assert await fleet.poll("a") is State.OFFERED
    await fleet.hold_counters(rollout)
    (((deployment, _),)) = await survey.history(fleet.world, ACME, DeviceId("a"), 9)
    assert deployment.action == 1, "it is the one that the device was asked about"
    assert deployment.offered_at is not None
    assert deployment.offered_at < deployment.changed_at


async def test_a_standing_yes_waits_for_a_pause_and_for_the_window(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON - timedelta(hours=10))
    rollout = await fleet.roll_out(policy=Policy(window=NIGHT, consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    await yes(fleet)
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    turn(clock, NOON)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    turn(clock, NOON + timedelta(hours=14))
    assert await fleet.poll("a") is State.OFFERED


async def test_a_standing_yes_that_is_taken_back_in_time_does_not_count(fleet: Fleet) -> None:
    await fleet.roll_out(policy=Policy(consent=True))
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    await yes(fleet)
    await yes(fleet, standing=False)
    await tenants.lift(fleet.world, ACME, SYSTEM)
    assert await fleet.poll("a") is State.AWAITING_CONSENT


async def test_a_window_hangs_on_each_devices_own_clock(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    await fleet.add("tokyo", "lost")
    for device, zone in (("tokyo", "Asia/Tokyo"), ("lost", "Mars/Olympus_Mons")):
        await attributes.merge(fleet.world, ACME, DeviceId(device), {"timezone": zone}, Merge.MERGE)
    await fleet.roll_out(policy=Policy(window=window("02:00/4h device")))
    assert [await fleet.poll(name) for name in ("a", "tokyo", "lost")] == [None] * 3
    shut = (await why(fleet))[0][1]
    assert "it opens at 2031-05-02 02:00 UTC. The device's own time zone is not known" in shut
    assert shut.endswith("so the tenant's counts, UTC.")

    turn(clock, NOON + timedelta(hours=5, minutes=30))  # 02:30 in Tokyo
    assert [await fleet.poll(name) for name in ("a", "tokyo", "lost")] == [None, State.OFFERED, None]
    await tenants.change(fleet.world, ACME, SYSTEM, tenants.Change(zone="Asia/Tokyo"))
    assert [await fleet.poll(name) for name in ("a", "lost")] == [State.OFFERED] * 2


async def test_a_device_that_moves_takes_its_window_along(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON + timedelta(hours=5, minutes=30))
    await fleet.roll_out(policy=Policy(window=window("02:00/4h device")))
    assert await fleet.poll("a") is None
    await attributes.merge(fleet.world, ACME, DeviceId("a"), {"timezone": "Asia/Tokyo"}, Merge.MERGE)
    assert await fleet.poll("a") is State.OFFERED


async def test_only_on_the_days_of_its_rule(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, datetime(2031, 5, 2, 3, tzinfo=UTC))  # a Friday
    await fleet.roll_out(policy=Policy(window=window("02:00/4h FREQ=WEEKLY;BYDAY=SA,SU")))
    assert await fleet.poll("a") is None
    assert (await why(fleet))[0][1].endswith("is shut: it opens at 2031-05-03 02:00 UTC.")
    turn(clock, datetime(2031, 5, 3, 3, tzinfo=UTC))
    assert await fleet.poll("a") is State.OFFERED


async def test_a_zone_that_nobody_knows_is_no_setting(fleet: Fleet) -> None:
    with pytest.raises(InvalidInputError, match="not a time zone"):
        await tenants.change(fleet.world, ACME, SYSTEM, tenants.Change(zone="Europe/Nowhere"))
