"""Rollouts that download first and install on a later order, or in a window, over a real store."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from otaru.domain.deployment import Event, State
from otaru.domain.events import START, Kind
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.offer import Rule
from otaru.domain.rollout import (
    Approve,
    ClassicRule,
    Download,
    Install,
    Limits,
    Policy,
    RateRule,
    Rollout,
    RolloutEvent,
    RolloutState,
    Share,
    WaveState,
)
from otaru.domain.schedule import Window
from otaru.errors import ForbiddenError, InvalidInputError, InvalidStateError, NeverDueError, NothingToDoError
from otaru.services.control import rollouts, survey, tenants
from otaru.services.control.rollouts import Intention
from otaru.services.control.tenants import Change
from otaru.services.control.world import SYSTEM, Actor, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import APP, Fleet

pytestmark = pytest.mark.anyio

ONLY = Policy(download_only=True)
NIGHT = Window(time(2), timedelta(hours=4))
AT_NIGHT = Policy(window=NIGHT, download=Download.ANY_TIME)
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
OPENS = datetime(2031, 5, 2, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN, BEN = Actor("user:ann"), Actor("user:ben")
HOLD = State.DOWNLOADED


@pytest.fixture
async def fleet(world: World) -> Fleet:
    made = Fleet(world)
    await made.release("2")
    await made.add("a", "b", "c")
    return made


def turn(clock: SettableClock, to: datetime) -> None:
    """Set the clock; it goes on from there."""
    clock.ahead += to - clock.now()


async def fetch(fleet: Fleet, *names: str) -> None:
    """Devices poll, and download what they are told of."""
    for name in names or "abc":
        assert await fleet.poll(name) is State.OFFERED
        assert await fleet.say(name, Event.INSTALL) is State.DOWNLOADING, "of who may not install, it is the download"
        assert await fleet.say(name, Event.DOWNLOAD_DONE) is HOLD


async def order(fleet: Fleet, rollout: RolloutId, at: datetime | None = None, *, in_window: bool = False) -> Rollout:
    return await rollouts.install(fleet.world, ACME, SYSTEM, rollout, at, in_window=in_window)


async def why(fleet: Fleet, name: str = "a") -> tuple[Rule, str]:
    (found,) = await survey.why(fleet.world, ACME, DeviceId(name))
    return found.rule, found.because


async def told(fleet: Fleet) -> str:
    """Who is told to install."""
    return "".join([name for name in "abc" if await fleet.poll(name) is State.INSTALLING])


async def test_what_was_downloaded_waits_for_the_order_and_is_shown_nothing(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=ONLY)
    await fetch(fleet)
    assert await told(fleet) == ""
    assert await fleet.poll("a") is None
    assert await why(fleet) == (
        Rule.INSTALL_ORDER,
        f"It has downloaded it, and waits for the order to install (otaru rollout install {rollout}).",
    )
    waiting = await rollouts.progress(fleet.world, ACME, rollout)
    assert waiting.holding == 3
    assert waiting.rollout.waves[0].state is WaveState.PENDING

    ordered = await order(fleet, rollout)
    assert ordered.waves[0].state is WaveState.OPEN
    assert await told(fleet) == "abc"
    assert await fleet.poll("a") is State.INSTALLING, "the same action, until the device closes it"
    for name in "abc":
        assert await fleet.say(name, Event.SUCCEED) is State.SUCCEEDED
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    events = await survey.events(fleet.world, ACME, START, 10, str(rollout), kinds=[Kind.ROLLOUT_INSTALL])
    assert [e.what.data["notes"] for e in events] == [["what was downloaded is installed now"]]


async def test_who_may_install_is_told_once(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=replace(ONLY, limits=Limits(in_flight=2)))
    assert await fleet.poll("a") is State.OFFERED
    await order(fleet, rollout)
    assert await told(fleet) == "ab", "who came before and said nothing of a download, and who comes after it"
    assert await fleet.counts(rollout) == {State.INSTALLING: 2, State.SCHEDULED: 1}


async def test_success_before_the_order_is_none(fleet: Fleet) -> None:
    """SWUpdate closes an order that it is not to install, without having done anything."""
    rollout = await fleet.roll_out(policy=ONLY)
    await fleet.poll("a")
    assert await fleet.say("a", Event.SUCCEED) is HOLD
    (row,) = [d for d, _ in (await survey.device(fleet.world, ACME, DeviceId("a"))).history]
    assert row.reason == "closed it before it was told to install: words 1"
    entry = await fleet.world.registry.device(ACME, DeviceId("a"))
    assert entry is not None
    assert entry.subject.installed == ()
    await order(fleet, rollout)
    assert "a" in await told(fleet)
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED


@pytest.mark.parametrize("stop", [True, False])
async def test_success_is_none_either_where_it_was_called_off_before_the_order(fleet: Fleet, stop: bool) -> None:
    rollout = await fleet.roll_out(policy=ONLY)
    await fleet.poll("a")
    if stop:
        await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    else:
        await rollouts.cancel(fleet.world, ACME, SYSTEM, rollout, DeviceId("a"), force=True)
    assert await fleet.say("a", Event.SUCCEED) is State.CANCELLED
    entry = await fleet.world.registry.device(ACME, DeviceId("a"))
    assert entry is not None
    assert entry.subject.installed == ()


async def test_the_moment_opens_the_wave_and_is_waited_for(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=ONLY)
    await fetch(fleet)
    await order(fleet, rollout, OPENS)
    assert (await fleet.poll("a"), fleet.ask_at) == (None, OPENS), "who would sleep past it is woken"
    assert await why(fleet) == (
        Rule.INSTALL_ORDER,
        "It has downloaded it, and is ordered to install it at 2031-05-02 02:00 UTC.",
    )
    turn(clock, OPENS - timedelta(seconds=30))
    await fleet.work()
    assert await told(fleet) == ""
    turn(clock, OPENS)
    assert (await fleet.show(rollout)).waves[0].opened_at is not None
    assert await told(fleet) == "abc"


async def test_it_can_be_moved_and_withdrawn_before_its_moment_and_not_after(
    fleet: Fleet, clock: SettableClock
) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=ONLY)
    await fetch(fleet)
    with pytest.raises(NothingToDoError):
        await rollouts.withdraw(fleet.world, ACME, SYSTEM, rollout)
    await order(fleet, rollout, OPENS)
    with pytest.raises(NothingToDoError):
        await order(fleet, rollout, OPENS)
    moved = await order(fleet, rollout, OPENS + HOUR)
    assert moved.install == Install(OPENS + HOUR)
    turn(clock, OPENS)
    await fleet.work()
    assert await told(fleet) == ""
    withdrawn = await rollouts.withdraw(fleet.world, ACME, SYSTEM, rollout, reason="not yet")
    assert withdrawn.install is None
    turn(clock, OPENS + HOUR)
    await fleet.work()
    assert await told(fleet) == ""
    given = await order(fleet, rollout)
    with pytest.raises(NothingToDoError):
        await order(fleet, rollout)
    with pytest.raises(InvalidStateError, match="before its moment"):
        await order(fleet, rollout, OPENS + 9 * HOUR)
    with pytest.raises(InvalidStateError, match="before its moment"):
        await rollouts.withdraw(fleet.world, ACME, SYSTEM, rollout)
    assert (await fleet.show(rollout)).install == given.install
    events = await survey.events(fleet.world, ACME, START, 10, str(rollout), kinds=[Kind.ROLLOUT_INSTALL])
    assert len(events) == 4


async def test_in_the_window_it_comes_true_at_each_opening(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=Policy(download_only=True, window=NIGHT, download=Download.ANY_TIME))
    await fetch(fleet)
    await order(fleet, rollout, in_window=True)
    assert (await fleet.poll("a"), fleet.ask_at) == (None, OPENS)
    assert (await why(fleet))[0] is Rule.WINDOW
    turn(clock, OPENS)
    assert await fleet.poll("a") is State.INSTALLING
    await rollouts.withdraw(fleet.world, ACME, SYSTEM, rollout)
    assert await told(fleet) == "a", "who has been told goes on, nobody new"
    await order(fleet, rollout, in_window=True)
    turn(clock, OPENS + 4 * HOUR)
    assert await told(fleet) == "a"
    turn(clock, OPENS + 24 * HOUR)
    assert await told(fleet) == "abc"


async def test_a_moment_does_not_wait_for_the_window(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, OPENS)
    rollout = await fleet.roll_out(policy=Policy(download_only=True, window=NIGHT))
    await fetch(fleet)
    turn(clock, NOON + 24 * HOUR)
    await order(fleet, rollout)
    assert await told(fleet) == "abc"


async def test_at_any_time_it_is_downloaded_and_in_the_window_installed(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    rollout = await fleet.roll_out(policy=AT_NIGHT)
    await fetch(fleet)
    assert (await fleet.poll("a"), fleet.ask_at) == (None, OPENS)
    rule, because = await why(fleet)
    assert rule is Rule.WINDOW
    assert because.startswith("It has downloaded it, and is told to install it in the window.")
    with pytest.raises(InvalidStateError, match="waits for no order"):
        await order(fleet, rollout)
    turn(clock, OPENS)
    assert await told(fleet) == "abc"


async def test_at_any_time_means_not_before_its_wave(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    one_first = (Share(1, percent=False), Share(100, percent=True))
    await fleet.roll_out(policy=Policy(waves=one_first, window=NIGHT, download=Download.ANY_TIME))
    assert len([name for name in "abc" if await fleet.poll(name)]) == 1


async def test_all_download_at_once_and_waves_are_of_the_installation(fleet: Fleet) -> None:
    waves = (Share(1, percent=False), Share(100, percent=True))
    rollout = await fleet.roll_out(policy=Policy(waves=waves, rule=ClassicRule(0.9, 0.1), download_only=True))
    await fetch(fleet)
    await fleet.work()
    await order(fleet, rollout)
    first = await told(fleet)
    assert len(first) == 1
    other = next(name for name in "abc" if name != first)
    assert (await why(fleet, other))[0] is Rule.DUE
    await fleet.say(first, Event.SUCCEED)
    assert (await fleet.show(rollout)).waves[1].state is WaveState.OPEN
    assert len(await told(fleet)) == 2


async def test_who_holds_the_bytes_takes_no_place_and_takes_one_to_install(fleet: Fleet) -> None:
    policy = Policy(download_only=True, limits=Limits(in_flight=1))
    rollout = await fleet.roll_out(policy=policy)
    assert await fleet.poll("a") is State.OFFERED
    assert await fleet.poll("b") is None, "to download takes a place too"
    await fleet.say("a", Event.DOWNLOAD_DONE)
    await fetch(fleet, "b", "c")
    await order(fleet, rollout)
    assert await told(fleet) == "a"
    rule, because = await why(fleet, "b")
    assert (rule, "1 of 1 are in flight" in because) == (Rule.LIMIT, True)
    await fleet.say("a", Event.SUCCEED)
    assert await told(fleet) == "b"


async def test_both_times_a_device_is_told_count_in_their_minute(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=Policy(download_only=True, limits=Limits(per_minute=1)))
    for name in "ab":
        turn(clock, clock.now().replace(second=0) + timedelta(minutes=1))
        await fetch(fleet, name)
        assert await fleet.poll("c") is None
    await order(fleet, rollout)
    assert await told(fleet) == ""
    turn(clock, clock.now().replace(second=0) + timedelta(minutes=1))
    assert await told(fleet) == "a"
    assert await fleet.poll("b") is None
    assert fleet.ask_at is not None


async def test_pause_halt_and_blackout_hold_back_who_only_downloaded(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=ONLY)
    await fetch(fleet)
    await order(fleet, rollout)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    assert await told(fleet) == ""
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    await tenants.halt(fleet.world, ACME, SYSTEM, "an incident")
    assert await told(fleet) == ""
    await tenants.lift(fleet.world, ACME, SYSTEM)
    assert await told(fleet) == "abc"


@pytest.mark.parametrize("how", ["end", "expiry"])
async def test_who_was_never_told_to_install_is_skipped_and_not_silent(
    fleet: Fleet, clock: SettableClock, how: str
) -> None:
    """What hawkBit's downloadonly comes to where no order follows."""
    end = clock.now() + HOUR
    policy = Policy(download_only=True, end_at=end) if how == "end" else Policy(download_only=True, expires_after=HOUR)
    rollout = await fleet.roll_out(policy=policy)
    await fetch(fleet, "a", "b")
    await fleet.poll("c")
    turn(clock, end + timedelta(minutes=1))
    shown = await fleet.show(rollout)
    if how == "end":
        assert await fleet.counts(rollout) == {State.SKIPPED: 2, State.OFFERED: 1}
        await fleet.say("c", Event.DOWNLOAD_DONE)
        shown = await fleet.show(rollout)
        assert await fleet.counts(rollout) == {State.SKIPPED: 3}
    else:
        assert await fleet.counts(rollout) == {State.SKIPPED: 2, State.SILENT: 1}
        assert await fleet.say("c", Event.SUCCEED) is State.SILENT, "it was never told to install"
    assert shown.state is RolloutState.FINISHED


