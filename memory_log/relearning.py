"""Relearning without some experiences, inside a transaction: what has to be done again, and versions that are retired.

Knows the chain and the batches of its versions. Refuses to know how an update is made.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from memory_log import batches, experiences, happenings, leases, snapshots, tables, targets, versions
from memory_log.errors import BadInput, UnknownExperience
from memory_log.fields import Record
from memory_log.records import ExperienceState, UpdaterLease, Version, VersionState
from memory_log.words import pieces

members, supersessions = tables.batch_members, tables.supersessions


class RelearnedBatch(Record):
    """One update to do again.

    Example: RelearnedBatch(version=3, experience_ids=(4, 6), seconds=11.5)
    """

    version: int
    """That it made the first time."""
    experience_ids: tuple[int, ...]
    """What it learned, without what is left out."""
    seconds: float
    """What it took the first time, from batch stored to version admitted; 0 where that is not on record."""


class RelearnPlan(Record):
    """What relearning without some experiences would do.

    Example: sum(one.seconds for one in log.relearn_plan("default", [3]).batches)
    """

    lineage: str
    without: tuple[int, ...]
    head: int
    goal: int | None
    """The version to go back to, the last on the head's line that knows none of them; None where the head is one."""
    batches: tuple[RelearnedBatch, ...]
    """To learn anew on top of it, in this order; those of which nothing is left are not named."""
    knowing: tuple[Version, ...]
    """Every admitted version that knows one of them, on the head's line or beside it: these are retired at the end."""


def plan(connection: Connection, lineage: str, ids: Collection[int]) -> RelearnPlan:
    """What relearning without these would do.

    Raises:
        UnknownExperience: one is not in the lineage.
    """
    without = tuple(sorted(set(ids)))
    for one in experiences.by_ids(connection, without):
        if one.lineage != lineage:
            raise UnknownExperience(f"experience {one.id} is of lineage {one.lineage!r}, not of {lineage!r}")
    head, knowing = versions.head(connection, lineage), _knowing(connection, lineage, without)
    numbers = {one.number for one in knowing}
    line = versions.chain(connection, lineage, head.number)
    first = next((place for place, one in enumerate(line) if one.number in numbers), None)
    again = [] if first is None else [_again(connection, one, without) for one in line[first:]]
    return RelearnPlan(
        lineage=lineage, without=without, head=head.number, goal=None if first is None else line[first].parent,
        batches=tuple(one for one in again if one.experience_ids), knowing=tuple(knowing),
    )  # fmt: skip


def _knowing(connection: Connection, lineage: str, ids: Collection[int]) -> list[Version]:
    learned_in = {
        one.version
        for number in ids
        for one in batches.memberships(connection, number)
        if one.state == "committed" and one.version is not None
    }
    found = happenings.knowing(connection, lineage, learned_in)
    return [one for one in versions.listed(connection, lineage) if one.number in found]


def _again(connection: Connection, version: Version, without: Collection[int]) -> RelearnedBatch:
    row = connection.execute(select(tables.batches).where(tables.batches.c.id == version.batch_id)).one()
    learned = select(tables.experiences.c.id).join(members, members.c.experience_id == tables.experiences.c.id).where(
        members.c.batch_id == version.batch_id, tables.experiences.c.state == ExperienceState.LEARNED.value,
    )  # fmt: skip
    ids = connection.execute(learned.order_by(tables.experiences.c.id)).scalars()
    seconds = 0.0 if row.ended_at is None else (row.ended_at - row.opened_at).total_seconds()
    return RelearnedBatch(
        version=version.number, experience_ids=tuple(one for one in ids if one not in without),
        seconds=max(0.0, seconds),
    )  # fmt: skip


def go_back(connection: Connection, lease: UpdaterLease, number: int, now: datetime) -> Version:
    """Move the head to an admitted version under a lease, so that nobody else updates the lineage in between.

    Raises:
        LeaseLost: the lease is over.
        BadInput: a batch is open under it.
    """
    row = leases.hold(connection, lease)
    if batches.has_open(connection, lease.lineage):
        raise BadInput(f"lineage {lease.lineage!r} has an open batch; admit or reject it first")
    return versions.move_head(connection, row, number, now)


def retire(connection: Connection, lineage: str, ids: Collection[int]) -> list[Version]:
    """Reject the admitted versions that know forgotten experiences, with their target sentences; those that were.

    Such a version is never served again and never gone back to; its delta is named by nobody.

    Raises:
        BadInput: the head knows one of them, or one is not forgotten.
    """
    head: int = leases.lock(connection, lineage).head
    kept = [one.id for one in experiences.by_ids(connection, sorted(set(ids))) if one.state != "forgotten"]
    if kept:
        raise BadInput(f"got experiences {kept}, which are not forgotten; what knows them need not go")
    retired = _knowing(connection, lineage, ids)
    numbers = [one.number for one in retired]
    if head in numbers:
        raise BadInput(f"version {head} serves and knows what was forgotten; relearn without it first")
    forgotten = ", ".join(f"experience {number}" for number in sorted(set(ids)))
    reason = f"retired: it knows what was forgotten ({forgotten})"
    for piece in pieces(numbers):
        taught = select(tables.targets.c.id).where(
            tables.targets.c.lineage == lineage, tables.targets.c.version.in_(piece)
        )
        targets.erase(connection, lineage, connection.execute(taught).scalars().all())
        connection.execute(
            delete(supersessions).where(supersessions.c.lineage == lineage, supersessions.c.version.in_(piece))
        )
        made_by = select(tables.versions.c.batch_id).where(
            tables.versions.c.lineage == lineage, tables.versions.c.number.in_(piece)
        )
        connection.execute(
            update(tables.batches).where(tables.batches.c.id.in_(made_by)).values(state="rejected", reason=reason)
        )
        connection.execute(
            update(tables.versions)
            .where(tables.versions.c.lineage == lineage, tables.versions.c.number.in_(piece))
            .values(state=VersionState.REJECTED.value, reason=reason)
        )
    snapshots.drop(connection, lineage, numbers)
    return [versions.find(connection, lineage, number) for number in numbers]
