"""A killed worker loses nothing: a process that dies at any statement leaves what the next one goes on from.

`tests/support/killed.py` tells the story; how it ends must not depend on where it was interrupted: the same waves and
verdicts, the same attempts and actions of every device, every change in the record once.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.killed import DEAD

SHARDS = 6
"""Of the whole sweep: some 590 points in all, a minute or two for each shard on a quiet machine."""


def died(folder: Path, every: int, first: int) -> int:
    """Play the story with a death at every so many-th point; how many deaths there were."""
    command = [sys.executable, "-m", "tests.support.killed", str(folder), str(every), str(first)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    whole, *interrupted = map(json.loads, said.stdout.splitlines())
    assert [name for name, *_ in whole["rollouts"]], "the story has rollouts"
    for shown in whole["rollouts"]:
        assert shown[-2] == shown[-1], "counters are what the rows say"
    for ended in interrupted:
        assert ended["status"] == 0, said.stderr
        assert _end(ended) == _end(whole), f"after a death at {ended['point']}"
    # Lives differ by a few statements: the last points are not always come to.
    return sum(ended["died"] == DEAD for ended in interrupted)


def _end(story: dict[str, Any]) -> dict[str, Any]:
    return {part: story[part] for part in ("rollouts", "histories", "record", "inventory")}


def test_a_death_at_some_statements_changes_no_end(tmp_path: Path) -> None:
    assert died(tmp_path, 97, 11) > 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_death_at_every_third_statement_changes_no_end(tmp_path: Path, shard: int) -> None:
    """In shards, so that each ends in its time on a busy machine, and they can be shared out."""
    assert died(tmp_path, 3 * SHARDS, 3 * shard) > 450 / SHARDS


def ordered(folder: Path, every: int) -> int:
    """Keep a standing order with a death at every so many-th point; how many deaths there were."""
    command = [sys.executable, "-m", "tests.support.killed_order", str(folder), str(every)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    whole, *lives = map(json.loads, said.stdout.splitlines())
    assert whole["end"]["rollouts"] == [[1, "1", "running", 2, 3], [2, "2", "running", None, 3]]
    assert whole["end"]["shares"][0] == {"a": "installing", "b": "skipped", "c": "skipped"}
    for life in lives:
        assert (life["status"], life["end"]) == (0, whole["end"]), f"after a death at {life['point']}\n{said.stderr}"
    return sum(life["died"] == DEAD for life in lives)


def test_a_death_at_some_statements_of_a_standing_order_makes_its_rollout_once(tmp_path: Path) -> None:
    assert ordered(tmp_path, 7) > 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_death_at_any_statement_of_a_standing_order_makes_its_rollout_once(tmp_path: Path) -> None:
    assert ordered(tmp_path, 1) > 20
