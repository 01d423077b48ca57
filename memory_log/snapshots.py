"""Snapshots inside a transaction: which versions have stored sums, and in which files.

Knows paths, hashes and the line of a version. Refuses to know what is in a file. A snapshot saves time and nothing
else: whatever it holds follows from the deltas.
"""

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select

from memory_log import leases, tables, versions
from memory_log.errors import UnknownVersion
from memory_log.records import Snapshot, VersionState
from memory_log.words import pieces

snapshots, lineages = tables.snapshots, tables.lineages


def add(connection: Connection, new: Snapshot) -> Snapshot:
    """Record the stored sums of an admitted version; one that has some already keeps them.

    Raises:
        UnknownVersion: there is no such admitted version.
    """
    leases.lock(connection, new.lineage)
    version = versions.find(connection, new.lineage, new.version)
    if version.state is not VersionState.ADMITTED:
        raise UnknownVersion(f"version {new.version} is {version.state}; only an admitted one gets a snapshot")
    standing = [one for one in listed(connection, new.lineage) if one.version == new.version]
    if not standing:
        connection.execute(insert(snapshots).values(new.model_dump()))
    return standing[0] if standing else new


def listed(connection: Connection, lineage: str | None = None) -> list[Snapshot]:
    """Every snapshot by lineage and version, or those of one lineage."""
    statement = select(snapshots).order_by(snapshots.c.lineage, snapshots.c.version)
    if lineage is not None:
        statement = statement.where(snapshots.c.lineage == lineage)
    return [Snapshot(**row) for row in connection.execute(statement).mappings()]


def surplus(connection: Connection, keep: int) -> list[Snapshot]:
    """All snapshots but the newest `keep` on the line of each head."""
    found: list[Snapshot] = []
    for row in connection.execute(select(lineages.c.name, lineages.c.head).order_by(lineages.c.name)).all():
        line = versions.ancestry(connection, row.name, row.head)
        ours = listed(connection, row.name)
        on_line = [one.version for one in ours if one.version in line]
        found += [one for one in ours if one.version not in on_line[max(0, len(on_line) - keep) :]]
    return found


def drop(connection: Connection, lineage: str, numbers: Collection[int]) -> None:
    """Strike off the snapshots of these versions; their files are then named by nobody."""
    for piece in pieces(sorted(numbers)):
        connection.execute(delete(snapshots).where(snapshots.c.lineage == lineage, snapshots.c.version.in_(piece)))
