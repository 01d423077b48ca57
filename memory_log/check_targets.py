"""Checks of the target sentences: whose they are, which may be drawn, in which slots, and which are superseded.

Knows one snapshot of rows. Refuses to know sentences and payloads, and mends nothing.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, and_, func, not_, select

from memory_log import tables
from memory_log.check_versions import LINE
from memory_log.findings import MEND, RESTORE, Finding, Rule, broken
from memory_log.records import VersionState

targets, live, supersessions = tables.targets, tables.live_targets, tables.supersessions
experiences, batches, versions = tables.experiences, tables.batches, tables.versions


def check_targets(connection: Connection, now: datetime) -> Iterator[Finding]:
    """A target belongs to an experience that is there, and to an open batch or to the admitted version of its own."""
    named = select(targets.c.id).order_by(targets.c.id)
    own = and_(
        versions.c.lineage == targets.c.lineage, versions.c.number == targets.c.version,
        versions.c.batch_id == targets.c.batch_id, versions.c.state == VersionState.ADMITTED.value,
    )  # fmt: skip
    yield from broken(connection, "targets", [
        Rule("targets of an experience that is gone", targets_of_nobody(), MEND),
        Rule("targets of a batch that ended without a version", targets_of_ended_batches(), MEND),
        Rule(
            "targets that name another version than the one that was admitted for their batch",
            named.outerjoin(versions, own).where(targets.c.version.is_not(None), versions.c.number.is_(None)),
            RESTORE,
        ),
    ])  # fmt: skip


def targets_of_nobody() -> Select[Any]:
    """The (id, lineage) of targets without an experience."""
    joined = select(targets.c.id, targets.c.lineage).outerjoin(experiences, experiences.c.id == targets.c.experience_id)
    return joined.where(experiences.c.id.is_(None)).order_by(targets.c.id)


def targets_of_ended_batches() -> Select[Any]:
    """The (id, lineage) of targets of batches that were abandoned or rejected, which can never be drawn."""
    joined = select(targets.c.id, targets.c.lineage).join(batches, batches.c.id == targets.c.batch_id)
    ended = batches.c.state.in_(("abandoned", "rejected"))
    return joined.where(ended, targets.c.version.is_(None)).order_by(targets.c.id)


def check_replay(connection: Connection, now: datetime) -> Iterator[Finding]:
    """What can be drawn is what the head's line holds for true, in slots from 0 without holes."""
    yield from broken(connection, "replay", [
        Rule("targets that say another experience makes them untrue than the versions do", wrongly_superseded(), MEND),
        Rule("targets that cannot be drawn and should be", undrawable(), MEND),
        Rule("targets that can be drawn and should not be", wrongly_drawable(), MEND),
        Rule("lineages whose slots have holes", with_holes(), MEND),
    ])  # fmt: skip


def knows_better() -> Select[Any]:
    """(target_id, by_experience, version): what the latest version on the head's line says about each target."""
    on_line = and_(LINE.c.lineage == supersessions.c.lineage, LINE.c.number == supersessions.c.version)
    ranked = select(
        supersessions.c.target_id, supersessions.c.by_experience,
        func.row_number().over(
            partition_by=supersessions.c.target_id, order_by=supersessions.c.version.desc()
        ).label("place"),
    ).join(LINE, on_line).subquery()  # fmt: skip
    return select(ranked.c.target_id, ranked.c.by_experience).where(ranked.c.place == 1)


def wrongly_superseded() -> Select[Any]:
    """The (id, lineage) of targets whose `superseded_by` is not what the head's line says."""
    better = knows_better().subquery()
    return (
        select(targets.c.id, targets.c.lineage)
        .outerjoin(better, better.c.target_id == targets.c.id)
        .where(targets.c.superseded_by.is_distinct_from(better.c.by_experience))
        .order_by(targets.c.id)
    )


def should_be_live() -> Select[Any]:
    """(id, lineage, held_out) of targets that the head's line has learned and holds for true."""
    better = knows_better().subquery()
    on_line = and_(LINE.c.lineage == targets.c.lineage, LINE.c.number == targets.c.version)
    return (
        select(targets.c.id, targets.c.lineage, targets.c.held_out)
        .join(LINE, on_line)
        .outerjoin(better, better.c.target_id == targets.c.id)
        .where(better.c.target_id.is_(None))
    )


def undrawable() -> Select[Any]:
    """The (id, lineage) of targets without the slot that they should have."""
    wanted = should_be_live().subquery()
    joined = select(wanted.c.id, wanted.c.lineage).outerjoin(live, _same(wanted))
    return joined.where(live.c.target_id.is_(None)).order_by(wanted.c.id)


def wrongly_drawable() -> Select[Any]:
    """The (id, lineage) of slots that no target should have."""
    wanted = should_be_live().subquery()
    joined = select(live.c.target_id, live.c.lineage).outerjoin(wanted, _same(wanted))
    return joined.where(wanted.c.id.is_(None)).order_by(live.c.target_id)


def _same(wanted: Subquery) -> ColumnElement[bool]:
    same = (live.c.target_id == wanted.c.id, live.c.lineage == wanted.c.lineage, live.c.held_out == wanted.c.held_out)
    return and_(*same)


def with_holes() -> Select[Any]:
    """Lineages whose slots of one kind are not 0 to n-1."""
    without_holes = and_(func.min(live.c.slot) == 0, func.max(live.c.slot) == func.count() - 1)
    counted = select(live.c.lineage).group_by(live.c.lineage, live.c.held_out).having(not_(without_holes)).subquery()
    return select(counted.c.lineage).distinct().order_by(counted.c.lineage)
