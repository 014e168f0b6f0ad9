"""What has to hold on a device: read, written, and held against what is known of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.domain.conditions import MAX_CONDITIONS, Condition, Sensor, check, condition, forbids, names, unmet
from otaru.errors import InvalidInputError, QuerySyntaxError

EVERY = (
    st.builds(Condition, st.just(Sensor.BATTERY), st.integers(0, 100).map(float))
    | st.builds(Condition, st.just(Sensor.SIGNAL), st.integers(-999, 0).map(float))
    | st.builds(Condition, st.just(Sensor.FREE), st.integers(0, 10**12 - 1).map(float))
    | st.builds(Condition, st.sampled_from([Sensor.CHARGING, Sensor.IDLE, Sensor.METERED]))
    | st.just(Condition(Sensor.EXPRESSION, expression="attr.site==depot;not(attr.door==open)"))
)


@settings(deadline=None)
@given(EVERY)
def test_it_is_read_as_it_is_written(one: Condition) -> None:
    assert condition(str(one)) == one


@settings(deadline=None)
@given(EVERY, st.dictionaries(st.sampled_from([*map(str, Sensor), "site", "door"]), st.text(max_size=30)))
def test_nothing_that_a_device_says_breaks_it(one: Condition, facts: dict[str, str]) -> None:
    said = unmet([one], facts)
    assert said is None or said
    assert unmet([one], {}) is None, "what is not known holds nothing up"
    assert forbids([one], {}) is not None, "but on the device itself"
    assert said is None or forbids([one], facts) == said


@settings(deadline=None)
@given(EVERY, st.booleans(), st.integers(-500, 500))
def test_what_is_known_is_one_and_the_same_on_the_device(one: Condition, yes: bool, number: int) -> None:
    known = dict.fromkeys(names([one]), str(number)) | {"charging": str(yes), "idle": str(yes), "metered": str(yes)}
    assert forbids([one], known) == unmet([one], known)


@pytest.mark.parametrize(
    ("text", "facts", "said"),
    [
        ("battery>=30%", {"battery": "12"}, "its battery is at 12 %, at least 30 % or charging is asked for"),
        ("battery >= 30", {"battery": "29.5 %"}, "its battery is at 29.5 %"),
        ("battery>=30%", {"battery": "30"}, None),
        ("battery>=30%", {"battery": "12", "charging": "true"}, None),
        ("battery>=30%", {"battery": "12", "charging": "no"}, "battery"),
        ("battery>=30%", {"battery": "full"}, None),
        ("charging", {"charging": "false"}, "it is not charging"),
        ("charging", {"charging": "yes"}, None),
        ("idle", {"idle": "0"}, "it is not idle"),
        ("unmetered", {"metered": "true"}, "its link is metered"),
        ("unmetered", {"metered": "false"}, None),
        ("signal>=-90dBm", {"signal": "-97"}, "its signal is -97 dBm, at least -90 is asked for"),
        ("signal>=-90", {"signal": "-60"}, None),
        ("free>=500MB", {"free_space": "1000"}, "its free space is 1000 bytes, at least 500000000 is asked for"),
        ("free>=1KiB", {"free_space": "1024"}, None),
        ("(attr.site==depot)", {"site": "road"}, "(attr.site==depot) does not hold"),
        ("(attr.site==dep*)", {"site": "depot"}, None),
        ("(attr.site==depot;attr.door==closed)", {"site": "road"}, None),
        ("(telemetry.temperature<40)", {"temperature": "41.5"}, "(telemetry.temperature<40) does not hold"),
        ("(telemetry.temperature<40)", {"temperature": "39"}, None),
        ("(telemetry.temperature<40)", {}, None),
        ("(attr.site==depot;attr.door==closed)", {"site": "road", "door": "closed"}, "does not hold"),
    ],
)
def test_by_what_is_known(text: str, facts: dict[str, str], said: str | None) -> None:
    found = unmet([condition(text)], facts)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert said in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "battery",
        "battery>=101%",
        "battery<30",
        "free>=much",
        "signal>=90000",
        "fast",
        "(",
        "()",
        "(id==x)",
        "(state==idle)",
        "(attr.temperature<40)",
        "(attr.level=lt=20)",
        "(attr.site==depot;installed.app<2)",
        "x" * 600,
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidInputError):
        condition(text)


def test_an_expression_that_makes_no_sense_says_where() -> None:
    with pytest.raises(QuerySyntaxError):
        condition("(attr.site=depot)")


def test_names_and_bounds() -> None:
    wanted = [condition("battery>=30%"), condition("unmetered"), condition("(attr.site==a,attr.door==b)")]
    assert names(wanted) == {"battery", "charging", "metered", "site", "door"}
    check(wanted)
    with pytest.raises(InvalidInputError, match="two conditions"):
        check([condition("battery>=30%"), condition("battery>=40%")])
    with pytest.raises(InvalidInputError, match="at most"):
        check([condition("(attr.a==b)")] * (MAX_CONDITIONS + 1))
