"""The picture of an e-value over time."""

from datetime import UTC, datetime, timedelta
from math import log

import pytest

from otaru.apps.console.verdict_plot import HEIGHT, WIDTH, plot, shown
from otaru.domain.evidence import Call, Finding, Said

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def said(hour: float, e: float, failed: int = 0, tried: int = 10) -> Said:
    return Said(NOW + timedelta(hours=hour), Finding(None, Call.EXPAND, log(e), log(200), failed, tried))


def test_it_steps_from_left_to_right_and_higher_is_worse() -> None:
    found = plot([said(4, 1000, 3), said(2, 20, 1), said(0, 1)])
    assert found is not None
    points = [tuple(map(float, p.split(","))) for p in found.points.split()]
    assert [x for x, _ in points] == [0, 0, WIDTH / 2, WIDTH / 2, WIDTH, WIDTH]
    heights = [y for _, y in points[1::2]]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(found.one, abs=0.1)
    assert heights[-1] < found.threshold < heights[1] < HEIGHT
    assert found.seen == WIDTH / 2


def test_without_findings_there_is_no_picture() -> None:
    assert plot([]) is None
    assert plot([said(0, 1)]) is None
    flat = plot([said(0, 1), said(0, 1e-9)])
    assert flat is not None
    assert flat.seen == -1
    assert all(0 <= float(p.split(",")[1]) <= HEIGHT for p in flat.points.split())


def test_values_are_short() -> None:
    values = (0.4123, 12.3, 1600, 3.1e5, 3.1e6, 2e-9)
    assert [shown(log(v)) for v in values] == ["0.41", "12", "1,600", "310,000", "3.1·10⁶", "2.0·10⁻⁹"]
    assert shown(5000) == "4.6·10²⁹⁹"


def test_what_stands_beside_it_never_lies_upon_another() -> None:
    for highest in (1, 150, 200, 230, 1e6, 1e30):
        found = plot([said(4, highest), said(0, 1)])
        assert found is not None
        heights = [y for y, _ in found.scale]
        assert found.threshold in heights
        assert all(abs(a - b) >= 12 for n, a in enumerate(heights) for b in heights[:n])
