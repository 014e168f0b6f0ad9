"""The harm budget: canaries first, faster with evidence, never beyond the budget."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from otaru.analysis.pace import Exposure, room, segment_budget
from otaru.analysis.silence import patience

NEW = Exposure(size=1000, harmed=0, mature=0, immature=0, expected=0.01)


def test_without_evidence_the_budget_is_the_number_of_canaries() -> None:
    assert room([replace(NEW, size=10_000)]) == [40]
    assert sum(room([NEW] * 8)) == 40
    assert room([replace(NEW, size=100_000)]) == [404]
    assert room([replace(NEW, immature=20)]) == [0]


def test_evidence_speeds_up_and_harm_slows_down() -> None:
    rooms = [room([replace(NEW, mature=n)])[0] for n in (0, 10, 30, 100, 300)]
    assert rooms == sorted(rooms)
    assert rooms[-1] >= 900
    assert room([replace(NEW, mature=100, harmed=10)])[0] < room([replace(NEW, mature=100)])[0]


@given(
    st.lists(
        st.builds(
            Exposure,
            size=st.integers(1, 10**6),
            harmed=st.floats(0, 100),
            mature=st.floats(0, 1e6),
            immature=st.floats(0, 1e6),
            expected=st.floats(0, 0.2),
        ),
        max_size=5,
    )
)
def test_more_under_way_never_gives_more_room(exposures: list[Exposure]) -> None:
    rooms = room(exposures)
    assert all(r >= 0 for r in rooms)
    for exposure, more in zip(exposures, rooms, strict=True):
        assert more == 0 or more <= segment_budget(exposure.size) / 0.004
    fuller = room([replace(e, immature=e.immature + 1) for e in exposures])
    assert sum(fuller) <= sum(rooms) + len(rooms)


def test_silence_is_measured_by_a_devices_own_habit() -> None:
    hour = timedelta(hours=1)
    assert patience([], hour) == 3 * hour
    assert patience([24 * hour] * 30, hour) > 48 * hour
    assert patience([hour] * 30 + [20 * hour], hour) == 20 * hour
