"""Forgetting inside a transaction: the one act that reaches into every table. Knows the order in which to do it."""

from datetime import datetime

from sqlalchemy import Connection, select

from memory_log import batches, experiences, happenings, leases, probes, tables, targets
from memory_log.records import Experience, ExperienceState


def forget(connection: Connection, experience_id: int, now: datetime) -> Experience:
    """Erase what was said and everything derived from it; the tombstone."""
    lineage = experiences.by_ids(connection, [experience_id])[0].lineage
    has_versions = select(tables.lineages.c.name).where(tables.lineages.c.name == lineage)
    if connection.execute(has_versions).first() is not None:
        leases.lock(connection, lineage)
    # Read again: before the lock, an update may have claimed it.
    state = experiences.by_ids(connection, [experience_id])[0].state
    if state is ExperienceState.LEASED:
        batches.abandon_open_batch(connection, lineage, f"experience {experience_id} was forgotten", now, crashed=False)
    targets.erase_of(connection, lineage, experience_id)
    probes.erase_of(connection, experience_id)
    experiences.erase(connection, experience_id)
    if state is not ExperienceState.FORGOTTEN:
        happenings.note(connection, lineage, [experience_id], "forgotten", None, now)
    return experiences.by_ids(connection, [experience_id])[0]
