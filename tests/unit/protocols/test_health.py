"""What devices tell of their health, as bytes."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.health import MAX_EVENTS, MAX_TEXT, Kind, Told
from otaru.errors import InvalidInputError, TooLargeError
from otaru.protocols.health import MAX_BODY, MAX_LINES, in_details, told, unpacked


def body(*events: object) -> bytes:
    return json.dumps({"events": events}).encode()


def test_events_and_samples_are_read() -> None:
    said = body(
        {"id": "1", "kind": "watchdog", "at": "2026-05-01T04:00Z", "text": "task\x00 ui" + "x" * 999},
        {"id": "2", "kind": "sample", "name": "battery", "value": -81.5, "at": 1777777777.5},
    )
    event, sample = told(said)
    assert (event.id, event.kind, event.device_time) == ("1", Kind.WATCHDOG, "2026-05-01T04:00Z")
    assert event.text.startswith("task� ui")
    assert len(event.text) == MAX_TEXT
    assert sample == Told("2", Kind.SAMPLE, name="battery", value=-81.5, device_time="1777777777.5")
    assert told(body()) == []


@pytest.mark.parametrize(
    "event",
    [
        {"id": "1"},
        {"kind": "crash"},
        {"id": "", "kind": "crash"},
        {"id": "with space", "kind": "crash"},
        {"id": "x" * 65, "kind": "crash"},
        {"id": "1", "kind": "tsunami"},
        {"id": "1", "kind": "crash", "more": 1},
        {"id": "1", "kind": "crash", "name": "n"},
        {"id": "1", "kind": "crash", "value": 1},
        {"id": "1", "kind": "sample", "name": "n"},
        {"id": "1", "kind": "sample", "value": 1},
        {"id": "1", "kind": "sample", "name": "a b", "value": 1},
        {"id": "1", "kind": "sample", "name": "n", "value": "1"},
        {"id": "1", "kind": "sample", "name": "n", "value": 1e308},
        {"id": "1", "kind": "sample", "name": "n", "value": None},
        {"id": "1", "kind": "sample", "name": "n", "value": float("inf")},
        7,
    ],
)
def test_what_is_no_event_is_refused(event: object) -> None:
    with pytest.raises(InvalidInputError):
        told(body(event))


def test_a_number_that_is_too_large_is_told_as_that() -> None:
    with pytest.raises(InvalidInputError, match=r"the sample 'n' is -1e\+308: numbers are from -1e\+300 to 1e\+300"):
        told(body({"id": "1", "kind": "sample", "name": "n", "value": -1e308}))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"events": 1}', b'{"events":' + b"[" * 100_000])
def test_what_is_no_batch_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError):
        told(raw)


def test_so_many_come_at_once() -> None:
    events = [{"id": str(number), "kind": "crash"} for number in range(MAX_EVENTS + 1)]
    assert len(told(body(*events[:-1]))) == MAX_EVENTS
    with pytest.raises(TooLargeError):
        told(body(*events))


@given(st.binary(max_size=2000))
def test_gzip_is_unpacked_within_bounds(plain: bytes) -> None:
    assert unpacked(gzip.compress(plain), b" GZIP ") == plain
    assert unpacked(plain, b"") == unpacked(plain, b"identity") == plain


def test_a_bomb_does_not_go_off() -> None:
    with pytest.raises(TooLargeError):
        unpacked(gzip.compress(b"\0" * 50_000_000), b"gzip")
    assert len(unpacked(gzip.compress(b"\0" * MAX_BODY), b"gzip")) == MAX_BODY


@pytest.mark.parametrize(
    "packed", [b"", b"plain", gzip.compress(b"cut", mtime=0)[:-3], gzip.compress(b"a", mtime=0) + b"more"]
)
def test_what_is_not_gzip_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidInputError):
        unpacked(packed, b"gzip")
    with pytest.raises(InvalidInputError):
        unpacked(packed, b"br")


def test_lines_among_details_tell() -> None:
    details = [
        "otaru: watchdog task ui",
        "nothing",
        " otaru:battery=81.5",
        "otaru: crash",
        "otaru: x=1e999",
        "otaru: ?",
    ]
    found = in_details(details, b"\xab" * 32)
    assert [(one.kind, one.text, one.name, one.value) for one in found] == [
        (Kind.WATCHDOG, "task ui", "", 0.0),
        (Kind.SAMPLE, "", "battery", 81.5),
        (Kind.CRASH, "", "", 0.0),
    ]
    assert [one.id for one in found] == [f"{'ab' * 16}-{number}" for number in (0, 2, 3)]
    assert len(in_details(["otaru: crash"] * 500, b"x")) == MAX_LINES


@given(st.lists(st.text(), max_size=5), st.binary(max_size=32))
def test_no_line_is_an_error(details: list[str], identity: bytes) -> None:
    in_details([f"otaru: {line}" for line in details], identity)
