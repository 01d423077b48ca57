"""Pausing inside a transaction: who keeps new updates of a lineage from beginning, since when and why.

Knows one table. Refuses to know updates: `batches.acquire` asks here before it hands out a lease.
"""

from sqlalchemy import Connection, delete, insert, select

from memory_log import tables
from memory_log.errors import UpdatesPaused
from memory_log.records import Pause

lineages, pauses = tables.lineages, tables.pauses


def pause(connection: Connection, new: Pause) -> Pause:
    """Let no new update of the lineage begin; the pause that stands, which is the earlier one where there was one."""
    _take_turns(connection, new.lineage)
    standing = find(connection, new.lineage)
    if standing is None:
        connection.execute(insert(pauses).values(new.model_dump()))
    return standing or new


def resume(connection: Connection, lineage: str) -> Pause | None:
    """Let updates begin again; the pause that stood, None without one."""
    _take_turns(connection, lineage)
    standing = find(connection, lineage)
    connection.execute(delete(pauses).where(pauses.c.lineage == lineage))
    return standing


def _take_turns(connection: Connection, lineage: str) -> None:
    # The row that `acquire` holds: an update that is beginning has begun, or will find the pause. A lineage that has no
    # row yet can be paused as well.
    connection.execute(select(lineages.c.name).where(lineages.c.name == lineage).with_for_update())


def find(connection: Connection, lineage: str) -> Pause | None:
    """The pause that stands."""
    row = connection.execute(select(pauses).where(pauses.c.lineage == lineage)).mappings().one_or_none()
    return None if row is None else Pause(**row)


def check(connection: Connection, lineage: str) -> None:
    """Raises:
    UpdatesPaused: with who, when, why, and the way out.
    """
    standing = find(connection, lineage)
    if standing is not None:
        raise UpdatesPaused(
            f"{standing.described}; what is told meanwhile waits. Go on with: selfparam resume --lineage {lineage}"
        )
