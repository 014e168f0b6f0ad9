"""A simulated device's behaviour: the same seed tells the same story, another seed another one."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.simulator import model
from otaru.apps.simulator.model import Ask, Character, Check, End, Fate, Load, Loss, Odds, Rest, Restart, Say, Word
from otaru.domain.device import Hardware

R0, R1 = Hardware("greatfet-one", "r0"), Hardware("greatfet-one", "r1")
FLEET = [f"sim-{n:04}" for n in range(1000)]
HARDWARE = ((R0, 3.0), (R1, 1.0))
LIVELY = Odds(fail=0.1, loss=0.1, flaky=0.2)
PLAIN = Character(R0, phase=0.5, pace=1.0, flaky=False)

shares = st.floats(0, 1)
odds = st.builds(Odds, fail=shares, loss=shares, flaky=shares)
fates = st.builds(
    lambda seed, action, chances, flaky: model.fate(
        seed, "sim-1", action, "2.0", Character(R0, phase=0.1, pace=1.3, flaky=flaky), chances
    ),
    st.integers(0, 2**32),
    st.integers(1, 100),
    odds,
    st.booleans(),
)


def stories(seed: int) -> dict[str, tuple[object, ...]]:
    """Everything the fleet will do in two updates and a hundred polls each."""
    told: dict[str, tuple[object, ...]] = {}
    for device in FLEET[:200]:
        me = model.character(seed, device, HARDWARE, LIVELY)
        polls = [model.poll_lost(seed, device, n, me, LIVELY) for n in range(100)]
        updates = [
            tuple(model.update(model.fate(seed, device, action, version, me, LIVELY), version))
            for action, version in ((1, "1.0"), (2, "2.0"))
        ]
        told[device] = (me, polls, updates)
    return told


def test_the_same_seed_tells_the_same_story_for_every_device() -> None:
    assert stories(7) == stories(7)


def test_another_seed_tells_another_story() -> None:
    ours, theirs = stories(7), stories(8)
    assert all(ours[device] != theirs[device] for device in ours)


def test_devices_differ_from_one_another() -> None:
    told = stories(7)
    assert len({repr(story) for story in told.values()}) == len(told)


def test_a_story_does_not_depend_on_who_else_is_in_the_fleet() -> None:
    alone = model.character(7, "sim-0042", HARDWARE, LIVELY)
    for device in FLEET:
        model.character(7, device, HARDWARE, LIVELY)
    assert model.character(7, "sim-0042", HARDWARE, LIVELY) == alone


def test_a_retry_is_a_new_story() -> None:
    chances = Odds(fail=0.5)
    first, second = (
        [model.fate(7, device, action, "2.0", PLAIN, chances).end for device in FLEET] for action in (1, 2)
    )
    both = Counter(zip((e is End.SUCCESS for e in first), (e is End.SUCCESS for e in second), strict=True))
    assert all(both[pair] > 150 for pair in ((True, True), (True, False), (False, True), (False, False)))


def test_hardware_is_spread_by_its_weights() -> None:
    counted = Counter(model.character(7, device, HARDWARE, Odds()).hardware for device in FLEET)
    assert set(counted) == {R0, R1}
    assert 700 < counted[R0] < 800


def test_a_piece_of_hardware_with_weight_zero_is_never_drawn() -> None:
    hardware = ((R0, 1.0), (R1, 0.0))
    assert {model.character(7, device, hardware, Odds()).hardware for device in FLEET} == {R0}


@pytest.mark.parametrize(
    ("chances", "version", "hardware", "expected"),
    [
        (Odds(fail=0.02), "2.0", R0, 0.02),
        (Odds(fail=0.02, by_version={"2.0": 0.3}), "2.0", R0, 0.3),
        (Odds(fail=0.02, by_version={"2.0": 0.3}), "1.0", R0, 0.02),
        (Odds(by_version={"2.0@r1": 0.3}), "2.0", R1, 0.3),
        (Odds(by_version={"2.0@greatfet-one:r1": 0.3}), "2.0", R1, 0.3),
        (Odds(by_version={"2.0@r1": 0.3}), "2.0", R0, 0.0),
        (Odds(by_version={"2.0@r1": 0.3}), "1.0", R1, 0.0),
        (Odds(by_hardware={"r1": 0.5}), "2.0", R1, 0.5),
        (Odds(by_hardware={"r1": 0.5}), "2.0", R0, 0.0),
        (Odds(by_hardware={"greatfet-one": 0.4}), "2.0", R0, 0.4),
        (Odds(fail=0.6, by_hardware={"greatfet-one:r0": 0.4}), "2.0", R0, 0.6),
    ],
)
def test_the_highest_chance_of_failure_applies(
    chances: Odds, version: str, hardware: Hardware, expected: float
) -> None:
    assert chances.failing(version, hardware) == expected


def test_failures_are_as_frequent_as_asked() -> None:
    chances = Odds(fail=0.02, by_version={"2.0": 0.25})
    failed = sum(model.fate(7, device, 1, "2.0", PLAIN, chances).end is not End.SUCCESS for device in FLEET)
    assert 200 < failed < 300


def test_raising_the_chance_of_failure_only_adds_failures() -> None:
    def failing(chance: float) -> set[str]:
        chances = Odds(fail=chance)
        return {d for d in FLEET if model.fate(7, d, 1, "2.0", PLAIN, chances).end is not End.SUCCESS}

    assert failing(0.0) < failing(0.1) < failing(0.4) < failing(1.0) == set(FLEET)


def test_without_loss_nothing_gets_lost() -> None:
    for device in FLEET:
        fated = model.fate(7, device, 1, "2.0", PLAIN, Odds(fail=0.5))
        assert fated.breaks == ()
        assert fated.offline_s == 0
        assert set(fated.losses) == {Loss.NOTHING}
        assert model.poll_lost(7, device, 1, PLAIN, Odds(fail=0.5)) == 0


def test_flaky_devices_lose_more_than_others() -> None:
    def lost(flaky: bool) -> tuple[int, int, int]:
        me = Character(R0, phase=0.5, pace=1.0, flaky=flaky)
        drawn = [model.fate(7, device, 1, "2.0", me, Odds(loss=0.02)) for device in FLEET]
        breaks = sum(len(f.breaks) for f in drawn)
        return breaks, sum(f.offline_s > 0 for f in drawn), sum(len(set(f.losses)) > 1 for f in drawn)

    assert all(flaky > 2 * steady for flaky, steady in zip(lost(flaky=True), lost(flaky=False), strict=True))


@given(fates)
def test_an_update_ends_with_exactly_one_closing_report_as_its_last_step(fated: Fate) -> None:
    steps = list(model.update(fated, "2.0"))
    closing = [s for s in steps if isinstance(s, Say) and s.word in {Word.SUCCEEDED, Word.FAILED}]
    assert closing == [steps[-1]]
    assert closing[0].word is (Word.SUCCEEDED if fated.end is End.SUCCESS else Word.FAILED)
    assert closing[0].sentence == fated.words


@given(fates)
def test_every_update_loads_the_whole_file_and_checks_it_before_it_installs(fated: Fate) -> None:
    steps = list(model.update(fated, "2.0"))
    loads = [s for s in steps if isinstance(s, Load)]
    assert [load.breaks for load in loads] == [True] * (len(loads) - 1) + [False]
    assert loads[-1].until == 1.0
    assert all(earlier.until < later.until for earlier, later in pairwise(loads))
    assert sum(load.takes_s for load in loads) == pytest.approx(fated.download_s)
    words = [s.word if isinstance(s, Say) else type(s) for s in steps]
    assert words.index(Check) > max(i for i, w in enumerate(words) if w is Load)
    assert words.index(Check) < words.index(Ask) < words.index(Word.INSTALLING)


@given(fates)
def test_the_new_firmware_runs_only_after_a_restart_that_succeeded(fated: Fate) -> None:
    restarts = [s for s in model.update(fated, "2.0") if isinstance(s, Restart)]
    expected = {End.SUCCESS: [True], End.BOOT_FAILS: [False], End.INSTALL_FAILS: []}
    assert [r.new for r in restarts] == expected[fated.end]


@given(fates)
def test_no_step_takes_negative_or_endless_time(fated: Fate) -> None:
    for step in model.update(fated, "2.0"):
        match step:
            case Rest() | Restart():
                assert 0 <= step.span_s < 3600
            case Load():
                assert 0 <= step.takes_s < 3600
            case _:
                pass
