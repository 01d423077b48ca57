"""Where the logs of the throughput benchmark lie: files of SQLite, databases of a PostgreSQL server.

Knows how a whole database is copied, what it takes on disk, and how it is brought to rest. Refuses to know its rows.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import psycopg
from sqlalchemy.engine import make_url


class Place(Protocol):
    """Databases by name on one engine."""

    @property
    def engine(self) -> str:
        """`sqlite` or `postgresql`."""

    def url(self, name: str) -> str:
        """The URL under which `MemoryLog` opens this database."""

    def make(self, name: str) -> None:
        """An empty database."""

    def copy(self, source: str, name: str) -> None:
        """The same database once more. Nobody may have either open."""

    def drop(self, name: str) -> None:
        """Remove a database that nobody has open."""

    def rest(self, name: str) -> None:
        """VACUUM, statistics for the planner, and everything written out."""

    def num_bytes(self, name: str) -> int:
        """What the tables and their indexes take."""


class SqliteFiles:
    """Files of a folder."""

    engine: Final = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The database's file."""
        return self._folder / f"{name}.sqlite3"

    def url(self, name: str) -> str:
        return f"sqlite:///{self.path(name)}"

    def make(self, name: str) -> None:
        pass  # the file appears when it is opened

    def copy(self, source: str, name: str) -> None:
        self.rest(source)
        shutil.copyfile(self.path(source), self.path(name))

    def drop(self, name: str) -> None:
        for file in self._folder.glob(f"{name}.sqlite3*"):
            file.unlink()

    def rest(self, name: str) -> None:
        with closing(sqlite3.connect(self.path(name), isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def num_bytes(self, name: str) -> int:
        return sum(file.stat().st_size for file in self._folder.glob(f"{name}.sqlite3*"))


class PostgresqlDatabases:
    """Databases of a server."""

    engine: Final = "postgresql"

    def __init__(self, server_url: str) -> None:
        self._server_url = make_url(server_url)

    def url(self, name: str) -> str:
        return self._server_url.set(database=name).render_as_string(hide_password=False)

    def make(self, name: str) -> None:
        self._run(f'CREATE DATABASE "{name}"')

    def copy(self, source: str, name: str) -> None:
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{source}" STRATEGY FILE_COPY')

    def drop(self, name: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def rest(self, name: str) -> None:
        self._run("VACUUM (ANALYZE)", name)
        self._run("CHECKPOINT")

    def num_bytes(self, name: str) -> int:
        with psycopg.connect(self.url(name)) as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE nspname = 'public' AND relkind = 'r'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _run(self, statement: str, name: str | None = None) -> None:
        url = self.url(name) if name is not None else self._server_url.render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
