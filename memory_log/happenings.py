"""The story of an experience inside a transaction: what batches tell, and the rare things that are noted beside them.

Knows what follows from what. Refuses to change anything but its notes.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, insert, literal, or_, select

from memory_log import tables
from memory_log.prepared import literally
from memory_log.records import Experience, Happening, HappeningKind, Membership

happenings, experiences, versions = tables.happenings, tables.experiences, tables.versions

NoteKind = Literal["refused", "died", "requeued", "forgotten", "rolled_back"]


def note(
    connection: Connection, lineage: str, ids: Sequence[int], kind: NoteKind, detail: str | None, now: datetime
) -> None:
    """Put down that something happened to these experiences."""
    rows = [
        {"lineage": lineage, "experience_id": number, "kind": kind, "detail": detail, "time": now}
        for number in ids
    ]
    if rows:
        connection.execute(insert(happenings), rows)


def note_members(
    connection: Connection, batch_id: int, kind: NoteKind, detail: str, now: datetime, *only: ColumnElement[bool]
) -> None:
    """Put down that something happens to the experiences that a batch holds."""
    held = select(
        experiences.c.lineage, experiences.c.id, literal(now, happenings.c.time.type), literal(kind), literal(detail)
    ).where(experiences.c.batch_id == batch_id, *only)
    columns = ["lineage", "experience_id", "time", "kind", "detail"]
    connection.execute(insert(happenings).from_select(columns, held.order_by(experiences.c.id)))


def note_rollback(connection: Connection, lineage: str, version: int, now: datetime) -> None:
    """Put down that the head was moved."""
    row = {"lineage": lineage, "kind": "rolled_back", "version": version, "time": now}
    connection.execute(insert(happenings).values(row))


def story(connection: Connection, experience: Experience, memberships: Sequence[Membership]) -> list[Happening]:
    """Everything that happened to an experience, in the order in which it did.

    Args:
        experience: as it stands.
        memberships: the batches that it was in.
    """
    rows = connection.execute(
        select(happenings)
        .where(
            or_(
                happenings.c.experience_id == experience.id,
                (happenings.c.lineage == experience.lineage) & (happenings.c.kind == literally("rolled_back")),
            )
        )
        .order_by(happenings.c.id)
    ).all()
    found = [Happening(time=experience.appended_at, kind=HappeningKind.APPENDED)]
    for one in memberships:
        found += _of_batch(one)
    found += [
        Happening(time=row.time, kind=HappeningKind(row.kind), detail=row.detail)
        for row in rows
        if row.experience_id is not None
    ]
    learned = {one.version: one for one in memberships if one.state == "committed" and one.version is not None}
    if learned:
        moves = [(row.time, row.version) for row in rows if row.experience_id is None]
        found += _unlearned_and_back(connection, experience.lineage, learned, moves)
    # Batches come in the order of their ids; a sort that keeps it leaves what happened at one instant as it was.
    return sorted(found, key=lambda one: one.time)


def _of_batch(one: Membership) -> Iterator[Happening]:
    yield Happening(
        time=one.opened_at, kind=HappeningKind.CLAIMED, batch_id=one.batch_id,
        detail=f"with {one.num_experiences - 1} others" if one.num_experiences > 1 else "alone",
    )  # fmt: skip
    if one.state == "open":
        return
    ended_at = one.ended_at or one.opened_at
    if one.state == "committed":
        yield Happening(
            time=ended_at, kind=HappeningKind.LEARNED, batch_id=one.batch_id, version=one.version, detail=one.reason
        )
    else:
        yield Happening(time=ended_at, kind=HappeningKind.RETURNED, batch_id=one.batch_id, detail=one.reason)


def _unlearned_and_back(
    connection: Connection,
    lineage: str,
    learned: dict[int, Membership],
    moves: Sequence[tuple[datetime, int]],
) -> Iterator[Happening]:
    """What rollbacks did to an experience that versions had learned."""
    knowing_by_version = knowing(connection, lineage, set(learned))
    for time, head in moves:
        before = [number for number, one in learned.items() if (one.ended_at or one.opened_at) <= time]
        if not before:
            continue
        detail = f"rollback to version {head}"
        known_by = knowing_by_version.get(head)
        if known_by is None:
            yield Happening(time=time, kind=HappeningKind.UNLEARNED, detail=detail)
        else:
            yield Happening(time=time, kind=HappeningKind.LEARNED, version=known_by, detail=detail)


def knowing(connection: Connection, lineage: str, learned_in: set[int]) -> dict[int, int]:
    """Which versions have one of these in their line: their numbers, and the newest of these in it."""
    rows = connection.execute(
        select(versions.c.number, versions.c.parent)
        .where(versions.c.lineage == lineage, versions.c.state == "admitted")
        .order_by(versions.c.number)
    )
    found: dict[int, int] = {}
    for row in rows:  # parents come first
        if row.number in learned_in:
            found[row.number] = row.number
        elif row.parent in found:
            found[row.number] = found[row.parent]
    return found
