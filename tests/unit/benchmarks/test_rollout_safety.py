"""The benchmark's record: what was played once is not played again, and nothing else is mixed in."""

from pathlib import Path

import pytest

from benchmarks.rollout_safety import RULES, play, to_play
from benchmarks.safety import table
from benchmarks.safety.record import MixedError, Origin, Record, read
from benchmarks.safety.world import BAD, GOOD

HERE = Origin("test", "code")


def test_one_run_of_everything_comes_before_a_second() -> None:
    keys = to_play({100: 20, 200: 4})
    assert len(set(keys)) == len(keys)
    first = {
        (size, scenario, rule) for size, scenario, n, rules in keys[: keys.index(keys[28])] for rule in rules if n == 0
    }
    bad = {(size, s.name, rule) for size in (100, 200) for s in BAD for rule in RULES}
    good = {(size, s.name, rule) for size in (100, 200) for s in GOOD for rule in table.SHOWN}
    assert bad | good <= first
    plain = {
        n for size, scenario, n, rules in keys if size == 200 and scenario == GOOD[0].name and "stages 2 %" in rules
    }
    assert len(plain) == table.ENOUGH


def test_a_second_start_plays_what_the_first_did_not(tmp_path: Path) -> None:
    file, keys = tmp_path / "folder" / "results.jsonl", to_play({40: 2})[:9]
    with Record(HERE, file) as record:
        play(record, keys[:8], 1, None)
    had = file.read_bytes()
    file.write_bytes(had[:-5])  # the last line was cut off by a crash
    with Record(HERE, file) as record:
        assert len(record.pieces) == 7
        play(record, keys, 1, None)
    found = read(file)
    assert [piece.key for piece in found.pieces] == keys
    with Record(HERE) as whole:
        play(whole, keys, 1, None)
    assert [p.outcomes for p in found.pieces] == [p.outcomes for p in whole.pieces]


def test_another_judge_does_not_go_on_with_this_ones_record(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with Record(HERE, file):
        pass
    with pytest.raises(MixedError, match="name another file"):
        Record(Origin("test", "other code"), file)


def test_the_page_says_how_often_each_was_played() -> None:
    with Record(HERE) as record:
        play(record, to_play({40: 1})[:20], 1, None)
    page = table.page(record)
    assert "40 devices, 1 runs of each" in page
    assert ", n=1" in page
    assert "of 1 (" in page
