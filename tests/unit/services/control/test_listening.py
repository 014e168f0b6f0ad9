"""Once in an hour it is looked who fell silent, over a real store; patience is learned when a rollout is planned."""

from datetime import timedelta

import pytest

from otaru.adapters.contacts import record_contacts
from otaru.domain.deployment import Event, State
from otaru.domain.evidence import Call
from otaru.domain.health import Arm, Heard, Hush, Sign
from otaru.domain.ids import DeviceId, RolloutId
from otaru.domain.rollout import JUDGED_WAVES, Policy, SequentialRule, Share
from otaru.services.control import judging
from otaru.services.control.listening import hour_over, listen
from otaru.services.control.world import World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet

pytestmark = pytest.mark.anyio

NAMES = [f"d-{n:03}" for n in range(80)]
JUDGED = Policy(waves=(Share(30, percent=False), *JUDGED_WAVES[-1:]), sequential=SequentialRule())


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    clock.ahead += timedelta(hours=1) - timedelta(seconds=clock.now().timestamp() % 3600)
    made = Fleet(world)
    await made.release("2")
    await made.add(*NAMES)
    return made


async def come(fleet: Fleet, *names: str) -> None:
    heard = [(ACME, DeviceId(name), fleet.world.clock.now(), "") for name in names]
    await fleet.world.store.write(record_contacts, heard)


async def patience(fleet: Fleet, rollout: RolloutId) -> int:
    rule = (await fleet.show(rollout)).policy.sequential
    assert rule is not None
    return rule.patience_h


async def test_patience_is_learned_from_the_fleet(fleet: Fleet, clock: SettableClock) -> None:
    assert await patience(fleet, await fleet.roll_out(policy=JUDGED)) == 2, (
        "by what the tenant asks for, where nobody came"
    )
    await come(fleet, *NAMES[:50])
    clock.ahead += timedelta(hours=4)
    await come(fleet, *NAMES[50:])
    assert await patience(fleet, await fleet.roll_out(policy=JUDGED)) == 27


async def test_who_falls_silent_after_the_update_is_what_stops_it(fleet: Fleet, clock: SettableClock) -> None:
    rollout = await fleet.roll_out(policy=JUDGED)
    updated = [name for name in NAMES if await fleet.poll(name) is State.OFFERED]
    for name in updated:
        await fleet.say(name, Event.SUCCEED)
    await come(fleet, *NAMES)
    for hours in range(1, 6):
        clock.ahead += timedelta(hours=1)
        await come(fleet, *[name for name in NAMES if name not in updated[:20]])
        assert await listen(fleet.world) == 1
        assert await listen(fleet.world) == 0, "once in an hour"
        await fleet.work()
        if hours == 1:
            assert (await judging.verdicts(fleet.world, ACME, rollout, None, 1))[0][1].finding.call is not Call.STOP
    at = hour_over(clock.now())
    risk = await fleet.world.store.read(lambda tx: tx.health.risk(ACME, rollout))
    gone = {h: n for h, n in risk.hushed.items() if n.events and h.sign is not Sign.CAME}
    assert gone == {Hush(at - 2, 0, Sign.SILENT, Arm.UPDATED, fresh=True): Heard(20, 30)}
    assert risk.hushed[Hush(at, 0, Sign.SILENT, Arm.UPDATED, fresh=True)] == Heard(0, 10)
    assert risk.hushed[Hush(at, 0, Sign.SILENT, Arm.CONTROL)] == Heard(0, 50)
    ((_, said),) = await judging.verdicts(fleet.world, ACME, rollout, None, 1)
    assert said.finding.call is Call.STOP
    assert any(line.startswith("fell silent after the update: 20 in ") for line in said.finding.words)


async def test_others_are_not_listened_to(fleet: Fleet, clock: SettableClock) -> None:
    await fleet.roll_out()
    await come(fleet, *NAMES)
    clock.ahead += timedelta(hours=5)
    assert await listen(fleet.world) == 0


async def hours_pass(fleet: Fleet, clock: SettableClock, hours: int, *names: str, looked: bool = True) -> None:
    for _ in range(hours):
        await come(fleet, *names)
        clock.ahead += timedelta(hours=1)
        if looked:
            await listen(fleet.world)


@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("dark_h", [0, 5])
async def test_who_failed_in_an_outage_of_everything_is_held_against_no_release(
    fleet: Fleet, clock: SettableClock, dark_h: int, looked: bool
) -> None:
    """Whether the network was down, or the server too. Then as many fail with the network up."""
    rollout = await fleet.roll_out(policy=JUDGED)
    early = [name for name in NAMES[:40] if await fleet.poll(name) is State.OFFERED]
    for name in early:
        await fleet.say(name, Event.SUCCEED)
    await hours_pass(fleet, clock, 5, *NAMES)
    under_way = [name for name in NAMES[40:] if await fleet.poll(name) is State.OFFERED]
    await hours_pass(fleet, clock, dark_h, looked=looked)
    await listen(fleet.world)
    for n, name in enumerate(under_way):
        await fleet.say(name, Event.FAIL if n % 3 else Event.SUCCEED)
    await fleet.work()
    await hours_pass(fleet, clock, 1, *NAMES)  # then nobody's report is overdue any more
    await fleet.work()
    ((_, said),) = await judging.verdicts(fleet.world, ACME, rollout, None, 1)
    lines = [line for line in said.finding.words if "while the fleet was dark" in line]
    assert said.finding.call is (Call.EXPAND if dark_h else Call.STOP)
    assert said.finding.tried == len(early) + (0 if dark_h else len(under_way))
    assert len(lines) == (dark_h > 0), said.finding.words