async def test_time_does_not_count_while_the_order_is_waited_for(fleet: Fleet, clock: SettableClock) -> None:
    policy = Policy(download_only=True, rule=ClassicRule(0.9, 0.1), wave_timeout=HOUR)
    rollout = await fleet.roll_out(policy=policy)
    await fetch(fleet)
    turn(clock, clock.now() + 99 * HOUR)
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    await order(fleet, rollout)
    turn(clock, clock.now() + HOUR / 2)
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    turn(clock, clock.now() + HOUR)
    assert (await fleet.show(rollout)).state is RolloutState.PAUSED


async def test_with_four_eyes_nobody_orders_their_own(fleet: Fleet) -> None:
    await tenants.change(fleet.world, ACME, SYSTEM, Change(four_eyes=True))
    wanted = Intention(APP, Version("2"), "id==*", ONLY, start=True)
    made = await rollouts.create(fleet.world, ACME, ANN, wanted)
    await rollouts.order(fleet.world, ACME, BEN, made.id, RolloutEvent.APPROVE)
    with pytest.raises(ForbiddenError):
        await rollouts.install(fleet.world, ACME, ANN, made.id)
    assert (await rollouts.install(fleet.world, ACME, BEN, made.id)).install is not None
    started = await fleet.show(made.id)
    assert started.waves[0].opened_at is not None


