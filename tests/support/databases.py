"""Databases for tests: a fresh one for each test, on both engines.

One PostgreSQL server runs for each test process (an xdist worker is one), in a temporary folder of its own: pytest's
own folders are closed to other users, and as root the server runs as one. The schema is made once, as a template.
"""

import fcntl
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from otaru.adapters.sql.migrate import upgrade

MakeDatabase = Callable[[], str]
"""Makes a fresh database and returns its URL."""

_numbers = itertools.count(1)


class SqliteDatabases:
    """Makes SQLite files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"

    def empty(self) -> str:
        return f"sqlite:///{self._folder / f'{next(_numbers)}.db'}"

    def fresh(self) -> str:
        """With the schema."""
        if not self._template.exists():
            upgrade(f"sqlite:///{self._template}")
        url = self.empty()
        shutil.copyfile(self._template, str(make_url(url).database))
        return url

    def drop(self, url: str) -> None:
        """Take back the room of what `fresh` made."""
        for ending in ("", "-wal", "-shm"):
            Path(f"{make_url(url).database}{ending}").unlink(missing_ok=True)


class PostgresDatabases:
    """Makes databases in one server."""

    def __init__(self, uri: str) -> None:
        self._uri = make_url(uri)
        self._template = ""

    def _url(self, name: str) -> str:
        return self._uri.set(database=name).render_as_string(hide_password=False)

    def _create(self, template: str) -> str:
        name = f"test{next(_numbers)}"
        with psycopg.connect(self._uri.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return name

    def empty(self) -> str:
        return self._url(self._create("template0"))

    def fresh(self) -> str:
        """With the schema."""
        if not self._template:
            name = self._create("template0")
            upgrade(self._url(name))
            self._template = name
        return self._url(self._create(self._template))

    def drop(self, url: str) -> None:
        """Take back the room of what `fresh` made."""
        with psycopg.connect(self._uri.render_as_string(hide_password=False), autocommit=True) as connection:
            name = sql.Identifier(str(make_url(url).database))
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _start(folder: Path) -> Any:
    from pgserver.postgres_server import get_server

    # As root it adds a user first: one process at a time.
    with Path(tempfile.gettempdir(), "otaru-pg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return get_server(folder, cleanup_mode="delete")


@contextmanager
def postgres_server() -> Iterator[PostgresDatabases]:
    """A PostgreSQL server on a socket in a temporary folder, gone afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR when it is imported
        from pgserver._commands import pg_ctl  # type: ignore[attr-defined]  # made at import
    folder = Path(tempfile.mkdtemp(prefix="otaru-pg-"))
    server = _start(folder / "data")
    try:
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            # Its power is never cut; what durability costs is measured elsewhere.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield PostgresDatabases(uri)
    finally:
        # At once, since nothing of it is kept; then the wheel has only its folder to remove.
        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=server.pgdata, user=server.system_user)
        server._postmaster_info = None
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
