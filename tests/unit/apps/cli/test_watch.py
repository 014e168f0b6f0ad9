"""When watching a rollout is over, and with which exit code."""

from typing import Any

import pytest

from otaru.apps.cli.exits import Exit
from otaru.apps.cli.progress import counts, failures, summary
from otaru.apps.cli.watch import goal, verdict
from otaru.errors import InvalidInputError


def rollout(state: str, waves: tuple[str, ...] = ("open",), **tally: int) -> dict[str, Any]:
    return {
        "id": 7,
        "product": "app",
        "version": "1.1.0",
        "state": state,
        "reason": "",
        "size": sum(tally.values()),
        "waves": [{"index": i, "state": s} for i, s in enumerate(waves)],
        "counts": tally,
    }


@pytest.mark.parametrize(
    ("until", "found", "reached"),
    [
        ("finished", rollout("running"), False),
        ("finished", rollout("finished"), True),
        ("finished", rollout("stopped"), False),
        ("stopped", rollout("stopping"), False),
        ("stopped", rollout("stopped"), True),
        ("paused", rollout("paused"), True),
        ("wave:1", rollout("planned", ("pending", "pending")), False),
        ("wave:1", rollout("running", ("open", "pending")), True),
        ("wave:2", rollout("running", ("passed", "pending")), False),
        ("wave:2", rollout("running", ("passed", "observing")), True),
        ("wave:3", rollout("running", ("passed", "open")), False),
    ],
)
def test_goals(until: str, found: dict[str, Any], reached: bool) -> None:
    assert goal(until)(found) is reached


@pytest.mark.parametrize("until", ["", "done", "wave", "wave:0", "wave:x", "Finished"])
def test_what_is_no_goal_is_refused(until: str) -> None:
    with pytest.raises(InvalidInputError):
        goal(until)


@pytest.mark.parametrize(
    ("found", "until", "code"),
    [
        (rollout("finished", succeeded=3), "finished", None),
        (rollout("finished", succeeded=2, skipped=1, rejected=1), "finished", None),
        (rollout("finished", succeeded=2, failed=1), "finished", Exit.PARTLY),
        (rollout("finished", reverted=1), "finished", Exit.PARTLY),
        (rollout("finished", silent=1), "finished", Exit.PARTLY),
        (rollout("stopped", succeeded=2), "finished", Exit.PARTLY),
        (rollout("running", offered=1), "finished", Exit.FAILED),
        (rollout("paused", offered=1), "finished", Exit.FAILED),
        (rollout("paused", failed=1), "paused", None),
        (rollout("stopped", failed=1), "stopped", None),
        (rollout("finished", succeeded=1), "stopped", Exit.FAILED),
        (rollout("finished", succeeded=1), "wave:2", Exit.FAILED),
        (rollout("running", ("passed", "open"), succeeded=1), "wave:2", None),
    ],
)
def test_exit_codes(found: dict[str, Any], until: str, code: Exit | None) -> None:
    assert verdict(found, until) == code


def test_a_summary_says_where_it_is_without_zeros() -> None:
    found = rollout("running", ("passed", "observing", "pending"), scheduled=5, failed=1, succeeded=4, offered=0)
    assert summary(found) == "app:1.1.0 running · wave 2 of 3 observing · 4 succeeded, 1 failed, 5 scheduled"


def test_states_that_are_new_to_us_are_shown_and_are_no_failures() -> None:
    assert counts({"teleporting": 2, "succeeded": 1}) == "1 succeeded, 2 teleporting"
    assert failures(rollout("finished", teleporting=2)) == 0
