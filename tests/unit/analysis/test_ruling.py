"""From what a server counts to a ruling."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import exp

import pytest

from otaru.analysis.learning import Past, learned
from otaru.analysis.ruling import blocks_of, ruling
from otaru.domain.deployment import State
from otaru.domain.evidence import Call, Cohort, Evidence, Span, Tally
from otaru.domain.health import Arm, Heard, Hush, Kind, Placement, Risk, Sign, Stratum
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import (
    JUDGED_WAVES,
    Policy,
    Rollout,
    RolloutState,
    Segment,
    SequentialRule,
    WaveState,
    layout,
)

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
HOUR = int(NOW.timestamp()) // 3600
RULE = SequentialRule()


def a_rollout(*sizes: int, opened: int = 1, held: frozenset[int] = frozenset(), version: str = "2") -> Rollout:
    policy = Policy(waves=JUDGED_WAVES, sequential=RULE)
    waves = layout(policy, sum(sizes))
    return Rollout(
        id=RolloutId(1),
        product=ProductName("app"),
        version=Version(version),
        target="id==*",
        state=RolloutState.RUNNING,
        policy=policy,
        seed=1,
        created_at=NOW,
        size=sum(sizes),
        waves=tuple(replace(w, state=WaveState.OPEN) if w.index < opened else w for w in waves),
        segments=tuple(Segment(i, f"s{i}", n, held=i in held) for i, n in enumerate(sizes)),
    )


def a_risk(moves: dict[tuple[int, Arm, int], int], events: dict[tuple[int, Arm, int, int, Kind], int]) -> Risk:
    """Hours count back from now."""
    return Risk(
        RolloutId(1),
        {Stratum(s, arm, HOUR - ago, age, kind): Heard(n, n) for (s, arm, ago, age, kind), n in events.items()},
        {(s, arm, HOUR - ago): n for (s, arm, ago), n in moves.items()},
    )


def test_without_data_it_waits_at_its_first_wave() -> None:
    rollout = a_rollout(10_000)
    found = ruling(RULE, rollout, Evidence({(0, 0): Tally({State.SCHEDULED: 40})}), NOW)
    assert found.ahead == rollout.watermark == 40
    assert {v.call for v in found.waves.values()} == {Call.HOLD}
    assert found.findings[0].call is Call.HOLD
    assert found.findings[0].words[0] == "hold: no outcome yet"


def test_good_devices_that_matured_open_more_waves() -> None:
    rollout = a_rollout(10_000)
    done = Evidence({(0, 0): Tally({State.SUCCEEDED: 40}), (0, 1): Tally({State.SCHEDULED: 40})})
    at_once = ruling(RULE, rollout, done, NOW)
    a_day = replace(done, risk=a_risk({(0, Arm.UPDATED, 24): 40}, {}))
    later = ruling(RULE, rollout, a_day, NOW)
    assert at_once.ahead is not None
    assert later.ahead is not None
    assert rollout.watermark <= at_once.ahead < later.ahead < 2000
    assert later.waves[0].call is Call.EXPAND
    assert "0 of 40 failed" in later.waves[0].reason


def test_failures_everywhere_stop_every_wave() -> None:
    rollout = a_rollout(5000, 5000)
    bad = Evidence({(s, 0): Tally({State.FAILED: 6, State.SUCCEEDED: 14}) for s in (0, 1)})
    found = ruling(RULE, rollout, bad, NOW)
    assert {v.call for v in found.waves.values()} == {Call.STOP}
    assert found.ahead == rollout.watermark
    assert found.findings[0].log_e >= found.findings[0].log_threshold
    assert "12 of 40 failed, e-value" in found.waves[0].reason


def test_one_bad_segment_is_to_be_held_and_then_says_nothing_of_the_others() -> None:
    cells = {
        (0, 0): Tally({State.SUCCEEDED: 95, State.FAILED: 1}),
        (1, 0): Tally({State.FAILED: 9, State.SUCCEEDED: 1}),
    }
    rollout = a_rollout(9000, 1000, opened=2, held=frozenset({1}))
    found = ruling(RULE, rollout, Evidence(cells), NOW)
    assert found.segments[1].call is Call.STOP
    assert found.segments[0].call is Call.EXPAND
    assert found.findings[0].failed == 1
    assert found.waves[0].call is Call.EXPAND
    assert found.ahead is not None
    assert found.ahead >= rollout.watermark


def test_a_person_who_overruled_a_wave_is_not_overruled() -> None:
    rollout = a_rollout(5000)
    waves = (replace(rollout.waves[0], state=WaveState.OVERRULED), *rollout.waves[1:])
    bad = Evidence({(0, 0): Tally({State.FAILED: 10, State.SUCCEEDED: 10})})
    found = ruling(RULE, replace(rollout, waves=waves), bad, NOW)
    assert Call.STOP not in {v.call for v in found.waves.values()}


def test_events_long_after_a_good_installation_stop_it() -> None:
    rollout = a_rollout(10_000, opened=3)
    cells = {(0, 0): Tally({State.SUCCEEDED: 150}), (0, 1): Tally({State.SCHEDULED: 9850})}
    moves = {(0, Arm.CONTROL, 48): 10_000, (0, Arm.CONTROL, 24): -150, (0, Arm.UPDATED, 24): 150}
    calm = {(0, Arm.CONTROL, ago, 0, Kind.CRASH): 4 for ago in range(1, 24)}
    crashing = calm | {(0, Arm.UPDATED, ago, 2, Kind.CRASH): 1 for ago in range(2, 16)}
    assert ruling(RULE, rollout, Evidence(cells, a_risk(moves, calm)), NOW).findings[0].call is Call.EXPAND
    found = ruling(RULE, rollout, Evidence(cells, a_risk(moves, crashing)), NOW)
    assert found.findings[0].call is Call.STOP
    assert "rate ratio" in "\n".join(found.findings[0].words)


def test_telemetry_alone_stops_it_and_is_told_in_words() -> None:
    rollout = a_rollout(10_000, opened=3)
    cells = {(0, 0): Tally({State.SUCCEEDED: 150}), (0, 1): Tally({State.SCHEDULED: 9850})}
    moves = {(0, Arm.CONTROL, 48): 10_000, (0, Arm.CONTROL, 24): -150, (0, Arm.UPDATED, 24): 150}
    same = {Placement(0, "battery", 1, score): 50 for score in (-1, 0, 1)}
    drained = {Placement(0, "battery", 1, 1): 60, Placement(0, "battery", 1, 0): 20}
    other = {Placement(0, "rainfall", 1, 1): 900}
    calm, worse, unjudged = (
        ruling(RULE, rollout, Evidence(cells, replace(a_risk(moves, {}), placed=placed)), NOW)
        for placed in (same, drained, other)
    )
    assert [calm.findings[0].call, worse.findings[0].call] == [Call.EXPAND, Call.STOP]
    assert unjudged.findings[0].call is Call.EXPAND
    assert calm.findings[0].log_e < 0.1
    told = "battery after the update: worse than control's in {} % of {} comparisons; tolerated up to 60%"
    assert told.format(50, 150) in calm.findings[0].words
    assert told.format(88, 80) in worse.findings[0].words
    assert worse.ahead == rollout.watermark


def test_a_segment_whose_telemetry_is_worse_is_held_and_the_others_go_on() -> None:
    rollout = a_rollout(9000, 1000, opened=2)
    cells = {(s, 0): Tally({State.SUCCEEDED: 75}) for s in (0, 1)}
    moves = {(s, arm, 24): n for s in (0, 1) for arm, n in ((Arm.CONTROL, 900), (Arm.UPDATED, 75))}
    placed = {Placement(1, "temperature", 2, 1): 40, Placement(0, "temperature", 2, 0): 300}
    found = ruling(RULE, rollout, Evidence(cells, replace(a_risk(moves, {}), placed=placed)), NOW)
    assert [found.segments[i].call for i in (0, 1)] == [Call.EXPAND, Call.STOP]
    assert any("temperature" in line and "of 40" in line for line in found.findings[2].words)
    held = replace(rollout, segments=(rollout.segments[0], replace(rollout.segments[1], held=True)))
    later = ruling(RULE, held, Evidence(cells, replace(a_risk(moves, {}), placed=placed)), NOW)
    assert later.findings[0].call is Call.EXPAND
    assert any("of 300" in line for line in later.findings[0].words), "who is held says nothing of the others"


def quiet(segment: int, ago: int, arm: Arm, events: int, devices: int, sign: Sign = Sign.SILENT) -> dict[Hush, Heard]:
    return {Hush(HOUR - ago, segment, sign, arm, fresh=arm is Arm.UPDATED): Heard(events, devices)}


def test_devices_that_fall_silent_after_it_stop_it_and_a_common_silence_does_not() -> None:
    rollout = a_rollout(10_000, opened=3)
    cells = {(0, 0): Tally({State.SUCCEEDED: 150}), (0, 1): Tally({State.SCHEDULED: 9850})}
    moves = {(0, Arm.CONTROL, 48): 10_000, (0, Arm.CONTROL, 24): -150, (0, Arm.UPDATED, 24): 150}
    calm = {h: n for ago in range(1, 9) for h, n in quiet(0, ago, Arm.CONTROL, 10, 9000).items()}
    gone = calm | {h: n for ago in range(1, 9) for h, n in quiet(0, ago, Arm.UPDATED, 3, 140).items()}
    dark = quiet(0, 3, Arm.CONTROL, 4000, 9000) | quiet(0, 3, Arm.UPDATED, 60, 140)
    mute = {replace(h, sign=Sign.MUTE): n for h, n in gone.items()}
    found = {
        name: ruling(RULE, rollout, Evidence(cells, replace(a_risk(moves, {}), hushed=hushed)), NOW).findings[0]
        for name, hushed in (("gone", gone), ("dark", dark), ("mute", mute), ("calm", calm))
    }
    assert {n: f.call for n, f in found.items()} == {
        "gone": Call.STOP,
        "dark": Call.EXPAND,
        "mute": Call.STOP,
        "calm": Call.EXPAND,
    }
    assert "fell silent after the update: 24 in 1,120 device-hours, control 80 in 72,000" in found["gone"].words


def test_reports_that_are_overdue_hold_it() -> None:
    rollout = a_rollout(10_000, opened=2)
    cells = {(0, 0): Tally({State.SUCCEEDED: 20, State.REBOOTING: 20}), (0, 1): Tally({State.SCHEDULED: 9960})}
    moves = {(0, Arm.CONTROL, 24): 10_000}
    late = quiet(0, 5, Arm.CONTROL, 20, 20, Sign.OVERDUE) | quiet(0, 1, Arm.CONTROL, 12, 12, Sign.OVERDUE)
    found = ruling(RULE, rollout, Evidence(cells, replace(a_risk(moves, {}), hushed=late)), NOW)
    assert found.findings[0].words[0] == "hold: 12 of 40 told devices are overdue with their report"
    assert found.ahead == rollout.watermark
    here = late | quiet(0, 0, Arm.CONTROL, 1, 1, Sign.OVERDUE)
    assert (
        ruling(RULE, rollout, Evidence(cells, replace(a_risk(moves, {}), hushed=here)), NOW).findings[0].call
        is Call.EXPAND
    )


DARK = (Span(HOUR - 9, HOUR - 3),)
LINE = "were under way, or told within an hour with these, while the fleet was dark from {} to {} UTC: not counted"


def in_the_dark(succeeded: int, failed: int, under_way: bool = True) -> dict[Cohort, int]:
    ended = ((State.SUCCEEDED, succeeded), (State.FAILED, failed))
    return {Cohort(0, HOUR - 10, under_way, state): n for state, n in ended}


@pytest.mark.parametrize(("failed_later", "call"), [(3, Call.EXPAND), (60, Call.STOP)])
def test_what_an_outage_brought_down_is_held_against_no_release(failed_later: int, call: Call) -> None:
    rollout = a_rollout(10_000, opened=4)
    cells = {(0, 0): Tally({State.SUCCEEDED: 1143 - failed_later, State.FAILED: 361 + failed_later})}
    evidence = Evidence(cells, a_risk({(0, Arm.CONTROL, 24): 10_000}, {}))
    assert ruling(RULE, rollout, evidence, NOW).findings[0].call is Call.STOP
    dark = replace(evidence, dark=DARK, told=in_the_dark(843, 361))
    found = ruling(RULE, rollout, dark, NOW).findings[0]
    assert (found.call, found.failed, found.tried) == (call, failed_later, 300)
    assert f"1,204 more (361 failed) {LINE.format('2026-11-21 01:00', '2026-11-21 07:00')}" in found.words
    assert ruling(RULE, rollout, dark.without([0]), NOW).findings[0].words[0] == "hold: no outcome yet"


def test_where_all_is_dark_a_failure_holds_it_until_it_is_tried_again() -> None:
    rollout = a_rollout(100)

    def words(failed: int, again: int = 0) -> tuple[Call, str]:
        cells = {(0, 0): Tally({State.SUCCEEDED: 10 - failed + again, State.FAILED: failed})}
        told = in_the_dark(10 - failed, failed)
        found = ruling(RULE, rollout, Evidence(cells, dark=DARK, told=told), NOW).findings[0]
        return found.call, found.words[0]

    assert words(0)[0] is Call.EXPAND, "they run it, after all"
    assert words(2) == (
        Call.HOLD,
        "hold: nothing is known but of dark hours, in which 2 of 10 failed: retry them",
    )
    assert words(10) == (Call.HOLD, "hold: no success yet")
    assert words(1, again=1)[0] is Call.EXPAND


def test_dark_hours_teach_nothing() -> None:
    cells = {(0, 0): Tally({State.SUCCEEDED: 900, State.FAILED: 300})}
    past = [
        Past(
            replace(a_rollout(1200, version=str(n)), state=RolloutState.FINISHED), Evidence(cells, dark=DARK, told=told)
        )
        for n in range(6)
        for told in [in_the_dark(0, 295)]
    ]
    rule = learned(RULE, a_rollout(10).segments, past)
    without = [replace(p, evidence=Evidence({(0, 0): Tally({State.SUCCEEDED: 900, State.FAILED: 5})})) for p in past]
    assert rule == learned(RULE, a_rollout(10).segments, without)


def test_an_outage_of_everything_cancels_out() -> None:
    rollout = a_rollout(10_000, opened=3)
    cells = {(0, 0): Tally({State.SUCCEEDED: 150}), (0, 1): Tally({State.SCHEDULED: 9850})}
    moves = {(0, Arm.CONTROL, 48): 10_000, (0, Arm.CONTROL, 24): -150, (0, Arm.UPDATED, 24): 150}
    dark = {(0, Arm.CONTROL, ago, 0, Kind.COMM_FAILURE): 2000 for ago in range(6)}
    dark |= {(0, Arm.UPDATED, ago, 3, Kind.COMM_FAILURE): 30 for ago in range(6)}
    found = ruling(RULE, rollout, Evidence(cells, a_risk(moves, dark)), NOW)
    assert found.findings[0].call is Call.EXPAND
    assert found.findings[0].log_e < 1


def test_blocks_tell_the_fresh_from_the_settled_and_count_a_device_once_an_hour() -> None:
    moves = {(0, Arm.CONTROL, 10): 100, (0, Arm.CONTROL, 8): -20, (0, Arm.UPDATED, 8): 20, (0, Arm.UPDATED, 1): 5}
    events = {
        (0, Arm.UPDATED, 1, 2, Kind.CRASH): 3,
        (0, Arm.UPDATED, 1, 2, Kind.REBOOT): 4,
        (0, Arm.UPDATED, 1, 0, Kind.CRASH): 1,
        (0, Arm.UPDATED, 1, 0, Kind.INSTALL): 9,
        (0, Arm.CONTROL, 1, 0, Kind.POWER): 2,
        (1, Arm.CONTROL, 1, 0, Kind.POWER): 50,
    }
    blocks = blocks_of(a_risk(moves, events), 0, HOUR)
    assert len(blocks) == 11
    assert (blocks[2].fresh.hours, blocks[2].settled.hours, blocks[2].control.hours) == (20, 0, 80)
    last = blocks[-2]
    assert (last.fresh.hours, last.settled.hours) == (5, 20)
    assert (last.fresh.events, last.settled.events, last.control.events) == (1, 4, 2)
    assert blocks_of(a_risk({}, events), 0, HOUR) == []


def test_the_past_teaches_what_to_tolerate_by_release_and_segment() -> None:
    past = []
    for n in range(8):
        one = a_rollout(5000, 1000, version=f"1.{n}")
        cells = {
            (0, 0): Tally({State.SUCCEEDED: 4950, State.FAILED: 50}),
            (1, 0): Tally({State.SUCCEEDED: 950, State.SILENT: 50}),
        }
        past.append(Past(one, Evidence(cells, a_risk({}, {}))))
    rule = learned(RULE, a_rollout(10, 10).segments, past)
    assert rule.releases == 8
    assert rule.whole is not None
    assert 1 / (1 + exp(-rule.whole.centre)) == pytest.approx(0.0167, rel=0.1)
    rates = [1 / (1 + exp(-s.centre)) for s in rule.segments]
    assert rates == pytest.approx([0.01, 0.05], rel=0.15)
    assert learned(RULE, a_rollout(10).segments, []).releases == 0
    twice = [past[0], replace(past[0], rollout=replace(past[0].rollout, id=RolloutId(2)))]
    assert learned(RULE, a_rollout(10).segments, twice).releases == 1  # one release, rolled out twice


def test_a_segment_that_was_held_teaches_nothing() -> None:
    one = a_rollout(5000, 1000, held=frozenset({1}), version="1")
    cells = {(0, 0): Tally({State.SUCCEEDED: 4950, State.FAILED: 50}), (1, 0): Tally({State.FAILED: 300})}
    with_it = learned(RULE, a_rollout(10, 10).segments, [Past(one, Evidence(cells))])
    without = learned(RULE, a_rollout(10, 10).segments, [Past(one, Evidence({(0, 0): cells[0, 0]}))])
    assert with_it == without


def test_a_released_segment_says_nothing_of_the_others_and_goes_on() -> None:
    rollout = a_rollout(5000, 5000)
    bad = {(0, 0): Tally({State.SUCCEEDED: 20}), (1, 0): Tally({State.FAILED: 15, State.SUCCEEDED: 5})}
    freed = (rollout.segments[0], replace(rollout.segments[1], overruled=True))
    assert ruling(RULE, rollout, Evidence(bad), NOW).findings[0].call is Call.STOP
    found = ruling(RULE, replace(rollout, segments=freed), Evidence(bad), NOW)
    assert found.findings[0].call is Call.EXPAND
    assert {v.call for v in found.waves.values()} <= {Call.EXPAND, Call.HOLD}
    alone = replace(rollout, segments=(replace(freed[0], held=True), freed[1]))
    assert ruling(RULE, alone, Evidence(bad), NOW).waves[0].call is Call.EXPAND


def test_who_has_not_come_for_a_day_holds_no_room() -> None:
    rollout = a_rollout(1000)
    waiting = Evidence({(0, 0): Tally({State.SCHEDULED: 4})})
    opened = replace(rollout, waves=(replace(rollout.waves[0], opened_at=NOW), *rollout.waves[1:]))
    now, later = (ruling(RULE, opened, waiting, NOW + timedelta(hours=h)).ahead for h in (1, 25))
    assert now is not None
    assert later is not None
    assert rollout.watermark <= now < later <= 30


def test_the_same_evidence_gives_the_same_ruling() -> None:
    rollout = a_rollout(1000)
    evidence = Evidence({(0, 0): Tally({State.SUCCEEDED: 4})}, a_risk({(0, Arm.UPDATED, 2): 4}, {}))
    assert ruling(RULE, rollout, evidence, NOW) == ruling(RULE, rollout, evidence, NOW)
    assert ruling(RULE, rollout, evidence, NOW + timedelta(days=3650)).ahead is not None
