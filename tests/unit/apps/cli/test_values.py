"""Values as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli import values
from otaru.domain.duration import LONGEST
from otaru.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("2h", 7200),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("60", 60),
        ("0", 0),
        ("0.5s", 0.5),
        (" 5M ", 300),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert values.duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "5x", "5 m", "1h-", "1e3", "nan", "\u221e", "\u0661s", "4000d", "99999999999"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        values.duration_s(text)


@given(st.integers(0, LONGEST // timedelta(seconds=1)))
def test_a_shown_duration_is_read_as_the_same(seconds: int) -> None:
    assert values.duration_s(values.shown_duration(seconds)) == seconds


def test_whole_seconds_are_integers_for_the_api() -> None:
    assert isinstance(values.duration_s("1.0s"), int)


@pytest.mark.parametrize(
    ("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("100%", 1), ("1", 1), ("0", 0), ("2.5 %", 0.025), ("1%", 0.01)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, share: float) -> None:
    assert values.share(text) == share


@pytest.mark.parametrize("text", ["", "%", "10", "101%", "-1%", "1.1", "ten", "10%%", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        values.share(text)


@given(st.integers(0, 10_000))
def test_percent_and_fraction_say_the_same(hundredths: int) -> None:
    assert values.share(f"{hundredths / 100}%") == values.share(f"{hundredths / 10_000:.4f}")


def test_waves_go_to_the_api_as_text() -> None:
    assert values.waves("2, 10,25%,all") == ["2", "10", "25%", "100%"]


@pytest.mark.parametrize("text", ["", "0", "2,,10", "x", "-1", "2.5", "0%", "10 devices"])
def test_what_is_no_wave_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        values.waves(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1048576", 1_048_576),
        ("512MiB", 512 * 1024**2),
        ("4GiB", 4 * 1024**3),
        ("1.5GB", 1_500_000_000),
        ("1 k", 1000),
    ],
)
def test_a_size_is_read_in_bytes(text: str, count: int) -> None:
    assert values.size(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 XB", "1e9", "4GiBB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        values.size(text)


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 * 1024**4, "5.0 TiB")]
)
def test_a_size_is_shown_in_the_largest_unit(count: int, shown: str) -> None:
    assert values.shown_size(count) == shown


def test_a_moment_needs_its_zone() -> None:
    assert values.moment("2026-05-01 06:00+02:00") == "2026-05-01T06:00:00+02:00"
    assert values.moment("2026-05-01T04:00:00Z") == "2026-05-01T04:00:00+00:00"
    for text in ("2026-05-01T04:00:00", "tomorrow", ""):
        with pytest.raises(InvalidInputError):
            values.moment(text)


def test_pairs_keep_everything_after_the_first_equals_sign() -> None:
    assert values.pairs(["a=1", "b=x=y", "c="], what="an attribute") == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a=1", "a=2"]])
def test_what_are_no_pairs_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        values.pairs(texts, what="an attribute")


def test_a_release_is_product_and_version_which_may_hold_colons() -> None:
    assert values.release("app:1.1.0") == ("app", "1.1.0")
    assert values.release("app:1:2.0-1") == ("app", "1:2.0-1")
    for text in ("app", ":1", "app:", ""):
        with pytest.raises(InvalidInputError):
            values.release(text)
