"""The order of the rules: what fails first is the answer."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Version
from otaru.domain.offer import Membership, Plan, Rule, Subject, decide, first_due
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import Policy, Rollout, RolloutState
from otaru.domain.schedule import Window
from tests.support.fleet import RPI, a_release, a_rollout

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NIGHT = Window(time(2), timedelta(hours=4))
IN_IT = datetime(2026, 11, 21, 3, tzinfo=UTC)


def a_plan(number: int = 1, window: Window | None = NIGHT, *, consent: bool = True) -> Plan:
    policy = Policy(window=window, consent=consent)
    rollout: Rollout = replace(a_rollout(number, policy=policy), size=4)
    return Plan(rollout, a_release(), (4,))


def share(number: int = 1, state: State = State.SCHEDULED, rank: int = 0) -> Membership:
    return Membership(RolloutId(number), 1, state, 0, 0, rank, ActionId(0 if state is State.SCHEDULED else 1))


def a_subject(*memberships: Membership, auto_confirm: bool = False) -> Subject:
    return Subject(DeviceId("dev-1"), Lifecycle.ACTIVE, RPI, (), auto_confirm, memberships)


def test_each_obstacle_hides_those_after_it() -> None:
    """All obstacles at once, taken away one after the other."""
    mine, other = share(rank=4), share(2, State.INSTALLING)
    subject = replace(
        a_subject(mine, other),
        lifecycle=Lifecycle.QUARANTINED,
        hardware=Hardware("other"),
        installed=(("app", Version("1.1.0")),),
    )
    plan = a_plan()
    plan = replace(
        plan,
        rollout=replace(plan.rollout, state=RolloutState.PAUSED),
        release=replace(plan.release, state=ReleaseState.WITHDRAWN, product=ProductName("app")),
    )
    met: list[Rule] = []

    def ask(*, halted: bool = False, now: datetime = NOON) -> None:
        met.append(decide(subject, plan, subject.memberships[0], halted=halted, now=now).rule)

    ask(halted=True)
    subject = replace(subject, lifecycle=Lifecycle.ACTIVE)
    ask(halted=True)
    ask()
    plan = replace(plan, rollout=replace(plan.rollout, state=RolloutState.RUNNING))
    ask()
    subject = replace(subject, memberships=(share(), other))
    ask()
    plan = replace(plan, release=a_release())
    ask()
    subject = replace(subject, hardware=RPI)
    ask()
    subject = replace(subject, installed=())
    ask()
    subject = replace(subject, memberships=(share(),))
    ask()
    ask(now=IN_IT)
    subject = replace(subject, auto_confirm=True)
    ask(now=IN_IT)
    assert met == [rule for rule in Rule if rule is not Rule.MEMBER]


def test_outside_its_window_it_is_held_back_and_told_when_it_opens() -> None:
    mine = share(rank=2)
    held = decide(a_subject(mine), a_plan(), mine, halted=False, now=NOON)
    assert held.rule is Rule.WINDOW
    assert held.because == "The maintenance window 02:00/4h UTC is shut: it opens at 2026-11-22 02:00 UTC."
    assert held.ask_at == datetime(2026, 11, 22, 3, tzinfo=UTC), "rank 2 of 4: half-way through the first half"


@pytest.mark.parametrize("consent", [False, True])
def test_inside_and_without_a_window_nothing_is_held_back(consent: bool) -> None:
    mine = share()
    wanted = Rule.CONSENT if consent else Rule.OFFER
    for plan, now in ((a_plan(consent=consent), IN_IT), (a_plan(window=None, consent=consent), NOON)):
        answer = decide(a_subject(mine), plan, mine, halted=False, now=now)
        assert (answer.rule, answer.ask_at) == (wanted, None)


def test_a_rollout_that_waits_for_its_window_holds_up_no_younger_one() -> None:
    subject = a_subject(share(1), share(2))
    plans = [a_plan(1), a_plan(2, window=None, consent=False)]
    assert [a.rule for a in first_due(subject, plans, halted=False, now=NOON)] == [Rule.WINDOW, Rule.OFFER]
    assert [a.rule for a in first_due(subject, plans, halted=False, now=IN_IT)] == [Rule.CONSENT]
