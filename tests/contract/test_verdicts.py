"""The port `Verdicts`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql import verdicts as module
from otaru.adapters.sql.verdicts import SqlVerdicts
from otaru.domain.evidence import Call, Finding, Said
from tests.support.fleet import HERE, ONE, THERE, Shelf, later, open_shelf


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    with open_shelf(database) as shelf:
        yield shelf


def said(second: int, segment: int | None = None, call: Call = Call.EXPAND) -> Said:
    found = Finding(segment, call, 1.5 * second, 5.25, second, 10 * second, ("hold: no outcome yet", "e-value 1 ≥ 2"))
    return Said(later(second), found)


def test_findings_come_back_newest_first_and_by_segment(shelf: Shelf) -> None:
    verdicts = SqlVerdicts(shelf.session)
    told = [said(1), said(2, 0), said(3, 1, Call.HOLD), said(4, 0, Call.STOP)]
    assert verdicts.add(HERE, ONE, told[:2]) == 2
    assert verdicts.add(HERE, ONE, told[2:]) == 2
    assert verdicts.of_rollout(HERE, ONE, None, 10) == [(4, told[3]), (3, told[2]), (2, told[1]), (1, told[0])]
    assert verdicts.of_rollout(HERE, ONE, 4, 2) == [(3, told[2]), (2, told[1])]
    assert verdicts.of_rollout(HERE, ONE, None, 10, 0) == [(4, told[3]), (2, told[1])]
    assert verdicts.of_rollout(HERE, ONE, None, 10, None) == [(1, told[0])]
    assert verdicts.newest(HERE, ONE) == {None: told[0], 0: told[3], 1: told[2]}


def test_tenants_and_rollouts_keep_their_own(shelf: Shelf) -> None:
    verdicts = SqlVerdicts(shelf.session)
    verdicts.add(HERE, ONE, [said(1)])
    assert verdicts.newest(THERE, ONE) == {}
    assert verdicts.of_rollout(THERE, ONE, None, 10) == []
    assert verdicts.newest(HERE, type(ONE)(2)) == {}
    assert verdicts.add(THERE, ONE, []) == 0


def test_what_comes_later_than_the_bound_is_not_kept(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VERDICTS", 3)
    verdicts = SqlVerdicts(shelf.session)
    assert verdicts.add(HERE, ONE, [said(1), said(2)]) == 2
    assert verdicts.add(HERE, ONE, [said(3), said(4)]) == 1
    assert verdicts.add(HERE, ONE, [said(5)]) == 0
    assert verdicts.newest(HERE, ONE) == {None: said(3)}


def test_only_what_is_new_is_news() -> None:
    first = said(1).finding
    assert first.news(None)
    assert not replace(first, failed=7, log_e=first.log_e + 0.1).news(first)
    assert replace(first, call=Call.HOLD).news(first)
    assert replace(first, log_e=first.log_e + 0.7).news(first)
    assert not replace(first, log_e=-3.0).news(replace(first, log_e=0.2))
