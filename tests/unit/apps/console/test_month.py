"""The small calendar of blackouts."""

from datetime import UTC, date, datetime

from otaru.apps.console.month import WEEKS, Day, weeks
from otaru.domain.schedule import Blackout, Calendar, window

NOW = datetime(2026, 10, 21, 22, 30, tzinfo=UTC)
"""In Paris it is Thursday already."""


def days(*blackouts: Blackout, zone: str = "Europe/Paris") -> dict[date, Day]:
    found = weeks(Calendar(zone, blackouts), NOW)
    assert [len(week) for week in found] == [7] * WEEKS
    return {day.date: day for week in found for day in week}


def test_the_weeks_begin_on_monday_in_the_tenants_zone() -> None:
    found = list(days().values())
    assert (found[0].date, found[-1].date) == (date(2026, 10, 19), date(2026, 11, 29))
    assert [day.date for day in found if day.today] == [date(2026, 10, 22)]
    assert [day.date.day for day in found if day.past] == [19, 20, 21]
    assert not any(day.parts or day.words or day.whole for day in found)


def test_from_a_moment_to_another() -> None:
    found = days(Blackout(1, "fair", datetime(2026, 10, 23, 16, tzinfo=UTC), datetime(2026, 10, 26, 5, tzinfo=UTC)))
    assert found[date(2026, 10, 23)].parts == ((0.75, 1.0),)
    assert found[date(2026, 10, 23)].words == "18:00 to 24:00: fair"
    assert found[date(2026, 10, 24)].whole
    assert found[date(2026, 10, 25)].words == "all day: fair", "a day of 25 hours"
    assert found[date(2026, 10, 26)].parts == ((0.0, 0.25),)
    assert found[date(2026, 10, 26)].words == "00:00 to 06:00: fair"
    assert not found[date(2026, 10, 27)].parts


def test_until_it_is_removed() -> None:
    found = days(Blackout(1, "audit", datetime(2020, 1, 1, tzinfo=UTC)))
    assert all(day.whole and day.words == "all day: audit" for day in found.values())


def test_again_and_again_and_beside_others() -> None:
    market = Blackout(1, "market", window=window("08:00/10h device FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"))
    night = Blackout(2, "night", window=window("22:00/4h Europe/Paris"))
    found = days(market, night)
    assert found[date(2026, 11, 3)].words == "08:00 to 18:00: market; 00:00 to 02:00: night; 22:00 to 24:00: night"
    assert found[date(2026, 11, 1)].words == "00:00 to 02:00: night; 22:00 to 24:00: night"
    assert sum(len(day.parts) for day in found.values()) == 30 + 2 * 42


def test_a_zone_that_this_computer_does_not_know_is_utc() -> None:
    found = days(Blackout(1, "x", window=window("00:00/24h UTC")), zone="Mars/Olympus")
    assert [day.date for day in found.values() if day.today] == [date(2026, 10, 21)]
    assert all(day.whole for day in found.values())
