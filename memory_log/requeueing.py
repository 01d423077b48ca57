"""Giving experiences that were set aside another chance, inside a transaction."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from memory_log import experiences, happenings, leases, tables
from memory_log.errors import BadInput
from memory_log.records import Experience, ExperienceState
from memory_log.words import pieces

_SET_ASIDE = (ExperienceState.REFUSED, ExperienceState.DEAD)


def requeue(connection: Connection, ids: Sequence[int], now: datetime) -> list[Experience]:
    """Make refused, dead and put-off experiences pending; one that is pending already stays as it is."""
    wanted = sorted(set(ids))
    for lineage in sorted({one.lineage for one in experiences.by_ids(connection, wanted)}):
        known = select(tables.lineages.c.name).where(tables.lineages.c.name == lineage)
        if connection.execute(known).first() is not None:
            leases.lock(connection, lineage)
    # Read again: before the locks, an update may have claimed one.
    found = experiences.by_ids(connection, wanted)
    for one in found:
        if one.state not in (*_SET_ASIDE, ExperienceState.PENDING):
            raise BadInput(f"experience {one.id} is {one.state}; only refused, dead and put-off ones can be requeued")
    changed: defaultdict[tuple[str, str | None], list[int]] = defaultdict(list)
    for one in found:
        if one.state in _SET_ASIDE or one.not_before is not None:
            changed[one.lineage, one.reason].append(one.id)
    for (lineage, reason), numbers in changed.items():
        happenings.note(connection, lineage, numbers, "requeued", reason, now)
        for piece in pieces(numbers):
            connection.execute(
                update(tables.experiences)
                .where(tables.experiences.c.id.in_(piece))
                .values(state=ExperienceState.PENDING.value, reason=None, attempts=0, not_before=None)
            )
    return experiences.by_ids(connection, ids)
