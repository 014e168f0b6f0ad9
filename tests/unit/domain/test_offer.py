"""The order of the rules: what fails first is the answer."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.conditions import condition
from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Version
from otaru.domain.offer import Membership, Plan, Rule, Subject, behind, decide, first_due
from otaru.domain.release import Artifact, ReleaseState
from otaru.domain.rollout import Limits, Policy, Rollout, RolloutState, Segment, Taken, check
from otaru.domain.schedule import Blackout, Calendar, Window
from otaru.domain.terms import Terms, requirement
from otaru.domain.versions import VersionOrder
from otaru.errors import InvalidInputError
from tests.support.fleet import RPI, a_blob, a_release, a_rollout

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


def test_each_obstacle_hides_those_after_it() -> None:  # noqa: PLR0915 - a line for each
    """All obstacles at once, taken away one after the other."""
    mine, other = share(rank=4), share(2, State.INSTALLING)
    subject = replace(
        a_subject(mine, other),
        lifecycle=Lifecycle.QUARANTINED,
        hardware=Hardware("other"),
        installed=(("app", Version("1.1.0")),),
        counters=(("app", 3),),
        pins=("app",),
    )
    gated = replace(a_release(), terms=Terms(requires=(requirement("bootloader>=2"),), floor=Version("1.2")), counter=2)
    plan = replace(
        a_plan(),
        rollout=replace(
            a_plan().rollout,
            size=1000,
            state=RolloutState.PAUSED,
            policy=replace(
                a_plan().rollout.policy,
                end_at=IN_IT,
                consent=True,
                conditions=(condition("charging"),),
                limits=Limits(1),
            ),
        ),
        release=replace(a_release(), state=ReleaseState.WITHDRAWN, product=ProductName("app")),
        taken=Taken(1, 0, 4),
    )
    met: list[Rule] = []

    subject = replace(subject, facts=(("charging", "false"),))
    calendar = Calendar("UTC", (Blackout(1, "freeze", IN_IT, NOON),))

    def ask(*, halted: bool = False, now: datetime = NOON) -> None:
        mine = subject.memberships[0]
        met.append(decide(subject, plan, mine, halted=halted, now=now, calendar=calendar, single=True).rule)

    ask(halted=True)
    subject = replace(subject, lifecycle=Lifecycle.ACTIVE)
    ask(halted=True)
    ask()
    held = Segment(0, "all", 4, held=True, reason="3 of 4 failed")
    plan = replace(plan, rollout=replace(plan.rollout, state=RolloutState.RUNNING, segments=(held,)), watermarks=(-1,))
    ask()
    plan = replace(plan, rollout=replace(plan.rollout, policy=replace(plan.rollout.policy, end_at=None)))
    ask()
    plan = replace(plan, watermarks=a_plan().watermarks)
    ask()
    subject = replace(subject, memberships=(share(rank=1), other))
    ask()
    plan = replace(plan, release=gated)
    ask()
    another = Artifact("fpga", RPI, "fpga.bin", a_blob("a"))
    plan = replace(plan, release=replace(gated, artifacts=(*gated.artifacts, another)))
    subject = replace(subject, hardware=RPI)
    ask()
    plan = replace(plan, release=gated)
    ask()
    subject = replace(subject, installed=(*subject.installed, ("bootloader", Version("2.1"))))
    ask()
    plan = replace(plan, release=replace(gated, terms=Terms(floor=Version("1.0"))))
    ask()
    subject = replace(subject, counters=())
    ask()
    subject = replace(subject, installed=(("app", Version("1.0.5")),))
    ask()
    subject = replace(subject, pins=())
    ask()
    subject = replace(subject, memberships=(share(rank=1),))
    ask()
    ask(now=IN_IT)
    calendar = Calendar()
    ask(now=IN_IT.replace(hour=2, minute=1))
    ask(now=IN_IT)
    plan = replace(plan, taken=None)
    ask(now=IN_IT)
    subject = replace(subject, facts=())
    ask(now=IN_IT)
    subject = replace(subject, auto_confirm=True)
    ask(now=IN_IT)
    assert met == [rule for rule in Rule if rule not in {Rule.MEMBER, Rule.PRIORITY, Rule.INSTALL_ORDER}]


def test_who_is_in_a_held_segment_is_told_so() -> None:
    mine = share()
    plan = a_plan()
    held = Segment(0, "board:2, version 1.0", 4, held=True, reason="3 of 4 failed")
    plan = replace(plan, rollout=replace(plan.rollout, segments=(held,)), watermarks=(-1,))
    answer = decide(a_subject(mine), plan, mine, halted=False, now=NOON)
    assert answer.because == "Its segment 1 (board:2, version 1.0) of rollout 1 is held: 3 of 4 failed."


def test_outside_its_window_it_is_held_back_and_told_when_it_opens() -> None:
    mine = share(rank=2)
    held = decide(a_subject(mine), a_plan(), mine, halted=False, now=NOON)
    assert held.rule is Rule.WINDOW
    assert held.because == "The maintenance window 02:00/4h UTC is shut: it opens at 2026-11-22 02:00 UTC."
    assert held.ask_at == datetime(2026, 11, 22, 2, tzinfo=UTC), "four are no stampede"


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


def answer(subject: Subject, **release: Any) -> tuple[Rule, str]:
    plan = a_plan(window=None, consent=False)
    plan = replace(plan, release=replace(plan.release, **release))
    found = decide(subject, plan, subject.memberships[0], halted=False, now=NOON)
    return found.rule, found.because


def runs(**installed: str) -> Subject:
    versions = tuple((component, Version(version)) for component, version in installed.items())
    return replace(a_subject(share()), installed=versions)


def test_what_a_release_requires_has_to_run() -> None:
    terms = Terms(requires=(requirement("fpga>=2"), requirement("bootloader>=2025.1"), requirement("bootloader<2026")))
    wants = "The release requires "
    assert answer(runs(), terms=terms) == (Rule.REQUIREMENTS, f"{wants}fpga>=2; it is not known what runs in fpga.")
    assert answer(runs(fpga="10", bootloader="2025.0.9"), terms=terms) == (
        Rule.REQUIREMENTS,
        f"{wants}bootloader>=2025.1; the device runs bootloader 2025.0.9.",
    )
    assert answer(runs(fpga="10", bootloader="2026.0"), terms=terms)[0] is Rule.REQUIREMENTS
    assert answer(runs(fpga="10", bootloader="2025.10"), terms=terms)[0] is Rule.OFFER


def test_below_its_floor_a_release_is_not_reached() -> None:
    terms = Terms(floor=Version("1.0"))
    for version in ("0.9", "1.0-rc1", None):
        subject = runs() if version is None else runs(app=version)
        assert answer(subject, terms=terms)[0] is Rule.FLOOR
    assert answer(runs(app="0.9"), terms=terms)[1] == "1.1.0 is reached from app 1.0 or newer; the device runs app 0.9."
    for version in ("1.0", "1.0.1", "3"):
        assert answer(runs(app=version), terms=terms)[0] is Rule.OFFER


def test_a_version_of_another_form_is_below_every_floor() -> None:
    subject = runs(app="unknown~1", fpga="x~1")
    strict = VersionOrder.SEMANTIC
    assert answer(subject, terms=Terms(floor=Version("1.0.0")), order=strict)[0] is Rule.FLOOR
    wanted = replace(requirement("fpga!=1.0.0"), order=strict)
    assert answer(subject, terms=Terms(requires=(wanted,)), order=strict)[0] is Rule.REQUIREMENTS


def test_a_device_never_goes_below_its_security_counter() -> None:
    subject = replace(runs(app="2.0"), counters=(("app", 3), ("os", 9)))
    rule, because = answer(subject, counter=2)
    assert rule is Rule.SECURITY_FLOOR
    assert because.startswith("The device's security counter for app is 3, that of 1.1.0 is 2: going below needs")
    assert answer(subject, counter=3)[0] is Rule.OFFER, "an ordinary rollback above the last burn"


@pytest.mark.parametrize(
    ("permit", "allowed"),
    [
        (("app", 2, 1), True),
        (("app", 0, 1), True),
        (("app", 3, 1), False),
        (("app", 2, 0), False),
        (("app", 2, -1), False),
        (("os", 0, 1), False),
    ],
)
def test_below_its_security_counter_with_a_permission_that_holds(permit: tuple[str, int, int], allowed: bool) -> None:
    component, lowest, seconds = permit
    until = NOON + timedelta(seconds=seconds)
    subject = replace(runs(app="2.0"), counters=(("app", 3), ("os", 9)), permits=((component, lowest, until),))
    assert (answer(subject, counter=2)[0] is Rule.OFFER) == allowed


def test_in_a_large_rollout_each_has_its_turn_in_the_window() -> None:
    plan = a_plan(consent=False)
    plan = replace(plan, rollout=replace(plan.rollout, size=100_000), watermarks=(100_000,))
    opens = datetime(2026, 11, 22, 2, tzinfo=UTC)
    turns = set()
    for rank in (1, 2, 3, 99_999):
        mine = share(rank=rank)
        shut = decide(a_subject(mine), plan, mine, halted=False, now=NOON)
        assert shut.ask_at is not None
        assert opens < shut.ask_at < opens + timedelta(hours=2), "in the first half"
        early = decide(a_subject(mine), plan, mine, halted=False, now=opens)
        assert (early.rule, early.ask_at) == (Rule.SLOT, shut.ask_at)
        assert decide(a_subject(mine), plan, mine, halted=False, now=shut.ask_at).rule is Rule.OFFER
        turns.add(shut.ask_at)
    assert len(turns) == 4


def with_priority(plan: Plan, priority: int) -> Plan:
    return replace(plan, rollout=replace(plan.rollout, policy=replace(plan.rollout.policy, priority=priority)))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_highest_priority_goes_first_then_the_oldest(priorities: list[int]) -> None:
    subject = a_subject(*(share(number + 1) for number in range(len(priorities))), auto_confirm=True)
    plans = [with_priority(a_plan(n + 1, window=None), priority) for n, priority in enumerate(priorities)]
    (answer,) = first_due(subject, list(reversed(plans)), halted=False, now=NOON)
    assert answer.membership is not None
    assert answer.rule is Rule.OFFER
    assert answer.membership.rollout == priorities.index(max(priorities)) + 1


def test_who_waits_for_another_rollout_is_told_why() -> None:
    first, other = with_priority(a_plan(2), 7).rollout, a_plan(1)
    mine = share(1)
    shut = decide(a_subject(mine), other, mine, halted=False, now=NOON)
    assert behind(shut, other.rollout, None) is shut
    waits = behind(shut, other.rollout, first)
    assert (waits.rule, waits.because) == (Rule.PRIORITY, "Rollout 2 goes first: its priority is 7, of this one 5.")
    assert behind(shut, other.rollout, replace(first, policy=Policy())).because == "Rollout 2 goes first: it is older."
    misfit = decide(replace(a_subject(mine), hardware=Hardware("other")), other, mine, halted=False, now=NOON)
    assert behind(misfit, other.rollout, first) is misfit, "what stands before it in the order still counts"


@pytest.mark.parametrize("priority", [-1, 10])
def test_a_priority_that_is_none_is_refused(priority: int) -> None:
    with pytest.raises(InvalidInputError):
        check(Policy(priority=priority))
