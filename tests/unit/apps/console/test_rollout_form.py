"""The form of a new rollout: what it makes of what was typed, and which field it blames."""

import dataclasses
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli.rollout_options import Wanted
from otaru.apps.console.rollout_form import FIELDS
from otaru.apps.console.rollout_reading import read
from otaru.domain.conditions import condition
from otaru.domain.health import measure
from otaru.domain.ids import RolloutId
from otaru.domain.rollout import (
    Abort,
    Approve,
    ClassicRule,
    Download,
    FailureType,
    Growth,
    Install,
    Limits,
    OnError,
    Place,
    Policy,
    RateRule,
    SequentialRule,
    Shape,
    Share,
    Urgency,
)
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


def test_everything_else_that_can_be_typed() -> None:
    made = intention(
        mode="exponential",
        first="5",
        factor="1,5",
        judge="sequential",
        alpha="0.5",
        telemetry="fan:high, battery:low",
        split="",
        on_error="rollback",
        validate="30m",
        validate_events="3",
        urgency="soft",
        forced_at="2026-12-01T04:00",
        consent="yes",
        consent_deadline="7d",
        postponements="1",
        postpone_for="1d",
        require="battery>=30% charging",
        window="02:00/4h",
        install_takes="20m",
        download="any-time",
        download_only="yes",
        install_at="2026-12-02T02:00",
        ignore_blackout="yes",
        max_in_flight="100",
        max_per_minute="10",
        max_per="attr.site=5, tag.lab=7",
        priority="8",
        continuous="yes",
        end_at="2026-12-24T00:00",
        when="after",
        after="41",
        approve="waves",
        reason="a hole",
    )
    assert made.growth == Growth(Shape.EXPONENTIAL, 5, 1.5)
    assert made.policy == Policy(
        sequential=SequentialRule(0.005, telemetry=(measure("fan:high"), measure("battery:low"))),
        on_error=OnError.ROLLBACK,
        validate=timedelta(minutes=30),
        validate_events=3,
        urgency=Urgency.SOFT,
        forced_at=datetime(2026, 12, 1, 4, tzinfo=UTC),
        consent=True,
        consent_deadline=timedelta(days=7),
        postponements=1,
        postpone_for=timedelta(days=1),
        conditions=(condition("battery>=30%"), condition("charging")),
        window=Window(time(2), timedelta(hours=4)),
        install_takes=timedelta(minutes=20),
        download=Download.ANY_TIME,
        download_only=True,
        ignore_blackout=True,
        limits=Limits(100, 10, (Place("site", 5), Place("", 7, "lab"))),
        priority=8,
        continuous=True,
        end_at=datetime(2026, 12, 24, tzinfo=UTC),
        after=RolloutId(41),
        approve=Approve.WAVES,
    )
    assert (made.start, made.start_at, made.reason) == (False, None, "a hole")
    assert made.install == Install(datetime(2026, 12, 2, 2, tzinfo=UTC))


def test_a_rate_has_its_own_criteria() -> None:
    made = intention(mode="rate", rate="20", rate_factor="1.5", rate_every="100", rate_max="200", abort="all=20%@50")
    assert made.policy == Policy(
        rate=RateRule(20, 1.5, 100, maximum=200, aborts=(Abort(FailureType.ALL, 20, 50),)),
        split=("hardware", "version"),
    )
    assert intention(mode="rate", rate_counts="succeeded").policy.rate == RateRule(50, 2, 1000, succeeded=True)


REACHED = {"shape": "mode", "validate_max_events": "validate_events"}
"""Options of the command line that have another name in the form."""


def test_every_option_of_the_command_line_has_its_field() -> None:
    assert {REACHED.get(option.name, option.name) for option in dataclasses.fields(Wanted)} <= set(FIELDS)


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("on_error", {"on_error": "advise"}),
        ("continuous", {"continuous": "yes"}),
        ("wave_timeout", {"validate": "1h", "wave_timeout": "30m"}),
        ("expires", {"validate": "1h", "expires": "30m"}),
        ("rate_max", {"mode": "rate", "rate": "500", "rate_max": "100"}),
        ("abort", {"mode": "rate", "abort": "failed=0%@5"}),
        ("abort", {"mode": "rate", "abort": "failed=20%"}),
        ("abort", {"mode": "rate", "abort": "burnt=20%@9"}),
        ("abort", {"mode": "rate", "abort": "failed=20%@9 " * 11}),
        ("rate", {"mode": "rate", "rate": "0"}),
        ("rate", {"mode": "rate", "rate": "1001"}),
        ("rate_factor", {"mode": "rate", "rate_factor": "9"}),
        ("rate_every", {"mode": "rate", "rate_every": "0"}),
        ("rate_counts", {"mode": "rate", "rate_counts": "sneezed"}),
        ("first", {"mode": "exponential", "first": "0"}),
        ("factor", {"mode": "exponential", "factor": "1"}),
        ("alpha", {"alpha": "50"}),
        ("judge", {"judge": "a coin"}),
        ("telemetry", {"telemetry": "battery"}),
        ("telemetry", {"telemetry": "battery:low battery:high"}),
        ("max_in_flight", {"max_in_flight": "0"}),
        ("max_per_minute", {"max_per_minute": "-1"}),
        ("max_per", {"max_per": "site=5"}),
        ("max_per", {"max_per": "attr.site=5 attr.site=6"}),
        ("priority", {"priority": "10"}),
        ("download", {"download": "never"}),
        ("download_only", {"mode": "rate", "download_only": "yes"}),
        ("install_at", {"download_only": "yes", "install_at": "soon"}),
        ("approve", {"approve": "me"}),
        ("after", {"when": "after"}),
        ("after", {"when": "after", "after": "0"}),
        ("end_at", {"end_at": "2020-01-01T00:00"}),
        ("forced_at", {"urgency": "soft", "forced_at": "soon"}),
        ("consent_deadline", {"consent": "yes", "consent_deadline": "soon"}),
        ("postponements", {"consent": "yes", "postponements": "101"}),
        ("validate_events", {"validate": "1h", "validate_events": "0"}),
        ("install_takes", {"install_takes": "long"}),
        ("reason", {"reason": "x" * 501}),
    ],
)
def test_what_does_not_go_together_is_said_of_one_field(field: str, typed: dict[str, str]) -> None:
    assert blamed(**typed) == {field}


def test_what_is_not_asked_for_does_not_count() -> None:
    made = intention(
        mode="simple", consent_deadline="soon", forced_at="soon", after="x", alpha="99", rate="0", install_at="x"
    )
    assert made.policy == Policy()


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
    assert {**draft.typed, "judge": ""} == {**FIELDS, **typed, "judge": ""}
    assert draft.typed["judge"] == typed.get("judge", "sequential" if draft.typed["mode"] == "adaptive" else "classic")
    assert set(draft.wrong) <= {*FIELDS, ""}
    assert draft.wrong or draft.intention
