"""What looks like two devices with one identity, and what does not."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from otaru.domain import doubles
from otaru.domain.doubles import CLOSE, CROSSINGS, MAX_SUSPECTS, PERIOD, Doubles, Place

AT = datetime(2026, 11, 21, tzinfo=UTC)
A, B, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"
places = st.sampled_from([A, B, "192.0.2.3", SIX, ""])


def heard(found: Doubles[str], *addresses: str, apart: timedelta = CLOSE, since: datetime = AT) -> list[int]:
    """What is told when one device asks from these addresses, one after the other."""
    told = []
    for number, (before, after) in enumerate(pairwise(addresses)):
        at = since + number * apart
        told.append(found.crossed("d", Place(at, before), Place(at + apart, after)))
    return told


def test_to_and_fro_is_told_of_once_a_day() -> None:
    found: Doubles[str] = Doubles()
    assert heard(found, *[A, B] * 10) == [0] * (CROSSINGS - 1) + [CROSSINGS] + [0] * (20 - 1 - CROSSINGS)
    later = AT + PERIOD + timedelta(seconds=1)
    assert heard(found, A, B, A, B, A, since=later) == [0, 0, 0, CROSSINGS]


def test_what_is_no_pair_is_not_told_of() -> None:
    for addresses in ([A, B], [A, B, "192.0.2.3", "192.0.2.4", A], [A, SIX] * 10, [A, ""] * 10):
        assert set(heard(Doubles(), *addresses)) == {0}
    assert set(heard(Doubles(), *[A, B] * 10, apart=CLOSE + timedelta(microseconds=1))) == {0}
    one_way: Doubles[str] = Doubles()
    assert {one_way.crossed("d", Place(AT, A), Place(AT, B)) for _ in range(100)} == {0}


def test_devices_are_looked_at_apart() -> None:
    found: Doubles[int] = Doubles()
    assert {found.crossed(device, Place(AT, A), Place(AT, B)) for device in range(50)} == {0}
    assert {found.crossed(device, Place(AT, B), Place(AT, A)) for device in range(50)} == {0}


def test_memory_is_bounded() -> None:
    found: Doubles[int] = Doubles()
    for device in range(MAX_SUSPECTS + 10):
        found.crossed(device, Place(AT, A), Place(AT, B))
    assert len(found._suspects) == MAX_SUSPECTS
    many: Doubles[str] = Doubles()
    for number in range(1000):
        many.crossed("d", Place(AT, A), Place(AT, f"192.0.2.{number}"))
    assert len(many._suspects["d"].ways) == doubles._MAX_WAYS


@given(st.lists(st.tuples(places, st.timedeltas(timedelta(0), timedelta(hours=9))), max_size=60))
def test_it_is_told_at_most_once_in_a_day(asked: list[tuple[str, timedelta]]) -> None:
    found: Doubles[str] = Doubles()
    at, before, told = AT, Place(AT, A), []
    for address, wait in asked:
        at += wait / 9_000
        after = Place(at, address)
        if address != before.address and found.crossed("d", before, after):
            told.append(at)
        before = after
    assert len(told) <= 1
