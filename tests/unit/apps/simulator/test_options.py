"""How people describe a simulated fleet."""

from dataclasses import replace
from typing import Any

import pytest

from otaru.apps.simulator import options
from otaru.domain.device import Hardware
from otaru.errors import InvalidInputError

PLAN = options.Plan("http://127.0.0.1:8080", 50, options.hardware("default"), token="t")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default", ((Hardware("default"), 1.0),)),
        ("m:r0", ((Hardware("m", "r0"), 1.0),)),
        ("m:r0=0.5, m:r1=0.3,n", ((Hardware("m", "r0"), 0.5), (Hardware("m", "r1"), 0.3), (Hardware("n"), 1.0))),
    ],
)
def test_hardware(text: str, expected: tuple[tuple[Hardware, float], ...]) -> None:
    assert options.hardware(text) == expected


@pytest.mark.parametrize("text", ["", "m,,n", "m=x", "m=-1", "m=nan", "m=inf", "m=0,n=0", ":r0", "m:\n"])
def test_bad_hardware(text: str) -> None:
    with pytest.raises(InvalidInputError):
        options.hardware(text)


def test_shares() -> None:
    assert options.shares(["2026.0.0=0.2,r2=0", "a=b=1"]) == {"2026.0.0": 0.2, "r2": 0.0, "a=b": 1.0}
    assert options.shares(["2.0@r2=60%,a=0%", "b=100%"]) == {"2.0@r2": 0.6, "a": 0.0, "b": 1.0}


@pytest.mark.parametrize("text", ["", "0.5", "=0.5", "a=1.5", "a=-0.1", "a=x", "a=", "a=%", "a=101%", "a=5%%"])
def test_bad_shares(text: str) -> None:
    with pytest.raises(InvalidInputError):
        options.shares([text])


def test_components() -> None:
    assert options.components(["app=1.0.0", "os=2"]) == {"app": "1.0.0", "os": "2"}
    with pytest.raises(InvalidInputError):
        options.components(["app"])


def test_a_larger_fleet_has_the_names_of_a_smaller_one_and_more() -> None:
    assert PLAN.names()[:2] == ["sim-1", "sim-2"]
    assert replace(PLAN, devices=10_000).names()[:50] == PLAN.names()
    assert replace(PLAN, devices=10_000).names()[-1] == "sim-10000"
    assert len(set(replace(PLAN, devices=5000).names())) == 5000


@pytest.mark.parametrize(
    "change",
    [
        {"devices": 0},
        {"devices": options.MAX_DEVICES + 1},
        {"speed": 0},
        {"speed": float("inf")},
        {"wrong_tokens": 51},
        {"connections": 0},
        {"token": None},
        {"server": "127.0.0.1:8080"},
        {"prefix": "a b"},
    ],
)
def test_a_plan_that_cannot_be(change: dict[str, Any]) -> None:
    assert options.check(PLAN) is PLAN
    with pytest.raises(InvalidInputError):
        options.check(replace(PLAN, **change))
