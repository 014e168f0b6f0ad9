"""The port `Reports`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.domain.deployment import MAX_REPORTS, Event, Report
from otaru.domain.ids import ActionId, DeviceId, TenantId
from tests.support.fleet import HERE, NOW, THERE, Shelf, later, open_shelf

DEV = DeviceId("dev-1")
ONE = ActionId(1)
FIRST = Report(
    device=DEV,
    action=ONE,
    received_at=NOW,
    event=Event.DOWNLOAD,
    execution="proceeding",
    result="none",
    messages=("50 %", "ü 'quoted' \\ \n"),
    digest=b"\x00\xff" * 16,
    device_time="20261121T100000",
)


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def numbered(number: int) -> Report:
    return replace(FIRST, digest=number.to_bytes(32, "big"), received_at=later(number), event=None, messages=())


def test_reports_come_back_newest_first(shelf: Shelf) -> None:
    reports = [FIRST, numbered(2), numbered(1), replace(numbered(3), action=ActionId(2))]
    assert shelf.reports.add(HERE, reports) == [True] * 4
    assert shelf.reports.of_action(HERE, DEV, ONE, 10) == [reports[1], reports[2], FIRST]
    assert shelf.reports.of_action(HERE, DEV, ONE, 1) == [reports[1]]
    assert shelf.reports.of_action(HERE, DEV, ActionId(2), 10) == [reports[3]]
    assert shelf.reports.of_action(HERE, DeviceId("dev-2"), ONE, 10) == []


def test_the_same_report_twice_is_one(shelf: Shelf) -> None:
    again = replace(FIRST, received_at=later(5), messages=("other words",))
    other_action = replace(FIRST, action=ActionId(2))
    other_device = replace(FIRST, device=DeviceId("dev-2"))
    assert shelf.reports.add(HERE, [FIRST, again, other_action, other_device]) == [True, False, True, True]
    assert shelf.reports.add(HERE, [again, numbered(1), other_action]) == [False, True, False]
    assert shelf.reports.of_action(HERE, DEV, ONE, 10) == [numbered(1), FIRST]
    assert shelf.reports.add(HERE, []) == []


def test_words_beyond_the_limit_are_dropped(shelf: Shelf) -> None:
    reports = [numbered(n) for n in range(MAX_REPORTS + 2)]
    last = reports[MAX_REPORTS]
    assert shelf.reports.add(HERE, [*reports, last]) == [*([True] * (MAX_REPORTS + 2)), False]
    assert len(shelf.reports.of_action(HERE, DEV, ONE, 2 * MAX_REPORTS)) == MAX_REPORTS
    assert shelf.reports.add(HERE, [last, reports[0]]) == [True, False]
    assert len(shelf.reports.of_action(HERE, DEV, ONE, 2 * MAX_REPORTS)) == MAX_REPORTS


def test_a_tenant_reads_and_adds_its_own_reports_only(shelf: Shelf) -> None:
    assert shelf.reports.add(HERE, [FIRST]) == [True]
    theirs = replace(FIRST, messages=("theirs",))
    assert shelf.reports.add(THERE, [theirs]) == [True]
    assert shelf.reports.of_action(HERE, DEV, ONE, 9) == [FIRST]
    assert shelf.reports.of_action(THERE, DEV, ONE, 9) == [theirs]
    assert shelf.reports.of_action(TenantId("nobody"), DEV, ONE, 9) == []
