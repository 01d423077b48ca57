"""The schema of a log that is being opened: made, brought up to date, or refused. Knows its number and its lock.

Refuses to know what a migration does, and how a connection is made.
"""

import uuid

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from memory_log import faults
from memory_log.errors import BadInput, SchemaTooNew
from memory_log.tables import SCHEMA_VERSION, metadata, schema_version

_LOCK = 7_307_119_203  # an arbitrary number that all processes share


def check(connection: Connection, place: str) -> None:
    """See that this release can read the log as it is.

    Raises:
        BadInput: it has an earlier schema.
        SchemaTooNew: it has a later one.
    """
    found = _found(connection)
    if found < SCHEMA_VERSION:
        raise BadInput(
            f"the log at {place} has schema version {found}, this release reads {SCHEMA_VERSION}: open it once where "
            "it can be written, which brings it up to date"
        )
    _check_not_newer(found)


def make(connection: Connection, place: str) -> bool:
    """Make the tables in an empty database, or bring them up to date, in a write transaction.

    Returns:
        False where that needs `remake`.

    Raises:
        BadInput: the log cannot be brought up to date.
        SchemaTooNew: it has a later schema.
    """
    if connection.dialect.name == "postgresql":
        # CREATE TABLE IF NOT EXISTS still fails when two processes race for it.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    if not connection.dialect.has_table(connection, schema_version.name):
        metadata.create_all(connection)
        row = {"id": 1, "version": SCHEMA_VERSION, "identity": uuid.uuid4().hex}
        connection.execute(insert(schema_version).values(row))
    found = _found(connection)
    _check_not_newer(found)
    if found < SCHEMA_VERSION and connection.dialect.name == "sqlite":
        return False
    if found < SCHEMA_VERSION:
        _bring_up_to_date(connection, place, found)
    return True


def remake(connection: Connection, place: str) -> None:
    """Bring SQLite's tables up to date, some of which are made anew.

    Args:
        connection: outside any transaction; it is closed afterwards, because it checks no foreign keys.
        place: for messages.

    Raises:
        BadInput: the log cannot be brought up to date.
        SchemaTooNew: it has a later schema.
    """
    try:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # of no effect inside a transaction
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        found = _found(connection)
        _check_not_newer(found)
        if found < SCHEMA_VERSION:  # else another process was quicker
            _bring_up_to_date(connection, place, found)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise _not_up_to_date(place, found, f"a row of {broken[0]} names one of {broken[2]} that is not there")
        connection.commit()
    finally:
        connection.invalidate()


def _found(connection: Connection) -> int:
    found: int = connection.execute(select(schema_version.c.version)).scalar_one()
    return found


def _check_not_newer(found: int) -> None:
    if found > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the log has schema version {found}, this release reads up to {SCHEMA_VERSION}; "
            "install the newer release that wrote it"
        )


def _bring_up_to_date(connection: Connection, place: str, found: int) -> None:
    from memory_log import migrations  # alembic is slow to import, and needed once in a log's life

    try:
        migrations.upgrade(connection, found)
    except DBAPIError as exc:
        if faults.named(exc, place) is not None:
            raise
        raise _not_up_to_date(place, found, faults.reason(exc)) from exc


def _not_up_to_date(place: str, found: int, reason: str) -> BadInput:
    return BadInput(
        f"the log at {place} cannot be brought up to date from schema version {found}: {reason}; nothing of it was "
        "changed: go on with the release that wrote it, or restore a back-up"
    )
