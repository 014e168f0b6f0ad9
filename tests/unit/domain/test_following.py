"""What becomes of a standing order, and of the rollouts that it makes: pure rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import State
from otaru.domain.device import Hardware, Lifecycle
from otaru.domain.evidence import Call, Evidence, Ruling, Tally, Verdict
from otaru.domain.following import Stream, check, look
from otaru.domain.group import GroupName
from otaru.domain.ids import ActionId, DeviceId, ProductName, RolloutId, Sha256, Version
from otaru.domain.offer import Membership, Plan, Rule, Subject, decide
from otaru.domain.release import Artifact, Blob, Release, ReleaseState
from otaru.domain.rollout import (
    ROLLOUT,
    For,
    Order,
    Policy,
    Rollout,
    RolloutEvent,
    RolloutState,
    Segment,
    Wave,
    WaveState,
    orders,
    step,
    supersede,
    waiting,
)
from otaru.domain.versions import compare
from otaru.errors import InvalidInputError, InvalidStateError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STREAM = Stream(GroupName("lab"), ProductName("app"), "stable")
BOARD = Hardware("board")
VERSIONS = ("1.0", "1.0.1", "1.1", "2.0-rc.1", "2.0", "2.1")
LIVE = tuple(state for state in RolloutState if state not in {*ROLLOUT.final, RolloutState.STOPPING})


def a_release(version: str) -> Release:
    blob = Blob(Sha256("a" * 64), "a", "a", 1)
    artifact = Artifact("app", BOARD, "app.bin", blob)
    return Release(STREAM.product, Version(version), ReleaseState.PUBLISHED, (artifact,), NOW)


def a_rollout(number: int, version: str, state: RolloutState = RolloutState.RUNNING) -> Rollout:
    return Rollout(
        RolloutId(number),
        STREAM.product,
        Version(version),
        "group==lab",
        state,
        Policy(continuous=True),
        7,
        NOW,
        size=2,
        waves=(Wave(0, 0, 2, WaveState.OPEN, NOW),),
        segments=(Segment(0, "all", 2),),
        follows=STREAM.follows,
    )


def evidence(**counts: int) -> Evidence:
    return Evidence({(0, 0): Tally({State(state): number for state, number in counts.items()})})


RULING = Ruling({0: Verdict(Call.HOLD, "nothing is known")})


@given(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS), st.sampled_from(LIVE))
def test_only_a_newer_release_takes_the_place_of_a_live_rollout(newest: str, running: str, state: RolloutState) -> None:
    release, last = a_release(newest), a_rollout(1, running, state)
    tried = last if newest == running else None
    newer = compare(release.order, release.version, last.version) > 0
    assert look(STREAM, release, last, tried).make == newer


@given(st.sampled_from(VERSIONS), st.sampled_from([*ROLLOUT.final, RolloutState.STOPPING]))
def test_what_ended_is_not_made_again_unless_it_was_superseded_or_finished_well(
    version: str, state: RolloutState
) -> None:
    ended = a_rollout(1, version, state)
    found = look(STREAM, a_release(version), ended, ended)
    assert (found.make, found.stuck) == (False, True)
    assert f"is {state}" in found.waits
    well = replace(ended, waves=(replace(ended.waves[0], state=WaveState.PASSED),))
    assert look(STREAM, a_release(version), well, well).make == (state is RolloutState.FINISHED)
    over = replace(ended, superseded_by=RolloutId(2))
    assert look(STREAM, a_release(version), None, over).make == (state is RolloutState.FINISHED)
    bad = replace(over, waves=(replace(ended.waves[0], state=WaveState.FAILED),))
    assert not look(STREAM, a_release(version), None, bad).make


def test_what_is_waited_for_is_told() -> None:
    assert look(STREAM, None, None, None).waits == "nothing of app stable is published."
    assert "goes on" in look(STREAM, None, a_rollout(1, "1.0"), None).waits
    waiting = a_rollout(1, "1.0", RolloutState.AWAITING_APPROVAL)
    found = look(STREAM, a_release("1.0"), waiting, waiting)
    assert (found.waits, found.stuck) == ("rollout 1 waits for approval", False)
    paused = replace(a_rollout(1, "1.0", RolloutState.PAUSED), reason="wave 1: 2 of 2 failed")
    found = look(STREAM, a_release("1.0"), paused, paused)
    assert (found.waits, found.stuck) == ("rollout 1 is paused: wave 1: 2 of 2 failed", True)
    assert look(STREAM, a_release("1.0"), a_rollout(1, "1.0"), a_rollout(1, "1.0")).waits == ""


@pytest.mark.parametrize("state", [state for state in RolloutState if state is not RolloutState.DRAFT])
def test_a_superseded_rollout_tells_nobody_and_ends(state: RolloutState) -> None:
    old, new = a_rollout(1, "1.0", state), a_rollout(2, "1.1")
    if state in {*ROLLOUT.final, RolloutState.STOPPING}:
        with pytest.raises(InvalidStateError):
            supersede(old, new, NOW)
        return
    taken = supersede(old, new, NOW)
    after = taken.rollout
    assert taken.orders == (Order.SKIP_SCHEDULED, Order.SKIP_WAITING)
    assert (after.reason, after.superseded_by, after.is_live) == ("superseded by rollout 2: app 1.1", 2, False)
    assert not after.joins(NOW)
    begun = state in {RolloutState.RUNNING, RolloutState.PAUSED}
    assert after.state is (RolloutState.RUNNING if begun else RolloutState.FINISHED)
    if begun:
        assert orders(after) == [RolloutEvent.STOP]
        assert step(after, evidence(installing=1, skipped=1), RULING, NOW) is None
        ended = step(after, evidence(succeeded=1, skipped=1), RULING, NOW)
        assert ended is not None
        assert (ended.rollout.state, ended.rollout.reason) == (RolloutState.FINISHED, after.reason)


def test_a_superseded_rollout_is_judged_no_more() -> None:
    stop = Ruling({0: Verdict(Call.STOP, "2 of 2 failed")})
    after = supersede(a_rollout(1, "1.0"), a_rollout(2, "1.1"), NOW).rollout
    assert step(after, evidence(installing=1, failed=1), stop, NOW) is None


def test_its_waves_are_shown_as_they_are_left() -> None:
    waves = tuple(Wave(i, i, i + 1, s) for i, s in enumerate(s for s in WaveState if s not in _SHOWN_ONLY))
    running = replace(a_rollout(1, "1.0"), waves=waves, size=len(waves))
    assert [running.shown_state(w) for w in waves] == [w.state for w in waves]
    after = supersede(running, a_rollout(2, "1.1"), NOW).rollout
    assert after.waves == waves, "what is kept stays as it is"
    shown = {w.state: after.shown_state(w) for w in waves}
    assert shown[WaveState.PENDING] is WaveState.NEVER_OPENED
    assert shown[WaveState.OPEN] is shown[WaveState.OBSERVING] is WaveState.CUT_SHORT
    assert all(shown[s] is s for s in (WaveState.PASSED, WaveState.OVERRULED, WaveState.FAILED))
    waits = waiting(after, RULING)
    assert waits is not None
    assert waits.what is For.LAST
    assert "superseded by rollout 2: app 1.1" in waits.words


_SHOWN_ONLY = {WaveState.NEVER_OPENED, WaveState.CUT_SHORT}


def test_who_has_only_downloaded_it_is_not_told_to_install_it() -> None:
    policy = Policy(continuous=True, download_only=True)
    taken = supersede(replace(a_rollout(1, "1.0"), policy=policy), a_rollout(2, "1.1"), NOW)
    assert Order.SKIP_HELD in taken.orders
    later = step(taken.rollout, evidence(downloaded=1, skipped=1), RULING, NOW)
    assert later is not None
    assert later.orders == (Order.SKIP_HELD,)


@given(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS), st.booleans())
def test_nobody_is_offered_a_way_back_by_a_standing_order(runs: str, brought: str, standing: bool) -> None:
    rollout = a_rollout(1, brought)
    plan = Plan(rollout if standing else replace(rollout, follows=None), a_release(brought), (2,))
    share = Membership(rollout.id, 1, State.SCHEDULED, 0, 0, 0, ActionId(0))
    subject = Subject(DeviceId("d"), Lifecycle.ACTIVE, BOARD, (("app", Version(runs)),), False, (share,))
    found = decide(subject, plan, share, halted=False, now=NOW)
    back = compare(plan.release.order, Version(runs), Version(brought)) > 0
    assert found.rule is (Rule.INSTALLED if runs == brought or (back and standing) else Rule.OFFER)


def test_an_order_names_no_moment() -> None:
    check(Policy(consent=True, expires_after=timedelta(days=9)))
    for wrong in (Policy(end_at=NOW), Policy(forced_at=NOW), Policy(after=RolloutId(1))):
        with pytest.raises(InvalidInputError):
            check(wrong)
