"""Migrations and `tables` say the same, on both engines, and a database in any state is told apart."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from otaru.adapters.sql import tables
from otaru.adapters.sql.engine import open_reader, open_writer
from otaru.adapters.sql.migrate import check, config, upgrade
from otaru.adapters.sql.releases import SqlReleases
from otaru.adapters.sql.session import Session
from otaru.domain.ids import TenantId
from otaru.domain.release import ReleaseState
from otaru.domain.terms import Terms
from otaru.domain.versions import VersionOrder
from otaru.errors import DataFolderError, InvalidInputError
from otaru.trust.tuf.files import files_of_all
from tests.conftest import Databases


@pytest.fixture
def empty(databases: Databases) -> str:
    return databases.empty()


@pytest.fixture
def engine(empty: str) -> Iterator[Engine]:
    engine = open_writer(empty)
    yield engine
    engine.dispose()


SHAPE = {
    # Columns as SQLite reads them: a column that was added later stands elsewhere in the statement.
    "sqlite": """
    SELECT m.name, c.cid || '', c.name, c.type, c."notnull" || '', coalesce(c.dflt_value, '') || c.pk
    FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT IN ('alembic_version', 'sqlite_stat1')
    UNION ALL SELECT m.name, i.name, i.origin, i."unique" || '', i.partial || '', coalesce(x.sql, '')
    FROM sqlite_master m, pragma_index_list(m.name) i LEFT JOIN sqlite_master x ON x.name = i.name
    WHERE m.type = 'table' AND m.name NOT IN ('alembic_version', 'sqlite_stat1')
    UNION ALL SELECT m.name, i.name, x.name, x.seqno || '', '', ''
    FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) x
    WHERE m.type = 'table' AND m.name NOT IN ('alembic_version', 'sqlite_stat1')
    ORDER BY 1, 2, 3, 4""",
    "postgresql": "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    " UNION ALL SELECT tablename, indexname, indexdef, '', '', '' FROM pg_indexes"
    " WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1, 2",
}


SCRIPTS = ScriptDirectory.from_config(config())
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]


def shape(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(SHAPE[engine.dialect.name]))]


def test_they_make_what_the_tables_say(empty: str, engine: Engine, databases: Databases) -> None:
    assert upgrade(empty) == REVISIONS
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    made = open_writer(databases.empty())
    with made.begin() as connection:
        tables.metadata.create_all(connection)
    expected = shape(made)
    made.dispose()
    assert len(expected) > len(tables.metadata.tables)
    assert shape(engine) == expected


def test_releases_of_before_are_given_their_places(empty: str, engine: Engine) -> None:
    script = next(script for script in SCRIPTS.walk_revisions() if script.path.endswith("_release_terms.py"))
    with engine.connect() as connection:
        before = config(connection)
        before.attributes["applied"] = []
        command.upgrade(before, str(script.down_revision))
    old = "INSERT INTO release (tenant, product, version, state, notes, created_at, edition) VALUES"
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO product (tenant, product, created_at) VALUES ('t', 'app', 0)"))
        for version in ("1.9", "1.10"):
            connection.execute(text(f"{old} ('t', 'app', '{version}', 'draft', '', 0, 1)"))
    upgrade(empty)
    with engine.connect() as connection:
        found = SqlReleases(Session(connection)).ranked(TenantId("t"), None, None, 9)
    assert [r.version for r in found] == ["1.10", "1.9"]
    assert {(r.terms, r.counter, r.order) for r in found} == {(Terms(), 0, VersionOrder.AUTO)}


def test_what_is_signed_is_listed_as_before(empty: str, engine: Engine) -> None:
    """Published before roles knew channels and counters: the very targets that 0008 signed. Drafts go to their channel."""
    with engine.connect() as connection:
        before = config(connection)
        before.attributes["applied"] = []
        command.upgrade(before, "0008")
    added = (
        "INSERT INTO release (tenant, product, version, state, notes, created_at, published_at, edition, channel, counter)"
        " VALUES ('t', 'app', :version, :state, '', 0, :published, 1, :channel, :counter)"
    )
    there = (
        ("1", "published", 5, "stable", 0),
        ("2", "deprecated", 5, "lts", 7),
        ("3", "withdrawn", 5, "lts", 7),
        ("4", "draft", None, "lts", 7),
        ("5", "draft", None, "LTS_2", 7),
        ("6", "published", 5, "Old One", 7),
    )
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO product (tenant, product, created_at) VALUES ('t', 'app', 0)"))
        connection.execute(text("INSERT INTO blob VALUES ('t', :sha256, 's', 'm', 3, 0)"), {"sha256": "a" * 64})
        for version, state, published, channel, counter in there:
            row = {"version": version, "state": state, "published": published, "channel": channel, "counter": counter}
            connection.execute(text(added), row)
            part = "INSERT INTO artifact VALUES ('t', 'app', :version, 'app', 'pi', '', 'fw', :sha256)"
            connection.execute(text(part), {"version": version, "sha256": "a" * 64})
    upgrade(empty)
    with engine.connect() as connection:
        found = SqlReleases(Session(connection)).page(TenantId("t"), None, None, 9)
    out = [release for release in found if release.state in {ReleaseState.PUBLISHED, ReleaseState.DEPRECATED}]
    assert {release.signing_channel for release in out} == {"stable"}
    assert {path: file.to_dict() for path, file in files_of_all("product.app.stable", out).items()} == {
        f"app/stable/{version}/fw": {
            "length": 3,
            "hashes": {"sha256": "a" * 64},
            "custom": {
                "component": "app",
                "hardwareIds": ["pi"],
                "installer": "file",
                "releaseCounter": 0,
                "version": version,
            },
        }
        for version in ("1", "2", "6")
    }
    drafts = {release.version: release for release in found if release.state is ReleaseState.DRAFT}
    assert [(r.signing_channel, r.listed_counter) for r in drafts.values()] == [("lts", 7), ("stable", 0)]


def test_a_second_upgrade_does_nothing(empty: str) -> None:
    upgrade(empty)
    assert upgrade(empty) == []


def test_processes_that_start_together_all_end_well(empty: str) -> None:
    program = "import sys; from otaru.adapters.sql.migrate import upgrade; print(upgrade(sys.argv[1]))"
    command = [sys.executable, "-c", program, empty]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert sorted(outputs) == sorted([str(REVISIONS), "[]"])


def test_threads_that_start_together_all_end_well(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(upgrade, [empty] * 4)) == [[], [], [], REVISIONS]


def test_check_tells_the_states_apart(empty: str, engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        state = check(empty)
        assert (state.current, state.pending, state.ok) == (None, tuple(REVISIONS), False)
    upgrade(empty)
    state = check(empty)
    assert state.ok
    assert state.current == state.head == REVISIONS[-1]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE report"))
    assert check(empty).problems == ("table report is missing",)


def test_check_does_not_make_a_database(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="no database"):
        check(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_is_refused(empty: str, engine: Engine) -> None:
    upgrade(empty)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for function in (upgrade, check):
        with pytest.raises(DataFolderError, match="9999"):
            function(empty)


def test_somebody_elses_tables_are_not_touched(empty: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE device (id integer)"))
    with pytest.raises(DataFolderError, match="not made by us"):
        upgrade(empty)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "otaru.db"
    path.write_bytes(b"this is no database at all" * 100)
    for function in (upgrade, check):
        with pytest.raises(DataFolderError, match="cannot be"):
            function(f"sqlite:///{path}")


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "otaru.db"
    upgrade(f"sqlite:///{path}")
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 3 + 600] = b"\xff" * 600
    path.write_bytes(content)
    assert not check(f"sqlite:///{path}").ok


def test_a_reader_does_not_wait_for_a_migration(empty: str, engine: Engine) -> None:
    upgrade(empty)
    reader = open_reader(empty)
    with engine.connect() as writing, writing.begin():
        writing.execute(text("ALTER TABLE product ADD COLUMN later INTEGER"))
        if engine.dialect.name == "sqlite":  # PostgreSQL locks the one table that changes
            with reader.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM product")).scalar() == 0
        with reader.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM device")).scalar() == 0
    reader.dispose()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite://host/x.db", "no url"])
def test_an_address_of_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        upgrade(url)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="does not exist"):
        upgrade(f"sqlite:///{tmp_path}/missing/otaru.db")