async def test_the_order_opens_the_first_wave_where_waves_are_approved(fleet: Fleet) -> None:
    waves = (Share(1, percent=False), Share(100, percent=True))
    policy = Policy(waves=waves, rule=ClassicRule(0.9, 0.1), download_only=True, approve=Approve.WAVES)
    wanted = Intention(APP, Version("2"), "id==*", policy, start=True)
    made = await rollouts.create(fleet.world, ACME, ANN, wanted)
    running = await rollouts.order(fleet.world, ACME, BEN, made.id, RolloutEvent.APPROVE)
    assert (running.state, running.waves[0].state) == (RolloutState.RUNNING, WaveState.PENDING)
    assert rollouts.allowed(running, fleet.world.clock.now()) == ["pause", "stop", "install"]
    await fetch(fleet)
    await order(fleet, made.id)
    ordered = await fleet.show(made.id)
    assert rollouts.allowed(ordered, fleet.world.clock.now()) == ["pause", "stop"], "its moment has come"
    first = await told(fleet)
    assert len(first) == 1
    await fleet.say(first, Event.SUCCEED)
    assert (await fleet.show(made.id)).unapproved is not None


async def test_a_plan_may_hold_the_order(fleet: Fleet, clock: SettableClock) -> None:
    turn(clock, NOON)
    wanted = Intention(APP, Version("2"), "id==*", ONLY, start=True, install=Install(OPENS))
    made = await rollouts.create(fleet.world, ACME, ANN, wanted)
    await fetch(fleet)
    turn(clock, OPENS)
    assert (await fleet.show(made.id)).waves[0].opened_at is not None
    assert await told(fleet) == "abc"


