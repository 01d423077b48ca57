"""Mending a log inside a transaction: what can be derived anew from rows that are sure, and nothing else.

Each function takes a lineage's row before it changes anything of it, so that a worker waits its turn. Refuses to touch
replay where the versions are no sound line.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, inspect, or_, select, update

from memory_log import batches as queue
from memory_log import check_database, check_targets, check_versions, forgetting, leases, tables
from memory_log import targets as drawing
from memory_log.check_queue import ownerless_batches, put_off_too_long, unclean_tombstones
from memory_log.findings import counted
from memory_log.records import ExperienceState, VersionState
from memory_log.search_index import SEARCH_POSTGRESQL, SEARCH_SQLITE
from memory_log.words import pieces

lineages, versions, batches, experiences = tables.lineages, tables.versions, tables.batches, tables.experiences
targets, live = tables.targets, tables.live_targets


def end_leases(connection: Connection, now: datetime) -> Iterator[str]:
    """End leases that have expired and batches that nobody can commit; the death counts against what they held."""
    leased = select(lineages.c.name).where(lineages.c.lease_owner.is_not(None)).order_by(lineages.c.name)
    for name in connection.execute(leased).scalars().all():
        row = leases.lock(connection, name)
        if row.lease_owner is not None and not leases.is_held(connection, row, now):
            num_held = _num_held(connection, name)
            queue.expel(connection, row, now)
            yield (
                f"ended the lease of {row.lease_owner!r} on lineage {name!r}, which had expired; "
                f"{counted(num_held, 'experience')} that it held put back"
            )
    for row in connection.execute(ownerless_batches().where(lineages.c.name.is_not(None))).all():
        leases.lock(connection, row.lineage)
        # Before the lock somebody may have ended it and opened another one.
        if connection.execute(ownerless_batches().where(batches.c.id == row.id)).first() is not None:
            queue.abandon_open_batch(connection, row.lineage, "its lease was over; ended by doctor", now, crashed=True)
            yield f"ended batch {row.id} of lineage {row.lineage!r}, whose lease was over"


def _num_held(connection: Connection, lineage: str) -> int:
    held = experiences.join(batches, experiences.c.batch_id == batches.c.id)
    is_open = (batches.c.lineage == lineage, batches.c.state == "open")
    number: int = connection.execute(select(func.count()).select_from(held).where(*is_open)).scalar_one()
    return number


def put_back(connection: Connection, now: datetime) -> Iterator[str]:
    """Let experiences wait again that are leased to a batch which ended without learning them."""
    is_over = batches.c.state.in_(("abandoned", "rejected"))
    stranded = select(batches.c.lineage).join(experiences, experiences.c.batch_id == batches.c.id).where(is_over)
    for name in sorted(set(connection.execute(stranded).scalars())):
        leases.lock(connection, name)
        ended = select(batches.c.id).where(batches.c.lineage == name, is_over)
        changed = connection.execute(
            update(experiences)
            .where(experiences.c.lineage == name, experiences.c.batch_id.in_(ended))
            .values(state=ExperienceState.PENDING.value, batch_id=None)
        ).rowcount
        if changed:
            yield f"put {counted(changed, 'experience')} of lineage {name!r} back that no batch holds any more"


def stop_putting_off(connection: Connection, now: datetime) -> Iterator[str]:
    """Let experiences be tried again that wait for a time further away than any failure puts them off."""
    too_long = put_off_too_long(now).subquery()
    changed = connection.execute(
        update(experiences).where(experiences.c.id.in_(select(too_long.c.id))).values(not_before=None)
    ).rowcount
    if changed:
        yield f"let {counted(changed, 'experience')} be tried again at once"


def reject_candidates(connection: Connection, now: datetime) -> Iterator[str]:
    """Reject candidates whose batch has ended; their numbers stay taken."""
    for row in connection.execute(check_versions.stale_candidates()).all():
        leases.lock(connection, row.lineage)
        changed = connection.execute(
            update(versions)
            .where(versions.c.lineage == row.lineage, versions.c.number == row.number)
            .where(versions.c.state == VersionState.CANDIDATE.value)
            .values(state=VersionState.REJECTED.value, reason="its batch had ended; rejected by doctor")
        ).rowcount
        if changed:
            yield f"rejected candidate {row.number} of lineage {row.lineage!r}, which nobody can admit"


def derive_replay(connection: Connection, now: datetime) -> Iterator[str]:
    """Derive anew, from the versions of the head's line, which targets are superseded and which can be drawn."""
    sound = set(connection.execute(check_versions.sound_lines()).scalars())
    for name in sorted(sound & _lineages_with(connection, check_targets.wrongly_superseded())):
        leases.lock(connection, name)
        yield f"derived anew what supersedes {counted(_supersede_anew(connection, name), 'target')} of lineage {name!r}"
    wrong = (check_targets.undrawable(), check_targets.wrongly_drawable(), check_targets.with_holes())
    for name in sorted(sound & set().union(*(_lineages_with(connection, rows) for rows in wrong))):
        leases.lock(connection, name)
        num_live = _fill_slots(connection, name)
        yield f"filled the slots of lineage {name!r} anew: {counted(num_live, 'target')} can be drawn"


