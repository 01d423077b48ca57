"""Checks of the versions: one tree, one head, and each experience learned in at most one version of the head's line.

Knows one snapshot of rows. Refuses to know leases and targets, and mends nothing.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CTE, Connection, Select, and_, func, or_, select

from memory_log import tables
from memory_log.findings import MEND, RESTORE, Finding, Rule, broken
from memory_log.records import ExperienceState, VersionState

lineages, versions, batches = tables.lineages, tables.versions, tables.batches
members, experiences = tables.batch_members, tables.experiences

_ROLL = (
    "move the head away and back, which settles anew what is learned: selfparam --lineage LINEAGE rollback 0, "
    "then selfparam --lineage LINEAGE rollback HEAD"
)
_ADMITTED = VersionState.ADMITTED.value


def _line_of_heads() -> CTE:
    """The versions from each lineage's head back to its base: (lineage, number, parent, batch_id).

    A plain UNION ends also where damage has made the parents a circle.
    """
    columns = (versions.c.lineage, versions.c.number, versions.c.parent, versions.c.batch_id)
    line = (
        select(*columns)
        .join(lineages, and_(lineages.c.name == versions.c.lineage, lineages.c.head == versions.c.number))
        .cte("line", recursive=True)
    )
    below = and_(versions.c.lineage == line.c.lineage, versions.c.number == line.c.parent)
    return line.union(select(*columns).join(line, below))


LINE: Final = _line_of_heads()
"""One for all, since one statement may use it twice."""


def sound_lines() -> Select[Any]:
    """The names of lineages whose head goes back to version 0 over admitted versions only."""
    unadmitted = func.count().filter(versions.c.state != _ADMITTED)
    return (
        select(LINE.c.lineage)
        .join(versions, and_(versions.c.lineage == LINE.c.lineage, versions.c.number == LINE.c.number))
        .group_by(LINE.c.lineage)
        .having(func.min(LINE.c.number) == 0, unadmitted == 0)
        .order_by(LINE.c.lineage)
    )


def check_versions(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Versions form one tree for each lineage, on version 0, with admitted parents, and the head is one of them."""
    named = select(versions.c.number, versions.c.lineage).order_by(versions.c.lineage, versions.c.number)
    parent, base = versions.alias("parent"), versions.alias("base")
    with_parent = named.outerjoin(
        parent, and_(parent.c.lineage == versions.c.lineage, parent.c.number == versions.c.parent)
    )
    with_batch = named.outerjoin(batches, batches.c.id == versions.c.batch_id).where(versions.c.number > 0)
    heads = select(lineages.c.head, lineages.c.name).order_by(lineages.c.name)
    yield from broken(connection, "versions", [
        Rule(
            "lineages without version 0",
            select(lineages.c.name)
            .outerjoin(base, and_(base.c.lineage == lineages.c.name, base.c.number == 0))
            .where(base.c.number.is_(None)).order_by(lineages.c.name),
            RESTORE,
        ),
        Rule(
            "heads that are no admitted version",
            heads.outerjoin(versions, and_(
                versions.c.lineage == lineages.c.name, versions.c.number == lineages.c.head
            )).where(or_(versions.c.number.is_(None), versions.c.state != _ADMITTED)),
            "move the head to the last admitted version: see `selfparam versions`, then selfparam rollback N",
        ),
        Rule(
            "versions whose parent is missing, not admitted or not older",
            # One that was retired takes its children, all of them rejected too, with it.
            with_parent.where(versions.c.number > 0, or_(
                parent.c.number.is_(None), parent.c.number >= versions.c.number,
                and_(parent.c.state != _ADMITTED, versions.c.state != VersionState.REJECTED.value),
            )),
            RESTORE,
        ),
        Rule(
            "version numbers that two versions have",
            select(versions.c.number, versions.c.lineage)
            .group_by(versions.c.lineage, versions.c.number).having(func.count() > 1),
            RESTORE,
        ),
        Rule(
            "versions whose batch is another lineage's, or was opened on another parent",
            with_batch.where(or_(
                batches.c.id.is_(None), batches.c.lineage != versions.c.lineage,
                batches.c.parent_version != versions.c.parent,
            )),
            RESTORE,
        ),
        Rule(
            "admitted versions whose batch was not committed",
            with_batch.where(versions.c.state == _ADMITTED, batches.c.state != "committed"), RESTORE,
        ),
        Rule("committed batches without an admitted version", _unadmitted_batches(), RESTORE),
        Rule("candidates that nobody can admit, because their batch has ended", stale_candidates(), MEND),
    ])  # fmt: skip


def _unadmitted_batches() -> Select[Any]:
    made = and_(versions.c.batch_id == batches.c.id, versions.c.state == _ADMITTED)
    return (
        select(batches.c.id, batches.c.lineage)
        .outerjoin(versions, made)
        .where(batches.c.state == "committed", versions.c.number.is_(None))
        .order_by(batches.c.id)
    )


def stale_candidates() -> Select[Any]:
    """The (number, lineage) of candidates whose batch is not open."""
    return (
        select(versions.c.number, versions.c.lineage)
        .outerjoin(batches, batches.c.id == versions.c.batch_id)
        .where(versions.c.state == VersionState.CANDIDATE.value)
        .where(or_(batches.c.id.is_(None), batches.c.state != "open"))
        .order_by(versions.c.lineage, versions.c.number)
    )


def check_learned(connection: Connection, now: datetime) -> Iterator[Finding]:
    """What counts as learned was in the batch of a version of the head's line, and of one only."""
    learned = select(experiences.c.id).where(experiences.c.state == ExperienceState.LEARNED.value)
    in_line = learned.outerjoin(
        LINE, and_(LINE.c.lineage == experiences.c.lineage, LINE.c.number == experiences.c.learned_in)
    )
    own_batch = and_(members.c.batch_id == LINE.c.batch_id, members.c.experience_id == experiences.c.id)
    taught = LINE.join(members, members.c.batch_id == LINE.c.batch_id)
    others = (ExperienceState.LEARNED.value, ExperienceState.FORGOTTEN.value)
    yield from broken(connection, "learned", [
        Rule(
            "experiences learned in a version that the head does not continue",
            in_line.where(LINE.c.number.is_(None)).order_by(experiences.c.id), _ROLL,
        ),
        Rule(
            "experiences learned in a version whose batch does not name them",
            in_line.outerjoin(members, own_batch)
            .where(LINE.c.number.is_not(None), members.c.batch_id.is_(None)).order_by(experiences.c.id),
            "see `selfparam explain ID`; to learn it anew, forget it and tell it again: selfparam forget ID",
        ),
        Rule(
            "experiences learned twice on the head's line",
            select(members.c.experience_id).select_from(taught)
            .group_by(members.c.experience_id).having(func.count() > 1).order_by(members.c.experience_id),
            "nothing is lost; to undo the second time, roll back to the version before it: see `selfparam explain ID`",
        ),
        Rule(
            "experiences that a version of the head's line has learned, and that are said to wait or to be set aside",
            select(experiences.c.id)
            .select_from(taught.join(experiences, experiences.c.id == members.c.experience_id))
            .where(experiences.c.state.not_in(others)).order_by(experiences.c.id),
            _ROLL,
        ),
    ])  # fmt: skip
