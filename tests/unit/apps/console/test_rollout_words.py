"""A rollout in words, and every state of a device in one group."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.adapters.judges.classic import ClassicJudge
from otaru.apps.console import policy_words, rollout_words
from otaru.apps.console.status import Tone
from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Evidence, Finding, Ruling, Tally
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import (
    ClassicRule,
    OnError,
    Policy,
    Rollout,
    RolloutState,
    Segment,
    Share,
    Wave,
    WaveState,
    layout,
)
from otaru.services.control.rollouts import Intention, Preview, Progress

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
JUDGED = Policy(waves=(Share(2, False), Share(10, False)), rule=ClassicRule(0.8, 0.1))


def rollout(state: RolloutState = RolloutState.RUNNING, policy: Policy = JUDGED, **more: object) -> Rollout:
    made = Rollout(RolloutId(3), ProductName("app"), Version("2"), "id==*", state, policy, 7, NOW, 48)
    return replace(made, waves=layout(policy, 48), started_at=NOW, **more)  # type: ignore[arg-type]


def progress(of: Rollout, tallies: Mapping[int, Mapping[State, int]]) -> Progress:
    return Progress(of, Evidence({(0, wave): Tally(counts) for wave, counts in tallies.items()}), [])


def ruling(of: Progress) -> Ruling:
    return ClassicJudge().ruling(of.rollout, of.evidence, NOW)


def test_every_state_is_in_one_group() -> None:
    assert sorted(state for group in rollout_words.GROUPS for state in group.states) == sorted(State)


def test_red_in_a_bar_is_what_the_list_counts_as_failed() -> None:
    tally = Tally(dict.fromkeys(State, 1))
    assert rollout_words.tones(tally)[Tone.FAILED] == tally.of(*rollout_words.BAD) == 4
    assert sum(rollout_words.tones(tally).values()) == len(State)


def test_a_wave_stands_against_its_thresholds() -> None:
    counts = {0: {State.SUCCEEDED: 2}, 1: {State.SUCCEEDED: 5, State.FAILED: 1, State.SKIPPED: 1, State.OFFERED: 1}}
    far = progress(rollout(), counts)
    first, second, third = rollout_words.standings(far, ruling(far))
    assert (first.success, first.success_tone) == ("2 of 2 succeeded (needs 80%)", Tone.DONE)
    assert (first.error, first.error_tone) == ("0 of 2 failed (at most 10%)", Tone.IDLE)
    assert (second.success, second.success_tone) == ("5 of 7 succeeded (needs 80%)", Tone.IDLE)
    assert (second.error, second.error_tone) == ("1 of 7 failed (at most 10%)", Tone.FAILED)
    assert third.success_tone is third.error_tone is Tone.IDLE


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_has_a_reason(state: RolloutState) -> None:
    made = replace(rollout(state), ended_at=NOW, start_at=NOW)
    far = progress(made, {0: {State.OFFERED: 2}})
    assert rollout_words.why(far, ruling(far)).words
    assert rollout_words.line(progress(made, {})).when in {"planned", "starts", "started", "ended"}


def test_a_wave_that_is_watched_says_until_when() -> None:
    policy = replace(JUDGED, observe=timedelta(minutes=30))
    made = rollout(policy=policy)
    waves = (replace(made.waves[0], state=WaveState.OBSERVING, complete_at=NOW), *made.waves[1:])
    far = progress(replace(made, waves=waves), {0: {State.SUCCEEDED: 2}})
    told = rollout_words.why(far, ruling(far))
    assert (told.tone, told.at) == (Tone.TRIAL, NOW + timedelta(minutes=30))


def test_a_rollout_waits_for_the_members_of_its_open_wave() -> None:
    made = rollout()
    opened = replace(made, waves=(replace(made.waves[0], state=WaveState.OPEN), *made.waves[1:]))
    counts = {0: {State.SCHEDULED: 1, State.SUCCEEDED: 1}, 1: {State.SCHEDULED: 8}}
    found = rollout_words.awaited(progress(opened, counts))
    assert found is not None
    assert (found[0], found[1].members) == (opened.waves[0], 2)
    assert rollout_words.awaited(progress(opened, {0: {State.SUCCEEDED: 2}})) is None
    assert rollout_words.awaited(progress(replace(opened, state=RolloutState.PAUSED), counts)) is None
    assert rollout_words.Waits(1, 2, 0, (), more=False).words == (
        "1 device is still to be told at the next poll, 2 devices are under way"
    )


def test_resuming_says_whom_it_overrules() -> None:
    made = rollout(RolloutState.PAUSED)
    assert "goes on where it was" in rollout_words.resumed(made)
    failed = replace(made.waves[0], state=WaveState.FAILED, reason="1 of 2 failed")
    said = rollout_words.resumed(replace(made, waves=(failed, *made.waves[1:])))
    assert "Wave 1 failed: 1 of 2 failed" in said
    assert "wave 2 opens with 8 devices" in said


def test_what_will_happen_in_sentences() -> None:
    policy = replace(JUDGED, on_error=OnError.STOP, consent=True, expires_after=timedelta(days=30))
    wanted = Intention(ProductName("greatfet-usb"), Version("2026.0.0"), "id==*", policy, start=True)
    assert policy_words.summary(wanted, Preview(48, {}, layout(policy, 48))) == [
        "Brings greatfet-usb 2026.0.0 to 48 devices in 3 waves: 2, then 10, then all 48.",
        "A wave passes when 80% of its devices succeeded.",
        "When more than 10% failed, the rollout stops for good.",
        "Each device or its owner is asked first.",
        "Who is not reached 30 d after the start is skipped.",
        "It starts at once.",
    ]
    simple = replace(wanted, policy=Policy(), start=False, start_at=datetime(2026, 11, 22, 4, tzinfo=UTC))
    assert policy_words.summary(simple, Preview(1, {}, layout(Policy(), 1))) == [
        "Brings greatfet-usb 2026.0.0 to 1 device, at its next poll.",
        "It starts by itself on 2026-11-22 at 04:00 UTC.",
    ]


def test_thresholds_are_told_as_they_were_written() -> None:
    assert [rollout_words.percent(value) for value in (0.9, 0.995, 0.005, 1.0, 0.0)] == [
        "90%",
        "99.5%",
        "0.5%",
        "100%",
        "0%",
    ]


def many(states: Mapping[int, WaveState], number: int = 30) -> list[rollout_words.Standing]:
    """So many waves, pending where nothing else is said."""
    waves = [Wave(n, n, n + 1, state=states.get(n, WaveState.PENDING)) for n in range(number)]
    return [rollout_words.Standing(wave, Tally({}), {}, "", Tone.IDLE, "", Tone.IDLE) for wave in waves]


def test_of_many_waves_those_near_the_one_under_way_are_shown() -> None:
    passed = dict.fromkeys(range(10), WaveState.PASSED)
    under_way = dict.fromkeys(range(10, 20), WaveState.OPEN)

    def shown(states: Mapping[int, WaveState]) -> list[int]:
        return [s.wave.index for s in rollout_words.near(many(states))]

    assert shown({}) == [0, 1, 29]
    assert shown(passed) == [8, 9, 10, 11, 29]
    assert shown(passed | under_way) == [8, 9, 10, 11, 18, 19, 20, 21, 29]
    assert shown(passed | {10: WaveState.FAILED}) == [8, 9, 10, 11, 12, 29]
    assert shown(dict.fromkeys(range(30), WaveState.PASSED)) == [28, 29]
    assert len(rollout_words.near(many({}, rollout_words.NEAR))) == rollout_words.NEAR


def split_in(*segments: Segment) -> Rollout:
    return replace(rollout(), segments=segments)


def test_segments_come_with_the_held_and_the_bad_ones_first() -> None:
    of = split_in(*(Segment(n, f"rev {n}", 10, held=n == 2) for n in range(4)))
    cells = {
        (0, 0): Tally({State.SUCCEEDED: 10}),
        (1, 0): Tally({State.SUCCEEDED: 5, State.FAILED: 3, State.SCHEDULED: 2}),
        (2, 0): Tally({State.SCHEDULED: 9, State.FAILED: 1}),
    }
    far = Progress(of, Evidence(cells), [])
    found = rollout_words.alike(far, ruling(far))
    assert [one.segment.index for one in found] == [2, 1, 0, 3]
    assert [one.failed for one in found] == ["1 of 1", "3 of 8", "0 of 10", "0 of 0"]
    findings = [Finding(n, Call.HOLD, log_e, 5.0, 0, 0) for n, log_e in ((0, 4.0), (1, 1.0), (3, 2.0))]
    by_evidence = rollout_words.alike(far, Ruling({}, findings=findings))
    assert [one.segment.index for one in by_evidence] == [2, 0, 3, 1]


def test_whoever_was_told_is_exposed() -> None:
    tally = Tally({State.SCHEDULED: 5, State.CANCELLED: 4, State.SKIPPED: 3, State.OFFERED: 2, State.SUCCEEDED: 1})
    assert rollout_words.exposed(tally) == 3


def test_a_forecast_counts_those_who_are_not_held_back() -> None:
    begun = NOW - timedelta(hours=2)
    of = replace(split_in(Segment(0, "a", 40), Segment(1, "b", 8, held=True)), started_at=begun)
    of = replace(of, waves=tuple(replace(w, state=WaveState.OPEN) for w in of.waves))
    cells = {(0, 0): Tally({State.SUCCEEDED: 20, State.SCHEDULED: 20}), (1, 0): Tally({State.SCHEDULED: 8})}
    assert rollout_words.forecast(Progress(of, Evidence(cells), []), NOW) == NOW + timedelta(hours=2)
    just = replace(of, started_at=NOW - timedelta(minutes=9))
    assert rollout_words.forecast(Progress(just, Evidence(cells), []), NOW) is None
    shut = replace(of, waves=tuple(replace(w, state=WaveState.PENDING) for w in of.waves))
    assert rollout_words.forecast(Progress(shut, Evidence(cells), []), NOW) is None
    few = {(0, 0): Tally({State.SUCCEEDED: 4, State.SCHEDULED: 36})}
    assert rollout_words.forecast(Progress(of, Evidence(few), []), NOW) is None
    done = {(0, 0): Tally({State.SUCCEEDED: 40})}
    assert rollout_words.forecast(Progress(of, Evidence(done), []), NOW) is None
    paused = replace(of, state=RolloutState.PAUSED)
    assert rollout_words.forecast(Progress(paused, Evidence(cells), []), NOW) is None
    ages = replace(of, started_at=datetime(1, 1, 1, tzinfo=UTC))
    slow = {(0, 0): Tally({State.SUCCEEDED: 30_000, State.SCHEDULED: 1_000_000})}
    assert rollout_words.forecast(Progress(ages, Evidence(slow), []), NOW) is None
