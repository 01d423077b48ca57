"""Target sentences inside a transaction: storing, drawing and superseding. Knows their text; their payload is bytes.

Drawing: the live targets of a lineage sit in slots 0..n-1 without holes (the last one moves into a hole), so drawing is
a choice of slot numbers and some index look-ups. Its cost grows with the sample, not with the log (docs/adr/0019).
"""

import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, zip_longest

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from memory_log import tables
from memory_log.errors import BadInput
from memory_log.prepared import Prepared
from memory_log.records import Batch, NewTarget, StoredTarget
from memory_log.words import name_key, pieces

targets, live, supersessions, experiences = (
    tables.targets,
    tables.live_targets,
    tables.supersessions,
    tables.experiences,
)

_SLOTS_AT_ONCE = 500

_COLUMNS = [targets.c[name] for name in StoredTarget.model_fields]
_ADMIT_TARGETS = Prepared(
    update(targets)
    .where(targets.c.batch_id == bindparam("batch"))
    .values(version=bindparam("number"))
    .returning(targets.c.id)
)


def store(connection: Connection, batch: Batch, news: Sequence[NewTarget]) -> list[int]:
    """Put a batch's targets by, unseen by replay until its version is admitted."""
    strangers = {new.experience_id for new in news} - set(batch.experience_ids)
    if strangers:
        raise BadInput(f"batch {batch.id} does not hold the experiences {sorted(strangers)} of these targets")
    if not news:
        return []
    rows = [
        new.model_dump()
        | {
            "lineage": batch.lineage,
            "batch_id": batch.id,
            "subject_words": None if new.subject is None else name_key(new.subject),
            "relation_words": None if new.relation is None else name_key(new.relation),
        }
        for new in news
    ]
    statement = insert(targets).returning(targets.c.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def admit_batch(connection: Connection, lineage: str, batch_id: int, version: int) -> None:
    """Let replay draw the batch's targets, from now on the version's."""
    found = _ADMIT_TARGETS.rows(connection, batch=batch_id, number=version)
    go_live(connection, lineage, sorted(row.id for row in found))


def go_live(connection: Connection, lineage: str, ids: Sequence[int]) -> None:
    """Give each target the next free slot of its kind."""
    for held_out in (False, True):
        for piece in pieces(ids):
            statement = select(targets.c.id).where(targets.c.id.in_(piece), targets.c.held_out == held_out)
            fresh = connection.execute(statement.order_by(targets.c.id)).scalars().all()
            first = num_live(connection, lineage, held_out)
            rows = [
                {"lineage": lineage, "held_out": held_out, "slot": first + index, "target_id": target_id}
                for index, target_id in enumerate(fresh)
            ]
            if rows:
                connection.execute(insert(live), rows)


def withdraw(connection: Connection, lineage: str, ids: Sequence[int]) -> None:
    """Take targets out of their slots; those without one are left as they are."""
    places: list[tuple[bool, int]] = []
    for piece in pieces(ids):
        statement = select(live.c.held_out, live.c.slot).where(live.c.target_id.in_(piece))
        places += [(row.held_out, row.slot) for row in connection.execute(statement)]
    # From the highest slot down: the last one that moves into a hole is then never one that is still to go.
    for held_out, slot in sorted(places, reverse=True):
        ours = and_(live.c.lineage == lineage, live.c.held_out == held_out)
        last = num_live(connection, lineage, held_out) - 1
        connection.execute(delete(live).where(ours, live.c.slot == slot))
        if slot != last:
            connection.execute(update(live).where(ours, live.c.slot == last).values(slot=slot))


def num_live(connection: Connection, lineage: str, held_out: bool) -> int:
    """How many targets can be drawn."""
    statement = select(func.max(live.c.slot)).where(live.c.lineage == lineage, live.c.held_out == held_out)
    last: int | None = connection.execute(statement).scalar_one_or_none()
    return 0 if last is None else last + 1


def sample(
    connection: Connection, lineage: str, *, held_out: bool, limit: int, seed: int, exclude_subjects: Collection[str]
) -> list[StoredTarget]:
    """A sample without replacement, of at most `limit` targets; the same log and seed give the same one.

    Every experience is equally likely, however many targets were made of it, and so is every target of an experience.
    None has a second target in the sample before all others have a first one.
    """
    if limit < 0:
        raise BadInput(f"got limit={limit}; a sample has at least 0 targets")
    rng = random.Random(seed)
    excluded = {name_key(subject) for subject in exclude_subjects}
    groups = _targets_by_experience(connection, lineage, held_out, limit, rng, excluded)
    for group in groups:
        rng.shuffle(group)
    in_turn = [number for turn in zip_longest(*groups) for number in turn if number is not None]
    found = {target.id: target for target in by_ids(connection, in_turn[:limit])}
    return [found[number] for number in in_turn[:limit]]


def _targets_by_experience(
    connection: Connection, lineage: str, held_out: bool, limit: int, rng: random.Random, excluded: set[str]
) -> list[list[int]]:
    """The live targets of as many experiences as there are in the sample, the experiences in random order.

    Slots are looked at in random order, and an experience counts when its first target comes: each has one.
    """
    slots = _random_order(num_live(connection, lineage, held_out), rng)
    groups: list[list[int]] = []
    while len(groups) < limit and (piece := list(islice(slots, _SLOTS_AT_ONCE))):
        firsts = _first_of_their_experience(connection, lineage, held_out, piece)
        targets_of = _live_of(connection, held_out, firsts, excluded)
        groups += [group for number in firsts if (group := targets_of.get(number))]
    return groups[:limit]


def _first_of_their_experience(connection: Connection, lineage: str, held_out: bool, slots: Sequence[int]) -> list[int]:
    """The experiences whose first live target has one of these slots, in the order of the slots."""
    earlier, earlier_live = targets.alias(), live.alias()
    has_earlier = (
        select(earlier.c.id)
        .join_from(earlier, earlier_live, earlier_live.c.target_id == earlier.c.id)
        .where(earlier.c.experience_id == targets.c.experience_id, earlier.c.id < targets.c.id)
        .where(earlier.c.held_out == held_out)
        .exists()
    )
    statement = (
        select(live.c.slot, targets.c.experience_id)
        .join_from(live, targets, live.c.target_id == targets.c.id)
        .where(live.c.lineage == lineage, live.c.held_out == held_out, live.c.slot.in_(slots), ~has_earlier)
    )
    found = {row.slot: row.experience_id for row in connection.execute(statement)}
    return [found[slot] for slot in slots if slot in found]


def _live_of(
    connection: Connection, held_out: bool, experience_ids: Sequence[int], excluded: set[str]
) -> dict[int, list[int]]:
    """The ids of the live targets of each experience, without those about excluded subjects."""
    statement = (
        select(targets.c.id, targets.c.experience_id, targets.c.subject_words)
        .join_from(targets, live, live.c.target_id == targets.c.id)
        .where(targets.c.experience_id.in_(experience_ids), targets.c.held_out == held_out)
        .order_by(targets.c.id)
    )
    found: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(statement) if experience_ids else ():
        if row.subject_words not in excluded:
            found[row.experience_id].append(row.id)
    return found


def _random_order(count: int, rng: random.Random) -> Iterator[int]:
    seen: set[int] = set()
    while len(seen) * 2 < count:
        slot = rng.randrange(count)
        if slot not in seen:
            seen.add(slot)
            yield slot
    rest = [slot for slot in range(count) if slot not in seen]
    rng.shuffle(rest)
    yield from rest


def _record(row: RowMapping) -> StoredTarget:
    return StoredTarget(**{name: row[name] for name in StoredTarget.model_fields})


def of_experience(connection: Connection, experience_id: int) -> list[StoredTarget]:
    """Every stored target made from this experience, live or not."""
    statement = select(*_COLUMNS).where(targets.c.experience_id == experience_id).order_by(targets.c.id)
    return [_record(row) for row in connection.execute(statement).mappings()]


def by_ids(connection: Connection, ids: Sequence[int]) -> list[StoredTarget]:
    """The targets with these ids, by id; those that are gone are left out."""
    found: list[StoredTarget] = []
    for piece in pieces(sorted(set(ids))):
        statement = select(*_COLUMNS).where(targets.c.id.in_(piece)).order_by(targets.c.id)
        found += [_record(row) for row in connection.execute(statement).mappings()]
    return found


def about(connection: Connection, lineage: str, pairs: Collection[tuple[str, str | None]]) -> list[StoredTarget]:
    """The live targets about these (subject, relation) pairs; relation None means every relation."""
    found: dict[int, StoredTarget] = {}
    keys = sorted({(name_key(subject), relation and name_key(relation)) for subject, relation in pairs}, key=str)
    for piece in pieces(keys):
        statement = _live(lineage).where(or_(*(_is_about(subject, relation) for subject, relation in piece)))
        found |= {row["id"]: _record(row) for row in connection.execute(statement).mappings()}
    return [found[target_id] for target_id in sorted(found)]


def _live(lineage: str) -> Select[*tuple[object, ...]]:
    return (
        select(*_COLUMNS)
        .join_from(targets, live, live.c.target_id == targets.c.id)
        .where(targets.c.lineage == lineage, live.c.lineage == lineage)
    )


def _is_about(subject: str, relation: str | None) -> ColumnElement[bool]:
    same_subject = targets.c.subject_words == subject
    return same_subject if relation is None else and_(same_subject, targets.c.relation_words == relation)


def knows(connection: Connection, lineage: str, subject: str) -> bool:
    """Whether a live target, other than a near miss, is about the subject."""
    statement = _live(lineage).where(targets.c.subject_words == name_key(subject), targets.c.kind != "near_miss")
    return connection.execute(statement.limit(1)).first() is not None


def known_subjects(connection: Connection, lineage: str, subjects: Collection[str]) -> set[str]:
    """Those of the subjects that a live target, other than a near miss, is about."""
    keys = {subject: name_key(subject) for subject in subjects}
    found: set[str] = set()
    for piece in pieces(sorted(set(keys.values()))):
        statement = (
            select(targets.c.subject_words)
            .distinct()
            .join_from(targets, live, live.c.target_id == targets.c.id)
            .where(targets.c.lineage == lineage, targets.c.subject_words.in_(piece), targets.c.kind != "near_miss")
        )
        found |= set(connection.execute(statement).scalars())
    return {subject for subject, key in keys.items() if key in found}


def supersede(connection: Connection, lineage: str, version: int, superseded: Mapping[int, int]) -> None:
    """Note that the version knows better, and stop drawing what it knows better than."""
    standing: list[int] = []
    for piece in pieces(sorted(superseded)):
        statement = select(targets.c.id).where(targets.c.id.in_(piece), targets.c.lineage == lineage)
        standing += connection.execute(statement).scalars()
    # A target that is gone was forgotten while the update ran, which is as good as superseded.
    for target_id in standing:
        by_experience = superseded[target_id]
        connection.execute(update(targets).where(targets.c.id == target_id).values(superseded_by=by_experience))
        row = {"target_id": target_id, "lineage": lineage, "version": version, "by_experience": by_experience}
        connection.execute(insert(supersessions).values(row))
    withdraw(connection, lineage, standing)


def erase_of(connection: Connection, lineage: str, experience_id: int) -> None:
    """Delete every target made from a forgotten experience."""
    statement = select(targets.c.id).where(targets.c.experience_id == experience_id)
    erase(connection, lineage, connection.execute(statement).scalars().all())


def erase(connection: Connection, lineage: str, ids: Sequence[int]) -> None:
    """Delete targets of one lineage, also from what can be drawn."""
    withdraw(connection, lineage, ids)
    for piece in pieces(ids):
        connection.execute(delete(supersessions).where(supersessions.c.target_id.in_(piece)))
        connection.execute(delete(targets).where(targets.c.id.in_(piece)))


def follow_head(connection: Connection, lineage: str, ancestry: set[int], changed: Sequence[int]) -> None:
    """After a rollback: draw what the new ancestry holds for true.

    Args:
        ancestry: the versions from the base to the new head.
        changed: the versions that left the ancestry or entered it.
    """
    touched: set[int] = set()
    for piece in pieces(changed):
        made = select(targets.c.id).where(targets.c.lineage == lineage, targets.c.version.in_(piece))
        better = select(supersessions.c.target_id).where(
            supersessions.c.lineage == lineage, supersessions.c.version.in_(piece)
        )
        touched |= set(connection.execute(made).scalars()) | set(connection.execute(better).scalars())
    ids = sorted(touched)
    withdraw(connection, lineage, ids)
    for piece in pieces(ids):
        superseded_by: dict[int, int] = {}
        statement = select(supersessions).where(supersessions.c.target_id.in_(piece))
        for row in connection.execute(statement.order_by(supersessions.c.version)):
            if row.version in ancestry:
                superseded_by[row.target_id] = row.by_experience
        rows = connection.execute(select(targets.c.id, targets.c.version).where(targets.c.id.in_(piece))).all()
        for row in rows:
            connection.execute(
                update(targets).where(targets.c.id == row.id).values(superseded_by=superseded_by.get(row.id))
            )
        true_again = [row.id for row in rows if row.version in ancestry and row.id not in superseded_by]
        go_live(connection, lineage, true_again)