def _lineages_with(connection: Connection, rows: Select[Any]) -> set[str]:
    found = rows.subquery()
    return set(connection.execute(select(found.c.lineage).distinct()).scalars())


def _supersede_anew(connection: Connection, lineage: str) -> int:
    better = check_targets.knows_better().subquery()
    by_experience = select(better.c.by_experience).where(better.c.target_id == targets.c.id).scalar_subquery()
    wrong = check_targets.wrongly_superseded().where(targets.c.lineage == lineage)
    ids = connection.execute(wrong).scalars().all()
    for piece in pieces(ids):
        connection.execute(update(targets).where(targets.c.id.in_(piece)).values(superseded_by=by_experience))
    return len(ids)


def _fill_slots(connection: Connection, lineage: str) -> int:
    ours = select(targets.c.id).where(targets.c.lineage == lineage)
    connection.execute(delete(live).where(or_(live.c.lineage == lineage, live.c.target_id.in_(ours))))
    wanted = check_targets.should_be_live().where(targets.c.lineage == lineage).subquery()
    slot = func.row_number().over(partition_by=wanted.c.held_out, order_by=wanted.c.id) - 1
    rows = select(wanted.c.lineage, wanted.c.held_out, slot, wanted.c.id)
    connection.execute(insert(live).from_select(["lineage", "held_out", "slot", "target_id"], rows))
    return sum(drawing.num_live(connection, lineage, held_out) for held_out in (False, True))


def forget_rest(connection: Connection, now: datetime) -> Iterator[str]:
    """Forget again what was forgotten and of which something is left."""
    ids = connection.execute(unclean_tombstones()).scalars().all()
    for number in ids:
        forgetting.forget(connection, number, now)
    if ids:
        yield f"removed what was left of {counted(len(ids), 'forgotten experience')}"


def drop_targets(connection: Connection, now: datetime) -> Iterator[str]:
    """Delete targets whose experience is gone, or whose batch ended without a version."""
    for rows in (check_targets.targets_of_nobody(), check_targets.targets_of_ended_batches()):
        ids_of: dict[str, list[int]] = defaultdict(list)
        for row in connection.execute(rows):
            ids_of[row.lineage].append(row.id)
        for name, ids in sorted(ids_of.items()):
            leases.lock(connection, name)
            drawing.erase(connection, name, ids)
            yield f"deleted {counted(len(ids), 'target')} of lineage {name!r} that no version can draw"


def rebuild_search(connection: Connection, now: datetime) -> Iterator[str]:
    """Make the index of words anew where it is missing or does not agree with the experiences."""
    if check_database.search_fault(connection, is_quick=False) is None:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        for name in ("insert", "update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS experience_words_{name}")
        connection.exec_driver_sql("DROP TABLE IF EXISTS experience_words")
    else:
        connection.exec_driver_sql("DROP INDEX IF EXISTS experience_words")
    for statement in SEARCH_SQLITE if is_sqlite else SEARCH_POSTGRESQL:
        connection.exec_driver_sql(statement)
    if is_sqlite:
        connection.exec_driver_sql("INSERT INTO experience_words(experience_words) VALUES ('rebuild')")
    yield "made the index of words anew"


def make_indexes(connection: Connection, now: datetime) -> Iterator[str]:
    """Make the indexes that are missing."""
    inspector = inspect(connection)
    for table in tables.metadata.sorted_tables:
        there = {one["name"] for one in inspector.get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            if index.name not in there:
                index.create(connection)
                yield f"made the index {index.name} of {table.name}"
