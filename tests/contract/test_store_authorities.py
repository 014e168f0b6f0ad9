"""The port `Authorities`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.authorities import SqlAuthorities
from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.session import Session
from otaru.domain.authority import Authority
from tests.support.stores import ACME, NOW, RIVAL, later

ROOT = Authority("a" * 64, "key-1", b"\0der", "", NOW, later(60))
WAITING = Authority("b" * 64, "key-2", None, "", later(1), None)


@pytest.fixture
def authorities(database: str) -> Iterator[SqlAuthorities]:
    engine = open_writer(database)
    with engine.connect() as connection:
        yield SqlAuthorities(Session(connection))
    engine.dispose()


def test_authorities_come_back_in_the_order_of_their_making(authorities: SqlAuthorities) -> None:
    assert authorities.add(ACME, WAITING)
    assert authorities.add(ACME, ROOT)
    assert not authorities.add(ACME, replace(ROOT, key="other"))
    assert authorities.add(RIVAL, ROOT)
    assert authorities.of(ACME) == [ROOT, WAITING]
    assert authorities.of(RIVAL) == [ROOT]
    assert authorities.every_certificate() == [b"\0der", b"\0der"]


def test_what_changes_is_kept(authorities: SqlAuthorities) -> None:
    authorities.add(ACME, WAITING)
    authorities.add(RIVAL, WAITING)
    certified = replace(WAITING, certificate=b"new", chain="above", expires_at=later(9))
    authorities.save(ACME, certified)
    assert authorities.of(ACME) == [certified]
    assert authorities.of(RIVAL) == [WAITING]
    authorities.save(ACME, replace(certified, retired_at=later(5)))
    assert authorities.of(ACME) == [replace(certified, retired_at=later(5))]


def test_which_signs() -> None:
    assert ROOT.signs(NOW)
    assert not ROOT.signs(later(60))
    assert not WAITING.signs(NOW)
    assert not replace(ROOT, retired_at=NOW).signs(NOW)
    assert not replace(ROOT, key="").signs(NOW)
