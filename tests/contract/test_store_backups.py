"""The port `Backups`, on both engines."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from otaru.adapters.sql.backups import SqlBackups
from otaru.adapters.sql.blob_rows import SqlBlobRows
from otaru.domain.backup import Backup
from otaru.domain.ids import DeviceId, Sha256
from otaru.domain.release import Blob
from tests.support.fleet import HERE, NOW, THERE, Shelf, later, open_shelf

ONE = Backup(DeviceId("dev-1"), Sha256("a" * 64), "000001", 1 << 33, "upload-1", NOW)


@pytest.fixture
def backups(database: str) -> Iterator[SqlBackups]:
    with open_shelf(database) as shelf:
        made: Shelf = shelf
        yield SqlBackups(made.session)


def test_one_comes_back_as_it_was_put_and_is_replaced(backups: SqlBackups) -> None:
    backups.put(HERE, ONE)
    assert backups.get(HERE, ONE.device, ONE.sha256) == ONE
    whole = replace(ONE, finished_at=later(5), upload="upload-2")
    backups.put(HERE, whole)
    assert backups.get(HERE, ONE.device, ONE.sha256) == whole
    assert backups.of_device(HERE, ONE.device) == [whole]
    backups.remove(HERE, ONE.device, ONE.sha256)
    backups.remove(HERE, ONE.device, ONE.sha256)
    assert backups.get(HERE, ONE.device, ONE.sha256) is None


def test_they_are_a_devices_and_a_tenants_own(backups: SqlBackups) -> None:
    newer = replace(ONE, sha256=Sha256("0" * 64), begun_at=later(1), size=5)
    others = replace(ONE, device=DeviceId("dev-2"), size=7)
    for one in (ONE, newer, others):
        backups.put(HERE, one)
    backups.put(THERE, replace(ONE, size=11))
    assert backups.of_device(HERE, ONE.device) == [newer, ONE]
    assert backups.size(HERE) == (1 << 33) + 12
    assert backups.size(THERE) == 11
    assert not backups.holds(HERE, ONE.sha256), "none of them is whole"
    backups.put(HERE, replace(others, finished_at=later(2)))
    assert backups.holds(HERE, ONE.sha256)
    assert not backups.holds(THERE, ONE.sha256)
    assert backups.get(THERE, others.device, others.sha256) is None


def test_what_was_removed_takes_no_room(backups: SqlBackups) -> None:
    backups.put(HERE, replace(ONE, size=9, finished_at=later(5)))
    assert backups.size(HERE) == 0
    SqlBlobRows(backups.session).add(HERE, Blob(ONE.sha256, "a" * 40, "a" * 32, 9), NOW, uploaded=False)
    assert (backups.size(HERE), backups.size(THERE)) == (9, 0)
