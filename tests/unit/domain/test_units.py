"""Amounts as people read them."""

import pytest

from otaru.domain.units import measured


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("disk", 59_700_000_000.0, "59.7 GB"),
        ("disk", 80.0, "80"),  # percent, of somebody else's agent
        ("memory", 1e300, "1e+300"),
        ("uptime", 64_800.0, "18 h"),
        ("uptime", 12.0, "12"),
        ("uptime", 1e300, "1e+300"),
        ("temperature", -3.25, "-3.25"),
        ("steps", 1_234_567.0, "1,234,567"),
    ],
)
def test_telemetry_is_said_in_its_unit(name: str, value: float, said: str) -> None:
    assert measured(value, name) == said
