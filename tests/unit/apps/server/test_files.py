"""Which bytes a request asks for, and how a file is named."""

import email
import email.policy
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.server.files import disposition, not_modified, wanted
from otaru.apps.server.ranges import MAX_PARTS, Multipart, Part, parse_range
from otaru.errors import PreconditionFailedError, RangeNotSatisfiableError

sizes = st.integers(0, 300)
positions = st.integers(0, 400)
TAG = b'"abc"'


def scope(method: str = "GET", **headers: str) -> dict[str, Any]:
    return {"method": method, "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]}


def part(value: bytes, size: int) -> list[int] | None:
    """The positions that a range holds, by our reading."""
    try:
        found = parse_range(value, size)
    except RangeNotSatisfiableError:
        return []
    return None if found is None else [position for part in found for position in range(part.start, part.end)]


def test_an_impossible_range_says_the_size() -> None:
    with pytest.raises(RangeNotSatisfiableError) as caught:
        parse_range(b"bytes=7-", 7)
    assert caught.value.facts["size"] == 7


@given(positions, positions, sizes)
def test_closed_range_holds_the_positions_between_its_ends(first: int, last: int, size: int) -> None:
    expected = None if last < first else [n for n in range(size) if first <= n <= last]
    assert part(b"bytes=%d-%d" % (first, last), size) == expected


@given(positions, sizes)
def test_open_range_holds_all_from_its_start(first: int, size: int) -> None:
    assert part(b"bytes=%d-" % first, size) == [n for n in range(size) if n >= first]


@given(positions, sizes)
def test_suffix_holds_the_last_positions(length: int, size: int) -> None:
    assert part(b"bytes=-%d" % length, size) == list(range(size))[max(0, size - length) :]


@given(st.binary(max_size=40), sizes)
def test_any_bytes_are_a_part_of_the_file_or_nothing(value: bytes, size: int) -> None:
    found = part(value, size)
    assert found is None or set(found) <= set(range(size))


@given(st.lists(st.tuples(positions, positions), min_size=2, max_size=5), sizes)
def test_several_ranges_are_their_parts_each_byte_once_or_all_is_ignored(
    ranges: list[tuple[int, int]], size: int
) -> None:
    asked = b"bytes=" + b", ".join(b"%d-%d" % pair for pair in ranges)
    expected = [n for first, last in ranges for n in range(size) if first <= n <= last]
    makes_sense = all(first <= last for first, last in ranges)
    twice = len(set(expected)) < len(expected)
    assert part(asked, size) == (expected if makes_sense and not twice else None)


def test_too_many_ranges_are_ignored() -> None:
    ranges = [b"%d-%d" % (2 * n, 2 * n) for n in range(MAX_PARTS + 1)]
    assert parse_range(b"bytes=" + b",".join(ranges), 10_000) is None
    found = parse_range(b"bytes=" + b",".join(ranges[:-1]), 10_000)
    assert found is not None
    assert len(found) == MAX_PARTS


def test_several_parts_as_python_reads_mail() -> None:
    """An independent reader of multipart bodies finds each part with its place."""
    data = bytes(range(256)) * 4
    body = Multipart((Part(0, 3), Part(1000, 1024), Part(5, 6)), len(data), b"b" * 32)
    raw = b"".join(head + data[p.start : p.end] for head, p in body.pieces()) + body.end
    assert len(raw) == body.length
    found = email.message_from_bytes(b"Content-Type: " + body.content_type + b"\r\n" + raw, policy=email.policy.HTTP)
    assert [(p["Content-Range"], p.get_payload(decode=True)) for p in found.iter_parts()] == [
        ("bytes 0-2/1024", data[:3]),
        ("bytes 1000-1023/1024", data[1000:]),
        ("bytes 5-5/1024", data[5:6]),
    ]


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-x",
            "bytes=--1",
            "bytes=1",
            "items=0-1",
            "bytes=+1-2",
        ),
        *("bytes= 0-1", "bytes=0 - 1", "bytes=1-0", "bytes=0-1;", f"bytes={'9' * 5000}-", "bytes=\u0661-\u0662"),
    ],
)
def test_malformed_ranges_are_ignored(value: str) -> None:
    assert parse_range(value.encode(), 100) is None


def test_unit_may_be_written_in_any_case_and_numbers_may_be_huge() -> None:
    assert parse_range(b" Bytes=0-" + b"9" * 60, 100) == (Part(0, 100),)


def test_range_concerns_get_only_and_only_one_header() -> None:
    assert wanted(scope(range="bytes=1-2"), TAG, 10) == (Part(1, 3),)
    assert wanted(scope("HEAD", range="bytes=1-2"), TAG, 10) is None
    twice = scope(range="bytes=1-2")
    twice["headers"] *= 2
    assert wanted(twice, TAG, 10) is None


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [('"abc"', True), ('"other"', False), ('W/"abc"', False), ("Wed, 21 Oct 2026 07:28:00 GMT", False)],
)
def test_if_range_wants_the_same_bytes(if_range: str, applies: bool) -> None:
    found = wanted(scope(range="bytes=1-2", if_range=if_range), TAG, 10)
    assert found == ((Part(1, 3),) if applies else None)


def test_if_range_with_other_bytes_forgives_an_impossible_range() -> None:
    assert wanted(scope(range="bytes=50-", if_range='"other"'), TAG, 10) is None


@pytest.mark.parametrize("value", ["*", '"abc"', 'W/"abc"', '"x", "abc"', '"x",W/"abc" , "y"'])
def test_if_none_match_finds_what_the_client_has(value: str) -> None:
    assert not_modified(scope(if_none_match=value), TAG)


@pytest.mark.parametrize("value", ['"x"', "abc", "", '"abc', '"ab", "c"'])
def test_if_none_match_of_other_bytes_changes_nothing(value: str) -> None:
    assert not not_modified(scope(if_none_match=value), TAG)


def test_if_match_of_other_bytes_is_refused() -> None:
    assert not not_modified(scope(if_match='"x", "abc"'), TAG)
    assert not not_modified(scope(if_match="*"), TAG)
    for other in ('"x"', 'W/"abc"', ""):
        with pytest.raises(PreconditionFailedError):
            not_modified(scope(if_match=other), TAG)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_file_name_is_one_harmless_header(name: str) -> None:
    value = disposition(name)
    assert all(32 <= byte < 127 for byte in value)
    assert value.count(b'"') == 2
    plain, star, encoded = value.decode().partition("; filename*=UTF-8''")
    assert (unquote(encoded) if star else plain.removeprefix('attachment; filename="').removesuffix('"')) == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app-1.1.0.swu", 'attachment; filename="app-1.1.0.swu"'),
        ("a b;c.swu", 'attachment; filename="a b;c.swu"'),
        (
            'x"\r\nSet-Cookie: a=b',
            "attachment; filename=\"x___Set-Cookie: a=b\"; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20a%3Db",
        ),
        ("größe.bin", "attachment; filename=\"gr__e.bin\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.bin"),
    ],
)
def test_file_name_in_a_header(name: str, value: str) -> None:
    assert disposition(name) == value.encode()
