"""The benchmark's rule in an outage: what the outage breaks is excused, what the release breaks is not."""

from dataclasses import replace

import pytest

from benchmarks.safety.rules import Otaru
from benchmarks.safety.run import run
from benchmarks.safety.world import BAD, GOOD, Scenario, World

GOOD_ONE = replace(GOOD[0], outage=(14, 20))
"""Without its excuse it is stopped."""
BAD_ONE = replace(BAD[0], outage=(3, 9))


@pytest.mark.parametrize(("scenario", "size", "stopped"), [(GOOD_ONE, 30_000, False), (BAD_ONE, 3000, True)])
def test_an_outage_stops_no_good_release_and_saves_no_bad_one(scenario: Scenario, size: int, stopped: bool) -> None:
    made: list[Otaru] = []

    def make(world: World) -> Otaru:
        made.append(Otaru(world))
        return made[0]

    assert run(scenario, size, make, "t0").stopped is stopped
    assert sum(segment.excused.tried for segment in made[0].segments) > 0
