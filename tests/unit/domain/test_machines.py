"""Every transition table: total, reachable, and with nothing leading out of where it must not."""

from enum import StrEnum
from typing import Any

import pytest

from otaru.domain.deployment import DEPLOYMENT, FINAL, OPEN, Event, State, fold, forward_order
from otaru.domain.device import LIFECYCLE
from otaru.domain.machine import Machine
from otaru.domain.release import RELEASE
from otaru.domain.rollout import ROLLOUT

MACHINES: list[Machine[Any, Any]] = [DEPLOYMENT, LIFECYCLE, RELEASE, ROLLOUT]


def states_of(machine: Machine[Any, Any]) -> type[StrEnum]:
    return type(machine.initial)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_every_state_is_reached_and_every_open_one_left(machine: Machine[Any, Any]) -> None:
    every = set(states_of(machine))
    assert machine.reachable() == every
    assert {state for state in every if not machine.allowed(state)} <= machine.final
    assert machine.initial not in machine.final


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_some_road_leads_from_every_state_to_an_end(machine: Machine[Any, Any]) -> None:
    ending = set(machine.final)
    while True:
        more = {state for (state, _), target in machine.table.items() if target in ending} - ending
        if not more:
            break
        ending |= more
    assert ending == set(states_of(machine))


def test_a_deployment_is_scheduled_open_or_final() -> None:
    assert OPEN | FINAL | {State.SCHEDULED} == set(State)
    assert not OPEN & FINAL


def test_final_states_are_left_only_by_the_silent_ones_late_word() -> None:
    leaving = {(s, e): t for (s, e), t in DEPLOYMENT.table.items() if s in FINAL}
    assert leaving == {
        (State.SILENT, Event.SUCCEED): State.SUCCEEDED,
        (State.SILENT, Event.REVERT): State.REVERTED,
    }


def test_progress_never_goes_back() -> None:
    steps = [State.OFFERED, *(later for _, later in forward_order())]
    for (state, event), target in DEPLOYMENT.table.items():
        if state in steps and target in steps:
            # Who refuses for the moment stays where it is.
            assert steps.index(target) > steps.index(state) or (event is Event.REFUSE and target is state), (
                state,
                event,
            )


def test_a_report_twice_or_late_changes_nothing() -> None:
    words = [Event.OFFER, Event.INSTALL, Event.DOWNLOAD, Event.INSTALL, Event.SUCCEED, Event.INSTALL, Event.FAIL]
    assert fold(State.SCHEDULED, words) is State.SUCCEEDED


def test_every_open_deployment_can_be_cancelled_or_is_being_cancelled() -> None:
    for state in OPEN - {State.CANCELLING}:
        assert DEPLOYMENT.next(state, Event.CANCEL) in {State.CANCELLING, State.CANCELLED}
