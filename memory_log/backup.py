"""A copy of a SQLite log that is in use, and the examination of a copy that comes from somewhere else.

Knows the database file as a whole. Refuses to know archives, homes and what is in a delta.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Engine, NullPool, create_engine, func, select
from sqlalchemy.exc import DBAPIError

from memory_log.engines import BUSY_SECONDS
from memory_log.errors import BackupCorrupt, BadInput, SchemaTooNew
from memory_log.fields import Record
from memory_log.records import DeltaRef, Snapshot, VersionState
from memory_log.tables import SCHEMA_VERSION, experiences, lineages, metadata, schema_version, snapshots, versions

_PAGES_A_STEP = 256
# SQLite from 3.44 on checks the index of words too, and says this where it may not write, which it wants to for that.
_NOT_CHECKED = "unable to validate the inverted index"
PROGRAMS = "SELECT sql FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
"""The text of what runs by itself in SQLite when rows are read or written."""


class LogContents(Record):
    """What a log file holds, as far as a back-up must know it.

    Example: LogContents(base_fingerprints={"default": "9f86"}, num_experiences=3, deltas=())
    """

    base_fingerprints: dict[str, str]
    """The fingerprint of the base model of each lineage."""
    num_experiences: int
    deltas: tuple[DeltaRef, ...]
    """Of the admitted versions. A candidate's is left out: whoever could admit it is not in the copy."""
    snapshots: tuple[Snapshot, ...] = ()
    """Of any version; logs of before schema 4 have none."""


def copy_log(source: Path, destination: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a log as it is at one instant, while others read and write it; the copy is one file without a WAL.

    Args:
        source: the database file in use.
        destination: a path that is not there yet.
        progress: called with (pages done, all pages).

    Raises:
        BadInput: the log is damaged, or there is no room for the copy.
    """
    try:
        _copy(source, destination, progress)
    except sqlite3.Error as exc:
        raise BadInput(
            f"the log {source} cannot be copied: {exc}; check that it is whole and that {destination.parent} has room"
        ) from exc


def _copy(source: Path, destination: Path, progress: Callable[[int, int], None]) -> None:
    with closing(_connect(source, "rw")) as reader, closing(sqlite3.connect(destination)) as writer:
        # Inside a read transaction every step copies from the same snapshot; outside, each commit of somebody else
        # would begin the copy anew, and a busy log would never be done.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reader.backup(
            writer, pages=_PAGES_A_STEP, progress=lambda _, remaining, total: progress(total - remaining, total)
        )
        reader.execute("COMMIT")
        writer.execute("PRAGMA journal_mode=DELETE")


def examine_log(path: Path) -> LogContents:
    """Verify a log file that nobody has open, without changing it.

    Raises:
        BackupCorrupt: SQLite finds it damaged, or it holds what no log of ours does.
        SchemaTooNew: a newer release made it.
    """
    try:
        with closing(_connect(path, "ro&immutable=1")) as connection:
            _check_whole(connection)
        return _contents(path)
    except (sqlite3.Error, DBAPIError) as exc:
        raise BackupCorrupt(f"the log in it is no database that can be read: {getattr(exc, 'orig', exc)}") from exc
    except ValidationError as exc:
        raise BackupCorrupt("the log in it holds a version that no release has written") from exc


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    # A file from elsewhere is read as rows, never as instructions.
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _check_whole(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA cell_size_check=ON")
    said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    faults = [line for line in said if line != "ok" and not line.startswith(_NOT_CHECKED)]
    if faults:
        raise BackupCorrupt(f"the log in it is damaged: {'; '.join(faults)}")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if schema_version.name not in tables:
        raise BackupCorrupt("the database in it is not a log: it has no schema version")
    found = connection.execute("SELECT version FROM schema_version").fetchone()
    if found is None or not isinstance(found[0], int):
        raise BackupCorrupt("the database in it is not a log: its schema version is no number")
    if found[0] > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the log has schema version {found[0]}, this release reads up to {SCHEMA_VERSION}; install the newer "
            "release that wrote it"
        )
    strangers = _programs(connection) - own_programs()
    if strangers:
        raise BackupCorrupt(f"the log in it holds programs that no log of ours has: {sorted(strangers)[0][:80]!r}")
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise BackupCorrupt(f"the log in it is damaged: a row of {broken[0]} names a row of {broken[2]} that is gone")


def _programs(connection: sqlite3.Connection) -> set[str]:
    """The text of what runs by itself when rows are read or written: triggers, views and virtual tables."""
    return {str(row[0]) for row in connection.execute(PROGRAMS)}


def own_programs() -> set[str]:
    """The text of the triggers, views and virtual tables that a log of this release has in SQLite."""
    engine = create_engine("sqlite://")
    try:
        metadata.create_all(engine)
        with engine.connect() as connection:
            return {str(row[0]) for row in connection.exec_driver_sql(PROGRAMS)}
    finally:
        engine.dispose()


def _contents(path: Path) -> LogContents:
    engine = _read_only(path)
    with engine.connect() as connection:
        admitted = select(versions).where(
            versions.c.state == VersionState.ADMITTED.value, versions.c.delta_path.is_not(None)
        )
        deltas = tuple(
            DeltaRef(path=row.delta_path, sha256=row.delta_sha256, kind=row.delta_kind, num_bytes=row.delta_bytes)
            for row in connection.execute(admitted.order_by(versions.c.lineage, versions.c.number))
        )
        fingerprints = {row.name: row.base_fingerprint for row in connection.execute(select(lineages))}
        num_experiences = connection.execute(select(func.count()).select_from(experiences)).scalar_one()
        stored = tuple(
            Snapshot(**row)
            for row in (
                connection.execute(select(snapshots).order_by(snapshots.c.lineage, snapshots.c.version)).mappings()
                if connection.dialect.has_table(connection, snapshots.name)
                else ()
            )
        )
    return LogContents(
        base_fingerprints=fingerprints, num_experiences=num_experiences, deltas=deltas, snapshots=stored
    )


def _read_only(path: Path) -> Engine:
    return create_engine("sqlite://", creator=lambda: _connect(path, "ro&immutable=1"), poolclass=NullPool)
