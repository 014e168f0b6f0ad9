"""When a fleet has seen the end of the rollouts."""

from typing import Any

import pytest

from otaru.apps.simulator.fleet import Course


def looks(*states: dict[int, str]) -> list[bool]:
    course = Course()
    found: list[list[dict[str, Any]]] = [[{"id": n, "state": s} for n, s in look.items()] for look in states]
    return [course.ended(rollouts) for rollouts in found]


@pytest.mark.parametrize("waiting", [{}, {1: "finished"}, {1: "stopped", 2: "planned"}, {1: "finished", 2: "running"}])
def test_it_waits_for_a_rollout_that_was_not_over(waiting: dict[int, str]) -> None:
    assert looks(waiting, waiting) == [False, False]


def test_it_ends_with_a_rollout_that_began_before_or_after() -> None:
    assert looks({1: "running"}, {1: "finished"}) == [False, True]
    assert looks({1: "finished"}, {1: "finished", 2: "stopped"}) == [False, True]
    assert looks({1: "finished", 2: "running"}, {1: "finished", 2: "paused"}) == [False, True]


def test_a_retry_makes_an_old_rollout_count() -> None:
    assert looks({1: "finished"}, {1: "running"}, {1: "finished"}) == [False, False, True]
