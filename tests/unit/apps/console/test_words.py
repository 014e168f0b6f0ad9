"""Every state and every rule has its look and its words: a new one cannot be forgotten."""

from enum import StrEnum

import pytest

from otaru.apps.console.pages import device
from otaru.apps.console.status import look
from otaru.domain.deployment import State
from otaru.domain.device import Lifecycle
from otaru.domain.offer import Rule
from otaru.domain.release import ReleaseState
from otaru.domain.rollout import RolloutState, WaveState


@pytest.mark.parametrize("states", [State, RolloutState, WaveState, Lifecycle, ReleaseState])
def test_every_state_has_a_look(states: type[StrEnum]) -> None:
    assert all(look(state).word for state in states)
    assert look(None).word


def test_every_rule_has_its_words() -> None:
    assert set(device._RULES) == set(Rule)
