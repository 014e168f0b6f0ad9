"""What of the fleet needs a person."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.apps.console.pages import overview
from otaru.domain.deployment import State
from otaru.domain.evidence import Tally
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout import Policy, Rollout, RolloutState, WaveState, layout
from otaru.services.control.fleet import Standing

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=2)


@pytest.mark.parametrize(
    ("state", "opened", "counts", "stuck"),
    [
        (RolloutState.RUNNING, LONG_AGO, {State.SCHEDULED: 2}, True),
        (RolloutState.RUNNING, LONG_AGO, {State.SCHEDULED: 1, State.OFFERED: 1}, False),
        (RolloutState.RUNNING, LONG_AGO, {State.SUCCEEDED: 2}, False),
        (RolloutState.RUNNING, NOW, {State.SCHEDULED: 2}, False),
        (RolloutState.PAUSED, LONG_AGO, {State.SCHEDULED: 2}, False),
    ],
)
def test_a_wave_that_reaches_nobody_for_long_needs_somebody(
    state: RolloutState, opened: datetime, counts: Mapping[State, int], stuck: bool
) -> None:
    made = Rollout(RolloutId(3), ProductName("app"), Version("2"), "id==*", state, Policy(), 7, LONG_AGO, 2)
    (wave,) = layout(made.policy, 2)
    made = replace(made, waves=(replace(wave, state=WaveState.OPEN, opened_at=opened),))
    since = overview._unmoved(Standing(made, {0: Tally(counts)}), NOW - timedelta(hours=1))
    assert since == (LONG_AGO if stuck else None)
