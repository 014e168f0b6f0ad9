"""Errands and alerts: the rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otaru.domain.alert import Alert, Found, checked
from otaru.domain.errand import ERRAND, OPEN, SAID, Asked, Event, Monitoring, State, Went, What, wanted
from otaru.domain.errand_book import Book
from otaru.errors import InvalidInputError

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_every_state_is_reached_and_what_ended_stays() -> None:
    assert ERRAND.reachable() == set(State)
    assert all(not ERRAND.allowed(state) for state in ERRAND.final)
    assert not ERRAND.final & OPEN


def test_nothing_is_done_that_was_not_taken() -> None:
    assert [state for (state, event) in ERRAND.table if event in {Event.DO, Event.FAIL}] == [State.TAKEN] * 2
    assert ERRAND.next(State.TAKEN, Event.CANCEL) is None, "who has begun is not recalled"
    assert set(SAID.values()) == {Event.TAKE, Event.DO, Event.FAIL, Event.REFUSE}


@pytest.mark.parametrize(
    ("what", "name", "life"),
    [
        (What.RUN, "", None),
        (What.REBOOT, "x", None),
        (What.RUN, "a b", None),
        (What.RUN, "../x", None),
        (What.DIAGNOSE, "", timedelta(seconds=1)),
        (What.DIAGNOSE, "", timedelta(days=31)),
    ],
)
def test_what_makes_no_sense_is_refused(what: What, name: str, life: timedelta | None) -> None:
    with pytest.raises(InvalidInputError):
        wanted(what, name, life)


def test_a_number_is_used_up_for_good() -> None:
    book = Book().begun(Asked(7, What.RUN, "x"), "boot")
    page = book.page(7)
    assert page is not None
    book = book.put(replace(page, went=Went(7, State.DONE))).told([7])
    assert (book.highest, book.pages, book.page(7)) == (7, (), None)


def test_what_is_off_is_not_told() -> None:
    assert Monitoring(off=("load",)).tells("battery")
    assert not Monitoring(off=("load",)).tells("load")
    assert not Monitoring(off=("*",)).tells("battery")


def an_alert(count: int = 2, share: float = 0.5) -> Alert:
    return Alert("low", "id==*", "", count, share, ("ops@example.org",), NOW)


def test_an_alert_is_raised_and_closed_once() -> None:
    quiet = an_alert().after(Found(1, 1), NOW)
    assert (quiet.raised_at, quiet.untold, quiet.found) == (None, False, Found(1, 1))
    assert an_alert().after(Found(2, 5), NOW).raised_at is None, "too small a share"
    raised = quiet.after(Found(3, 6), NOW)
    assert (raised.raised_at, raised.untold) == (NOW, True)
    later = NOW + timedelta(minutes=1)
    told = replace(raised, untold=False)
    again = told.after(Found(6, 6), later)
    assert (again.raised_at, again.changed_at, again.untold) == (NOW, NOW, False)
    closed = again.after(Found(0, 6), later)
    assert (closed.raised_at, closed.changed_at, closed.untold) == (None, later, True)
    assert an_alert(1, 0).after(Found(0, 0), NOW).raised_at is None, "nobody is not all"


@pytest.mark.parametrize(
    "address",
    ["", "ops", "a@b c", "a@b\nBcc: x@y", "a..b@c", "@x", "x@", "a@-b", "a,b@c", "a@b>", "é@x.org", "a" * 65 + "@x"],
)
def test_no_address_brings_headers_of_its_own(address: str) -> None:
    with pytest.raises(InvalidInputError):
        checked(1, 0, [address])


def test_thresholds_are_bounded() -> None:
    assert checked(1, 1, ["a@b", "a@b", "c+d@e.org"]) == ("a@b", "c+d@e.org")
    for count, share in ((0, 0.5), (1, -0.1), (1, 1.1), (1, float("nan"))):
        with pytest.raises(InvalidInputError):
            checked(count, share, [])
    with pytest.raises(InvalidInputError):
        checked(1, 0, [f"{n}@x" for n in range(11)])
