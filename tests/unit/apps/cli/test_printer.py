"""What a command prints: one JSON document, or text in which nothing commands the terminal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli.printer import Printer, as_json, cell, field, moment, one_line, plain

HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202etxt.exe"

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(documents)
def test_json_is_read_back_as_it_was(document: Any) -> None:
    assert json.loads(as_json(document)) == document


@given(st.text())
def test_nothing_printed_holds_what_a_terminal_obeys(text: str) -> None:
    for said in (plain(text), as_json(text), one_line(text), cell({text: [text]})):
        assert not any(ord(c) < 32 and c not in "\t\n" for c in said)
        assert not any(0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in said)


@given(st.text(), st.integers(2, 300))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    said = one_line(text, limit)
    assert len(said) <= limit
    assert "\n" not in said


def test_json_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(json=True)
    printer.details({"id": "é"}, [("id", "é")])
    printer.section("More", [{"a": 1}], [field("A")])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"id": "é"}
    assert "é" in printed.out
    assert printed.err == ""


def test_a_table_beside_a_pipe_has_no_colour_and_folds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    Printer(json=False).table(
        {}, [{"name": HOSTILE, "words": long}, {"name": "[red]b"}], [field("Name"), field("Words")]
    )
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    assert long in printed
    assert "[red]b" in printed
    assert len(printed.splitlines()) == 3


def test_details_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(json=False).details({}, [("a", 1), ("b", None), ("c", ""), ("d", []), ("e", False)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["a", "1"], ["e", "no"]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, ""),
        ("2026-05-01T04:00:00.123456Z", "2026-05-01 04:00:00Z"),
        ("2026-05-01T04:00:00+00:00", "2026-05-01 04:00:00Z"),
    ],
)
def test_moments_are_shown_to_the_second(text: str | None, shown: str) -> None:
    assert moment(text) == shown
