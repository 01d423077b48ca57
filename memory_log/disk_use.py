"""What a log takes on disk, inside a transaction. Knows tables by size, not by meaning, and which deltas are named."""

import math

from sqlalchemy import Connection, cast, func, select
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import OperationalError

from memory_log.fields import Record, UtcTime
from memory_log.records import VersionState
from memory_log.tables import experiences, metadata, targets, versions


class TableUse(Record):
    """One table with its indexes; `num_bytes` is None where SQLite was built without the means to tell.

    Example: TableUse(name="targets", num_rows=120, num_bytes=491520)
    """

    name: str
    num_rows: int
    num_bytes: int | None


class LogUse(Record):
    """What a log takes. In SQLite `num_bytes` is the size of its file once the WAL is taken up.

    Example: upkeep.use().free_bytes
    """

    num_bytes: int
    free_bytes: int
    """Of them, in pages that deleted rows have left: used again first, given back by a vacuum."""
    tables: tuple[TableUse, ...]
    num_experiences: int
    num_targets: int
    target_payload_bytes: int
    num_experiences_with_targets: int


class DeltaUse(Record):
    """The delta file that a version names, whether it is there or not.

    Example: [delta.path for delta in upkeep.deltas() if delta.state is VersionState.REJECTED]
    """

    path: str
    state: VersionState
    num_bytes: int
    created_at: UtcTime


def log_use(connection: Connection) -> LogUse:
    """Count and weigh everything in the log."""
    sizes = _sqlite_sizes(connection) if connection.dialect.name == "sqlite" else _postgresql_sizes(connection)
    tables = [
        TableUse(name=name, num_rows=_num_rows(connection, name), num_bytes=num_bytes)
        for name, num_bytes in sorted(sizes.items())
    ]
    if connection.dialect.name == "sqlite":
        page_bytes, num_pages, num_free = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_size", "page_count", "freelist_count")
        )
    else:
        page_bytes, num_pages, num_free = 1, sum(table.num_bytes or 0 for table in tables), 0
    held = connection.execute(
        select(
            func.count(), func.sum(func.length(targets.c.payload)), func.count(targets.c.experience_id.distinct())
        ).select_from(targets)
    ).one()
    return LogUse(
        num_bytes=page_bytes * num_pages, free_bytes=page_bytes * num_free, tables=tuple(tables),
        num_experiences=connection.execute(select(func.count()).select_from(experiences)).scalar_one(),
        num_targets=held[0], target_payload_bytes=held[1] or 0, num_experiences_with_targets=held[2],
    )  # fmt: skip


def log_bytes(connection: Connection) -> int:
    """What the log takes on disk, without counting anything in it."""
    if connection.dialect.name == "sqlite":
        sizes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_size", "page_count")]
        return math.prod(sizes)
    return sum(num_bytes or 0 for num_bytes in _postgresql_sizes(connection).values())


def _num_rows(connection: Connection, table: str) -> int:
    count: int = connection.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one()
    return count


def _sqlite_sizes(connection: Connection) -> dict[str, int | None]:
    owners = {"sqlite_schema": "sqlite_schema"}
    owners |= {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master")}
    sizes: dict[str, int | None] = dict.fromkeys(owners.values())
    try:
        for row in connection.exec_driver_sql("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE").all():
            owner = owners[row[0]]
            sizes[owner] = (sizes[owner] or 0) + row[1]
    except OperationalError:  # a SQLite built without dbstat
        return dict.fromkeys(sizes)
    return sizes


def _postgresql_sizes(connection: Connection) -> dict[str, int | None]:
    return {
        table.name: connection.execute(select(func.pg_total_relation_size(cast(table.name, REGCLASS)))).scalar_one()
        for table in metadata.sorted_tables
    }


def target_bytes(connection: Connection, lineage: str) -> int:
    """What the stored targets of a lineage weigh: their payloads, in bytes."""
    total = select(func.sum(func.length(targets.c.payload))).where(targets.c.lineage == lineage)
    return connection.execute(total).scalar() or 0


def delta_uses(connection: Connection) -> list[DeltaUse]:
    """Every delta that a version names, of all lineages, rejected versions' too."""
    statement = select(versions).where(versions.c.delta_path.is_not(None))
    return [
        DeltaUse(path=row.delta_path, state=row.state, num_bytes=row.delta_bytes, created_at=row.created_at)
        for row in connection.execute(statement.order_by(versions.c.lineage, versions.c.number))
    ]