@pytest.mark.parametrize(
    ("policy", "install", "said"),
    [
        (Policy(), Install(OPENS), "only downloads"),
        (ONLY, Install(OPENS, in_window=True), "no window"),
        (ONLY, Install(NOON - HOUR), "has passed"),
        (Policy(download_only=True, end_at=OPENS), Install(OPENS), "after its end"),
        (Policy(download=Download.ANY_TIME), None, "at any time"),
        (Policy(download_only=True, rate=RateRule(10, 2, 100)), None, "told twice"),
        (replace(AT_NIGHT, rate=RateRule(10, 2, 100)), None, "told twice"),
        (Policy(install_takes=HOUR), None, "without a window"),
        (Policy(postponements=5), None, "nobody is asked"),
        (Policy(postpone_for=HOUR), None, "nobody is asked"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    fleet: Fleet, clock: SettableClock, policy: Policy, install: Install | None, said: str
) -> None:
    turn(clock, NOON)
    wanted = Intention(APP, Version("2"), "id==*", policy, install=install)
    with pytest.raises((InvalidInputError, NeverDueError), match=said):
        await rollouts.create(fleet.world, ACME, ANN, wanted)


async def test_one_that_has_ended_is_ordered_nothing(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=ONLY)
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    await fleet.work()
    with pytest.raises(InvalidStateError, match="nobody new of it installs"):
        await order(fleet, rollout)
