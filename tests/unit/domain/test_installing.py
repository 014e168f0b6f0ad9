"""Download first, install later: who is told to install, and what orders make of one another."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from otaru.domain.deployment import DEPLOYMENT, IN_FLIGHT, NOT_BEGUN, Event, State
from otaru.domain.ids import ActionId, RolloutId
from otaru.domain.offer import Membership, Plan, Rule, decide
from otaru.domain.rollout import (
    Download,
    Install,
    Policy,
    Rollout,
    RolloutState,
    Segment,
    Wave,
    installable,
    order_install,
    settled,
    withdraw_install,
)
from otaru.domain.schedule import Blackout, Calendar, Window
from otaru.errors import InvalidInputError, InvalidStateError, NothingToDoError
from tests.support.fleet import a_release, a_rollout
from tests.unit.domain.test_offer import a_subject

NIGHT = Window(time(2), timedelta(hours=4))
START = datetime(2031, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIZE = 4

moments = st.integers(0, 72).map(lambda hours: START + hours * HOUR / 2)
windows = st.sampled_from([None, NIGHT])
told_next = st.sampled_from([State.SCHEDULED, State.OFFERED, State.DOWNLOADED])


def laid(policy: Policy) -> Rollout:
    """A running rollout of one segment, with waves that have not opened."""
    waves, segments = (Wave(0, 0, 1), Wave(1, 1, SIZE)), (Segment(0, "all", SIZE),)
    return replace(a_rollout(policy=policy), size=SIZE, waves=waves, segments=segments, state=RolloutState.RUNNING)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """A running rollout that downloads first."""
    window = draw(windows)
    download = draw(st.sampled_from(Download)) if window else Download.IN_WINDOW
    only = draw(st.booleans())
    policy = Policy(download_only=only, window=window, download=download)
    assume(policy.downloads_first)
    ordered = st.none() | st.builds(Install, moments, st.booleans() if window else st.just(False))
    install = draw(ordered) if only else None
    return replace(laid(policy), install=install)


@given(rollouts(), moments, told_next, st.integers(0, SIZE - 1), st.integers(-1, SIZE), st.booleans(), st.booleans())
def test_what_a_device_is_told_next(
    rollout: Rollout, now: datetime, state: State, rank: int, watermark: int, halted: bool, black: bool
) -> None:
    """Written down once more, from what people are promised."""
    share = Membership(RolloutId(1), 1, state, 0, 0, rank, ActionId(state is not State.SCHEDULED))
    rollout = replace(rollout, segments=(replace(rollout.segments[0], held=watermark < 0),))
    calendar = Calendar("UTC", (Blackout(1, "freeze", START, START + 99 * HOUR),) if black else ())
    subject = replace(a_subject(share), installed=())
    said = decide(subject, Plan(rollout, a_release(), (watermark,)), share, halted=halted, now=now, calendar=calendar)

    policy, night = rollout.policy, 2 <= now.hour < 6
    may_at_all = not halted and not black and watermark >= 0
    if state is State.SCHEDULED:  # to download
        in_time = policy.window is None or policy.download is Download.ANY_TIME or night
        due = policy.download_only or rank < watermark
    else:  # to install
        order = rollout.install
        ordered = not policy.download_only or (order is not None and order.at <= now)
        by_window = (order is not None and order.in_window) if policy.download_only else True
        in_time = ordered and (night or not by_window)
        due = rank < watermark
    assert (said.rule is Rule.OFFER) == (may_at_all and in_time and due), said


orders = st.one_of(
    st.tuples(st.just("install"), st.integers(0, 6), st.just(False)),
    st.tuples(st.just("install"), st.just(0), st.booleans()),
    st.tuples(st.just("withdraw"), st.just(0), st.just(False)),
)


@given(st.lists(st.tuples(orders, st.integers(0, 3)), max_size=12), windows)
def test_an_order_counts_once_and_is_fixed_when_its_moment_has_come(
    story: list[tuple[tuple[str, int, bool], int]], window: Window | None
) -> None:
    policy = Policy(download_only=True, window=window)
    rollout = laid(policy)
    seen, now = [rollout], START
    for (what, hours, in_window), passed in story:
        before, fixed = rollout, settled(rollout, now)
        try:
            if what == "install":
                rollout = order_install(rollout, Install(now + hours * HOUR, in_window), now).rollout
            else:
                rollout = withdraw_install(rollout, now).rollout
        except (NothingToDoError, InvalidStateError, InvalidInputError):
            assert rollout is before
        else:
            assert not fixed, "its moment had come"
            assert rollout.install != before.install, "an order that changes nothing is none"
            assert rollout.edition > before.edition
            assert rollout.waves[0].opened_at is not None or not rollout.may_install(now)
        seen.append(rollout)
        now += passed * HOUR
    for earlier, later in pairwise(seen):
        opened = [w.opened_at for w in earlier.waves if w.opened_at is not None]
        assert [w.opened_at for w in later.waves][: len(opened)] == opened, "no wave is closed again"


@given(st.sampled_from(RolloutState), st.booleans())
def test_only_what_lives_and_downloads_only_takes_an_order(state: RolloutState, only: bool) -> None:
    rollout = replace(a_rollout(policy=Policy(download_only=only)), state=state)
    try:
        order_install(rollout, Install(START), START)
    except InvalidStateError:
        assert not installable(rollout)
    else:
        assert installable(rollout)
        assert state not in {RolloutState.STOPPING, RolloutState.STOPPED, RolloutState.FINISHED}


def test_who_holds_what_it_downloaded_takes_no_place() -> None:
    assert Policy(download_only=True).in_flight == IN_FLIGHT - {State.DOWNLOADED}
    assert Policy().in_flight == IN_FLIGHT
    for state in NOT_BEGUN:
        assert DEPLOYMENT.next(state, Event.INSTALL) is State.INSTALLING
    assert DEPLOYMENT.next(State.DOWNLOADED, Event.SKIP) is State.SKIPPED
