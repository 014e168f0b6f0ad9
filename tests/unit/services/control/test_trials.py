"""Installations on trial over a real store: reports, health events, polls and the worker's sweep in turn."""

from datetime import timedelta

import pytest

from otaru.adapters.contacts import record_contacts
from otaru.domain.deployment import Event, State
from otaru.domain.device import Installed
from otaru.domain.events import START, Kind
from otaru.domain.health import Kind as Health
from otaru.domain.health import Told
from otaru.domain.ids import DeviceId, RolloutId, Version
from otaru.domain.rollout import ClassicRule, Policy, RolloutEvent, RolloutState, Share
from otaru.errors import InvalidInputError
from otaru.services.control import devices, health, rollouts, survey
from otaru.services.control.trials import BATCH, end_trials
from otaru.services.control.world import SYSTEM, World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet

pytestmark = pytest.mark.anyio

WINDOW = timedelta(minutes=30)
A = DeviceId("a")
POLLING = timedelta(hours=1)
"""More than any tenant's interval in these tests: who is silent for so long is silent."""


class Tried(Fleet):
    """A fleet whose devices are on trial."""

    async def begin(self, *names: str, policy: Policy | None = None) -> RolloutId:
        await self.add(*names, installed="1")
        rollout = await self.roll_out(policy=policy or Policy(validate=WINDOW))
        for name in names:
            await self.poll(name)
            assert await self.say(name, Event.SUCCEED) is State.ON_TRIAL
        return rollout

    async def heard(self, name: str) -> None:
        """It was heard of just now, and that is written."""
        await self.world.store.write(record_contacts, [(ACME, DeviceId(name), self.world.clock.now(), "")])

    async def crash(self, name: str, number: int = 1, kind: Health = Health.CRASH) -> None:
        self.said += 1
        told = [Told(f"{self.said}-{n}", kind) for n in range(number)]
        await health.tell(self.world, ACME, DeviceId(name), told)

    async def runs(self, name: str) -> Installed:
        (found,) = (await survey.device(self.world, ACME, DeviceId(name))).device.installed
        return found

    async def reason(self, name: str) -> str:
        return (await survey.device(self.world, ACME, DeviceId(name))).history[0][0].reason


@pytest.fixture
async def fleet(world: World) -> Tried:
    made = Tried(world)
    await made.release("2")
    return made


async def test_a_success_is_one_when_its_window_was_passed(fleet: Tried, clock: SettableClock) -> None:
    rollout = await fleet.begin("a")
    assert (await fleet.runs("a")).confirmed is False
    assert await fleet.poll("a") is None, "for the device it is closed"
    assert fleet.ask_at is not None
    assert fleet.ask_at <= clock.now() + WINDOW / 2, "it is asked to come within the window"
    clock.ahead += WINDOW / 2
    await fleet.heard("a")
    assert await end_trials(fleet.world) == 0
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    clock.ahead += WINDOW / 2
    assert await end_trials(fleet.world) == 1
    assert await end_trials(fleet.world) == 0, "a sweep repeated finds nothing to do"
    assert (await fleet.runs("a")).confirmed is True
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 1}


async def test_a_success_said_again_does_not_end_the_trial(fleet: Tried, clock: SettableClock) -> None:
    await fleet.begin("a")
    clock.ahead += WINDOW / 2
    assert await fleet.say("a", Event.SUCCEED) is State.ON_TRIAL
    assert (await fleet.runs("a")).confirmed is False


@pytest.mark.parametrize("kind", [Health.CRASH, Health.WATCHDOG, Health.COMM_FAILURE, Health.STORAGE])
async def test_a_bad_event_fails_it_at_once(fleet: Tried, kind: Health) -> None:
    rollout = await fleet.begin("a", "b")
    await fleet.crash("a", kind=kind)
    assert await fleet.counts(rollout) == {State.FAILED: 1, State.ON_TRIAL: 1}
    assert await fleet.reason("a") == f"1 bad health event in its health window: {kind.value.replace('_', ' ')}"
    await fleet.hold_counters(rollout)


async def test_so_many_are_allowed_and_others_say_nothing(fleet: Tried, clock: SettableClock) -> None:
    await fleet.add("z", installed="1")
    await fleet.crash("z", 5)  # before its trial
    rollout = await fleet.begin("a", policy=Policy(validate=WINDOW, validate_events=3))
    await fleet.poll("z")
    clock.ahead += timedelta(seconds=1)
    await fleet.say("z", Event.SUCCEED)
    await fleet.crash("a", 2)
    await fleet.crash("a", 9, Health.REBOOT)
    await fleet.crash("a", 9, Health.POWER)
    await fleet.crash("z", 2)
    assert await fleet.counts(rollout) == {State.ON_TRIAL: 2}
    await fleet.crash("a", 1, Health.WATCHDOG)
    assert await fleet.counts(rollout) == {State.ON_TRIAL: 1, State.FAILED: 1}
    assert await fleet.reason("a") == "3 bad health events in its health window: crash, watchdog"


