"""The form of a new rollout: what it makes of what was typed, and which field it blames."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.console.rollout_form import FIELDS, read
from otaru.domain.rollout import ClassicRule, Growth, OnError, Policy, SequentialRule, Shape, Share, Urgency
from otaru.domain.schedule import Window
from otaru.services.control.rollouts import Intention

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
WHAT = {"release": "app:1.1.0", "target": "tag==lab"}


def intention(**typed: str) -> Intention:
    draft = read({**WHAT, **typed}, NOW)
    assert draft.wrong == {}
    assert draft.intention is not None
    return draft.intention


def blamed(**typed: str) -> set[str]:
    return set(read({**WHAT, **typed}, NOW).wrong)


def test_the_form_as_it_stands_proposes_canaries_and_starts_at_once() -> None:
    made = intention()
    policy = Policy(sequential=SequentialRule(), split=("hardware", "version"))
    growth = Growth(Shape.ADAPTIVE)
    assert made == Intention(made.product, made.version, "tag==lab", policy, "", None, start=True, growth=growth)
    simple = intention(mode="simple")
    assert (simple.policy, simple.growth) == (Policy(), None)
    assert (made.product, made.version) == ("app", "1.1.0")


def test_everything_that_can_be_typed() -> None:
    made = intention(
        name="Spring",
        mode="waves",
        split="hardware attr.site",
        waves="2, 10 25 %, all",
        success="99.5",
        error="0,5 %",
        on_error="stop",
        observe="30m",
        quorum="80%",
        wave_timeout="2h",
        expires="30d",
        urgency="soft",
        consent="yes",
        window="02:00/4h",
        when="at",
        start_at="2026-11-22T04:00",
    )
    assert made.policy == Policy(
        waves=(Share(2, False), Share(10, False), Share(25, True), Share(100, True)),
        rule=ClassicRule(0.995, 0.005),
        quorum=0.8,
        wave_timeout=timedelta(hours=2),
        observe=timedelta(minutes=30),
        expires_after=timedelta(days=30),
        on_error=OnError.STOP,
        urgency=Urgency.SOFT,
        consent=True,
        window=Window(time(2), timedelta(hours=4)),
        split=("hardware", "attr.site"),
    )
    assert made.name == "Spring"
    assert (made.start, made.start_at) == (False, datetime(2026, 11, 22, 4, tzinfo=UTC))


def test_a_plan_starts_when_somebody_starts_it() -> None:
    made = intention(when="plan", start_at="nonsense")
    assert (made.start, made.start_at) == (False, None)


def test_what_belongs_to_waves_is_not_asked_of_a_simple_rollout() -> None:
    assert intention(mode="simple", waves="nonsense", success="200").policy == Policy()


def test_a_time_with_another_zone_is_understood() -> None:
    assert intention(when="at", start_at="2026-11-22T04:00+02:00").start_at == datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("release", ""),
        ("release", "app"),
        ("release", "a b:1"),
        ("target", ""),
        ("target", "tag=lab"),
        ("target", "tag==a\nb"),
        ("name", "x" * 201),
        ("name", "a\x00b"),
        ("mode", "nonsense"),
        ("waves", ""),
        ("waves", "10, 2"),
        ("waves", "0"),
        ("waves", " ".join(map(str, range(1, 102)))),
        ("success", ""),
        ("success", "101"),
        ("success", "-1"),
        ("success", "nan"),
        ("error", "x"),
        ("quorum", "0"),
        ("observe", "soon"),
        ("wave_timeout", "9999w"),
        ("expires", "-1"),
        ("on_error", "explode"),
        ("urgency", ""),
        ("window", "25:00/4h"),
        ("when", "never"),
        ("start_at", ""),
        ("start_at", "2026-11-21T12:59"),
        ("start_at", "tomorrow"),
        ("start_at", "0001-01-01T00:00+14:00"),
    ],
)
def test_what_is_wrong_is_said_of_its_field(field: str, text: str) -> None:
    typed = {"mode": "waves", "when": "at", "start_at": "2026-11-22T04:00", field: text}
    assert blamed(**typed) == {field}


def test_an_error_of_the_target_points_at_the_column() -> None:
    draft = read({**WHAT, "target": "tag=lab"}, NOW)
    assert draft.column == 4
    assert draft.intention is None


def test_what_has_not_been_typed_yet_is_not_complained_of() -> None:
    draft = read({"target": "tag=lab"}, NOW)
    assert set(draft.wrong) == {"release", "target"}
    assert set(draft.mended.wrong) == {"target"}


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=40)))
def test_whatever_is_typed_is_kept_and_nothing_is_raised(typed: dict[str, str]) -> None:
    draft = read(typed, NOW)
    assert draft.typed == {**FIELDS, **typed}
    assert set(draft.wrong) <= set(FIELDS)
    assert draft.wrong or draft.intention
