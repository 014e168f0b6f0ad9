"""The ports `Errands` and `Alerts`, on both engines, and how telemetry lies."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from otaru.adapters.sql.errands import SqlAlerts, SqlErrands
from otaru.domain.alert import Alert, Found
from otaru.domain.errand import Errand, State, What
from otaru.domain.health import HealthEvent, Kind, Spread
from otaru.domain.ids import DeviceId
from tests.support.fleet import HERE, NOW, THERE, Shelf, a_device, later, open_shelf

ONE, TWO = DeviceId("dev-1"), DeviceId("dev-2")


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


@pytest.fixture
def errands(shelf: Shelf) -> SqlErrands:
    return SqlErrands(shelf.session)


@pytest.fixture
def alerts(shelf: Shelf) -> SqlAlerts:
    return SqlAlerts(shelf.session)


def an_errand(number: int = 1, device: DeviceId = ONE, state: State = State.WAITING) -> Errand:
    ended = None if state in {State.WAITING, State.TAKEN} else later(number)
    return Errand(
        device,
        number,
        What.RUN,
        "it's",
        state,
        "user:ü",
        NOW,
        later(60 * number),
        NOW,
        ended,
        "c",
        "it's \\ ü\n",
        None,
        "",
    )


def test_errands_come_back_newest_first(errands: SqlErrands) -> None:
    assert errands.newest(HERE, ONE) == 0
    whole = replace(an_errand(3, state=State.DONE), what=What.DIAGNOSE, name="", size=7, sha256="ab", code="", text="")
    for errand in (an_errand(1), an_errand(2, state=State.TAKEN), whole, an_errand(1, TWO)):
        errands.add(HERE, errand)
    assert errands.of_device(HERE, ONE, None, 9) == [whole, an_errand(2, state=State.TAKEN), an_errand(1)]
    assert errands.of_device(HERE, ONE, 3, 1) == [an_errand(2, state=State.TAKEN)]
    assert (errands.newest(HERE, ONE), errands.newest(HERE, TWO), errands.newest(THERE, ONE)) == (3, 1, 0)
    assert (errands.get(HERE, ONE, 3), errands.get(THERE, ONE, 3), errands.get(HERE, ONE, 4)) == (whole, None, None)
    assert [one.number for one in errands.open_of(HERE, ONE)] == [1, 2]
    assert (set(errands.waited_for(HERE, 9)), errands.waited_for(THERE, 9)) == ({ONE, TWO}, [])
    assert (errands.open_in_all(HERE), errands.open_in_all(THERE)) == (3, 0)
    ended = an_errand(1, TWO, State.FAILED)
    errands.save(HERE, ended)
    assert errands.get(HERE, TWO, 1) == ended
    assert errands.waited_for(HERE, 9) == [ONE]
    assert [one.number for one in errands.due(HERE, later(60), 9)] == [1]
    assert [one.number for one in errands.due(HERE, later(120), 9)] == [1, 2]


def test_diagnostics_come_in_parts(errands: SqlErrands) -> None:
    errands.add(HERE, an_errand())
    assert errands.received(HERE, ONE, 1) == 0
    parts = [bytes(range(256)) * n for n in (4, 1, 2)]
    first = 0
    for part in parts:
        errands.put_part(HERE, ONE, 1, first, part)
        errands.put_part(HERE, ONE, 1, first, b"another")
        first += len(part)
    assert errands.received(HERE, ONE, 1) == first
    assert errands.parts(HERE, ONE, 1) == parts
    assert errands.parts(THERE, ONE, 1) == errands.parts(HERE, TWO, 1) == []
    errands.drop_parts(HERE, ONE, 1)
    assert errands.received(HERE, ONE, 1) == 0


def test_what_is_old_is_forgotten_but_the_newest(errands: SqlErrands) -> None:
    for number in (1, 2, 3):
        errands.add(HERE, replace(an_errand(number, state=State.DONE), size=3))
        errands.put_part(HERE, ONE, number, 0, b"old")
    errands.add(HERE, an_errand(1, TWO))
    day = timedelta(days=1)
    assert errands.prune(later(2) + timedelta(milliseconds=1), NOW - day, 10) == 2
    assert [errands.received(HERE, ONE, n) for n in (1, 2, 3)] == [0, 0, 3]
    assert [one.size for one in errands.of_device(HERE, ONE, None, 9)] == [3, None, None]
    assert errands.prune(NOW + day, NOW + day, 1) == 1
    while errands.prune(NOW + day, NOW + day, 1):
        pass
    assert [one.number for one in errands.of_device(HERE, ONE, None, 9)] == [3], "it says which numbers were used"
    assert errands.received(HERE, ONE, 3) == 0
    assert errands.open_in_all(HERE) == 1


def an_alert(name: str = "low") -> Alert:
    return Alert(name, "telemetry.battery<20", "tag=='ü'", 2, 0.25, ("a@b", "c'd@e"), NOW)


def test_alerts_come_back_by_name(alerts: SqlAlerts) -> None:
    assert [alerts.add(HERE, an_alert(name)) for name in ("b", "a", "a")] == [True, True, False]
    assert alerts.add(THERE, an_alert("a"))
    raised = replace(
        an_alert("b"),
        raised_at=later(1),
        changed_at=later(1),
        looked_at=later(2),
        found=Found(3, 9),
        untold=True,
        trouble="it's",
    )
    alerts.save(HERE, raised)
    assert alerts.page(HERE, None, 9) == [an_alert("a"), raised]
    assert alerts.page(HERE, "a", 9) == alerts.raised(HERE, 9) == [raised]
    assert (alerts.raised(THERE, 9), alerts.count(HERE), alerts.count(THERE)) == ([], 2, 1)
    assert [alerts.remove(tenant, "b") for tenant in (THERE, HERE, HERE)] == [False, True, False]
    assert alerts.get(HERE, "b") is None


def test_how_telemetry_lies(shelf: Shelf) -> None:
    shelf.stock(HERE, [a_device(f"dev-{n}") for n in range(11)])
    told = [
        HealthEvent(DeviceId(f"dev-{n}"), f"{name}-{n}", Kind.SAMPLE, NOW, name=name, value=value)
        for n in range(11)
        for name, value in (("battery", 10.0 * n), ("load", 1.0))
    ]
    shelf.health.add(HERE, told)
    assert shelf.health.measured(HERE, 9) == ["battery", "load"]
    assert (shelf.health.measured(HERE, 1), shelf.health.measured(THERE, 9)) == (["battery"], [])
    assert shelf.health.spread(HERE, "battery") == Spread("battery", 11, (0, 10, 50, 90, 100))
    assert shelf.health.spread(HERE, "load") == Spread("load", 11, (1,) * 5)
    assert shelf.health.spread(THERE, "battery") is shelf.health.spread(HERE, "x") is None
