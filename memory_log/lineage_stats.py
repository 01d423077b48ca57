"""How a lineage stands at one instant: counts and who has to do with it. Knows tables through their modules."""

from sqlalchemy import Connection, func, select

from memory_log import experiences, leases, listing, pauses, tables
from memory_log.fields import Record
from memory_log.listing import Selection
from memory_log.records import Experience, ExperienceState, Pause, UpdaterLease


class LineageStats(Record):
    """What waits in a lineage, who updates or pauses it, and what replay may draw from.

    Example: log.stats("default").counts[ExperienceState.PENDING]
    """

    lineage: str
    counts: dict[ExperienceState, int]
    oldest_pending: Experience | None
    """The one that the next update learns first."""
    head: int | None
    """The version that serves; None before the lineage has any."""
    lease: UpdaterLease | None
    """As it is on record; it may have expired."""
    pause: Pause | None
    num_targets: int


def stats(connection: Connection, lineage: str) -> LineageStats:
    """Read all of it."""
    pending = Selection(lineage=lineage, state=ExperienceState.PENDING)
    oldest = listing.page(connection, pending, 0, 1)
    head = select(tables.lineages.c.head).where(tables.lineages.c.name == lineage)
    num_targets = select(func.count()).where(tables.targets.c.lineage == lineage)
    return LineageStats(
        lineage=lineage, counts=experiences.count_by_state(connection, lineage),
        oldest_pending=oldest[0] if oldest else None, head=connection.execute(head).scalar(),
        lease=leases.current_lease(connection, lineage), pause=pauses.find(connection, lineage),
        num_targets=connection.execute(num_targets).scalar_one(),
    )  # fmt: skip
