"""Rollouts that require something of a device: by what it last told, and by what it says itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otaru.domain.conditions import condition
from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Merge
from otaru.domain.events import START, Kind
from otaru.domain.ids import ActionId, DeviceId
from otaru.domain.offer import Rule
from otaru.domain.rollout import Policy
from otaru.services.control import attributes, feedback, survey
from otaru.services.control.world import World
from tests.support.stores import ACME
from tests.support.world import SettableClock
from tests.unit.services.control.test_rollouts import Fleet
from tests.unit.services.control.test_windows import turn, why

pytestmark = pytest.mark.anyio

A = DeviceId("a")
CHARGED = Policy(conditions=(condition("battery>=30%"), condition("(attr.site==depot)")))


@pytest.fixture
async def fleet(world: World, clock: SettableClock) -> Fleet:
    turn(clock, datetime(2031, 5, 1, 12, 10, tzinfo=UTC))
    made = Fleet(world)
    await made.release("2")
    await made.add("a")
    return made


async def tell(fleet: Fleet, **facts: str) -> None:
    await attributes.merge(fleet.world, ACME, A, facts, Merge.MERGE)


async def requested(fleet: Fleet) -> bool:
    device = await fleet.world.store.glance(lambda tx: tx.devices.get(ACME, A))
    assert device is not None
    return device.attributes_requested


async def writes(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    write = type(fleet.world.store).write

    async def noting(self: Any, bulk: Any, param: Any) -> Any:
        seen.append(bulk)
        return await write(self, bulk, param)

    monkeypatch.setattr(type(fleet.world.store), "write", noting)
    return seen


async def test_it_is_held_back_by_what_it_last_told(fleet: Fleet) -> None:
    await tell(fleet, battery="12")
    await fleet.roll_out(policy=CHARGED)
    assert await fleet.poll("a") is None
    said = "By what the device last told, its battery is at 12 %, at least 30 % or charging is asked for."
    assert await why(fleet) == [(Rule.CONDITIONS, said)]
    await tell(fleet, battery="12", charging="true", site="road")
    assert await fleet.poll("a") is None
    assert (await why(fleet))[0][1] == "By what the device last told, (attr.site==depot) does not hold."
    await tell(fleet, site="depot")
    assert await fleet.poll("a") is State.OFFERED


async def test_what_is_not_known_holds_nothing_back(fleet: Fleet) -> None:
    await tell(fleet, battery="a lot")
    await fleet.roll_out(policy=CHARGED)
    assert await fleet.poll("a") is State.OFFERED


async def test_nobody_is_asked_for_consent_before_and_a_deadline_does_not_outrun_it(
    fleet: Fleet, clock: SettableClock
) -> None:
    await tell(fleet, battery="12")
    wanted = Policy(conditions=CHARGED.conditions, consent=True, consent_deadline=timedelta(days=1))
    await fleet.roll_out(policy=wanted)
    assert await fleet.poll("a") is None
    await tell(fleet, battery="80")
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await tell(fleet, battery="8")
    clock.ahead += timedelta(days=2)
    assert await fleet.poll("a") is State.AWAITING_CONSENT
    await tell(fleet, battery="88")
    assert await fleet.poll("a") is State.OFFERED


async def test_now_and_then_it_is_asked_to_tell_anew(
    fleet: Fleet, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell(fleet, battery="12")
    await fleet.roll_out(policy=CHARGED)
    seen = await writes(fleet, monkeypatch)
    for minute in (12, 17, 22, 27):
        turn(clock, datetime(2031, 5, 1, 12, minute, tzinfo=UTC))
        assert await fleet.poll("a") is None
    assert seen == [], "a poll that changes nothing writes nothing"
    turn(clock, datetime(2031, 5, 1, 12, 32, tzinfo=UTC))
    assert await fleet.poll("a") is None
    assert await requested(fleet)
    assert len(seen) == 1
    assert await fleet.poll("a") is None
    assert len(seen) == 1, "it is asked once"
    await tell(fleet, battery="70")
    assert await fleet.poll("a") is State.OFFERED


async def test_what_a_device_refuses_is_shown_and_no_failure(fleet: Fleet) -> None:
    rollout = await fleet.roll_out(policy=CHARGED)
    assert await fleet.poll("a") is State.OFFERED

    async def refuse(words: str, sign: bytes) -> State:
        now = fleet.world.clock.now()
        said = Report(A, ActionId(1), now, Event.REFUSE, "rejected", "none", (words,), sign)
        return await feedback.report(fleet.world, ACME, said)

    assert await refuse("battery 12 %", b"1") is State.OFFERED
    assert await refuse("battery 12 %", b"1") is State.OFFERED
    assert await refuse("battery 12 %", b"2") is State.OFFERED
    assert await refuse("battery 11 %", b"3") is State.OFFERED
    assert await why(fleet) == [(Rule.OFFER, "It has been told: action 1 is offered. Last said of it: battery 11 %.")]
    ((deployment, _),) = await survey.history(fleet.world, ACME, A, 9)
    assert (deployment.state, deployment.reason) == (State.OFFERED, "battery 11 %")
    found = await survey.events(fleet.world, ACME, START, 50, A, newest=False)
    moved = [e.what.data for e in found if e.what.kind is Kind.DEPLOYMENT_MOVED]
    assert [d.get("reason") for d in moved] == [None, "battery 12 %", "battery 11 %"], "said again it is no news"
    await fleet.hold_counters(rollout)
    assert await fleet.say("a", Event.INSTALL) is State.INSTALLING
    assert await refuse("too late", b"4") is State.INSTALLING
    assert await fleet.say("a", Event.SUCCEED) is State.SUCCEEDED
    await fleet.hold_counters(rollout)