async def test_silence_is_a_failure_after_a_polling_interval_more(fleet: Tried, clock: SettableClock) -> None:
    rollout = await fleet.begin("a", "b")
    clock.ahead += WINDOW + timedelta(seconds=5)
    assert await end_trials(fleet.world) == 0, "who sleeps longer than the window is not silent for that"
    await fleet.heard("b")
    assert await end_trials(fleet.world) == 1
    clock.ahead += POLLING
    assert await end_trials(fleet.world) == 1
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 1, State.SILENT: 1}
    assert await fleet.reason("a") == "not heard of in its health window of 30m"
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED, "silent ones may still come back"


async def test_another_version_at_the_end_is_a_way_back(fleet: Tried, clock: SettableClock) -> None:
    rollout = await fleet.begin("a")
    await devices.change(fleet.world, ACME, SYSTEM, A, devices.Change(installed={"app": Version("1")}))
    await fleet.heard("a")
    clock.ahead += WINDOW + POLLING
    assert await end_trials(fleet.world) == 1
    assert await fleet.counts(rollout) == {State.REVERTED: 1}
    assert await fleet.reason("a") == "it runs 1 in its health window"


async def test_a_reported_failure_ends_it(fleet: Tried) -> None:
    rollout = await fleet.begin("a")
    assert await fleet.say("a", Event.FAIL) is State.FAILED
    assert await fleet.counts(rollout) == {State.FAILED: 1}


async def test_who_stops_it_ends_the_trials(fleet: Tried) -> None:
    rollout = await fleet.begin("a")
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.STOP)
    assert (await fleet.show(rollout)).state is RolloutState.STOPPED
    assert await fleet.counts(rollout) == {State.CANCELLED: 1}
    assert (await fleet.runs("a")).version == "2"
    assert await end_trials(fleet.world) == 0


async def test_trials_go_on_while_a_rollout_is_paused_and_the_wave_waits_for_them(
    fleet: Tried, clock: SettableClock
) -> None:
    await fleet.add("a", "b", installed="1")
    waves = (Share(1, percent=False), Share(100, percent=True))
    policy = Policy(waves=waves, rule=ClassicRule(0.9, 0.1), validate=WINDOW)
    rollout = await fleet.roll_out(policy=policy)
    (first,) = [name for name in ("a", "b") if await fleet.poll(name) is not None]
    await fleet.say(first, Event.SUCCEED)
    assert [wave.state for wave in (await fleet.show(rollout)).waves] == ["open", "pending"]
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.PAUSE)
    clock.ahead += WINDOW
    await fleet.heard(first)
    assert await end_trials(fleet.world) == 1
    await rollouts.order(fleet.world, ACME, SYSTEM, rollout, RolloutEvent.RESUME)
    assert [wave.state for wave in (await fleet.show(rollout)).waves] == ["passed", "open"]


async def test_who_is_on_trial_when_it_expires_has_its_window(fleet: Tried, clock: SettableClock) -> None:
    await fleet.add("a", "b", installed="1")
    rollout = await fleet.roll_out(policy=Policy(validate=WINDOW, expires_after=2 * WINDOW))
    await fleet.poll("a")
    clock.ahead += 2 * WINDOW - timedelta(minutes=1)
    await fleet.say("a", Event.SUCCEED)
    clock.ahead += timedelta(minutes=2)
    await fleet.heard("a")
    assert (await fleet.show(rollout)).state is RolloutState.RUNNING
    clock.ahead += WINDOW - timedelta(minutes=1)
    assert await end_trials(fleet.world) == 1
    assert (await fleet.show(rollout)).state is RolloutState.FINISHED
    assert await fleet.counts(rollout) == {State.SUCCEEDED: 1, State.SKIPPED: 1}


async def test_each_end_is_recorded_and_more_than_a_batch_ends(fleet: Tried, clock: SettableClock) -> None:
    names = [f"d{number}" for number in range(BATCH + 3)]
    rollout = await fleet.begin(*names)
    clock.ahead += WINDOW + POLLING
    assert await end_trials(fleet.world) == len(names)
    assert await fleet.counts(rollout) == {State.SILENT: len(names)}
    recorded = await fleet.world.store.read(lambda tx: tx.events.page(ACME, START, 10_000))
    ends = [one.what for one in recorded if one.what.kind is Kind.DEPLOYMENT_MOVED and one.what.data["to"] == "silent"]
    assert {what.subject for what in ends} == set(names)
    assert {(what.actor, what.data["from"]) for what in ends} == {("judge", "on_trial")}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(validate=WINDOW, wave_timeout=WINDOW),
        Policy(validate=WINDOW, expires_after=WINDOW),
        Policy(validate=WINDOW, validate_events=0),
        Policy(validate=timedelta(days=4000)),
    ],
)
async def test_a_window_that_nobody_could_pass_is_refused(fleet: Tried, policy: Policy) -> None:
    await fleet.add("a")
    with pytest.raises(InvalidInputError):
        await fleet.roll_out(policy=policy)
