"""Experiences inside a transaction: append, read, search, forget. Knows no versions and no leases."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update

from memory_log import tables
from memory_log.errors import IdempotencyConflict, UnknownExperience
from memory_log.records import MAX_INTEGER, Experience, ExperienceState, Fact, NewExperience
from memory_log.words import name_key, pieces, searchable

experiences, facts = tables.experiences, tables.facts

COLUMNS = [experiences.c[name] for name in Experience.model_fields if name != "facts"]

# What makes two appended records the same one: lineage and key, or, without a key, the place in the call.
_Name = tuple[str, str] | int


def append_many(connection: Connection, news: Sequence[NewExperience], now: datetime) -> list[Experience]:
    """Store what is new; a key that is already there gives its stored experience.

    Raises:
        IdempotencyConflict: a key came again with another content.
    """
    _take_turns(connection, {new.lineage for new in news})
    names: list[_Name] = [index if new.key is None else (new.lineage, new.key) for index, new in enumerate(news)]
    stored = _with_keys(connection, [name for name in names if isinstance(name, tuple)])
    fresh: dict[_Name, NewExperience] = {}
    for name, new in zip(names, news, strict=True):
        if name in stored:
            experience_id, content_hash = stored[name]
            _check_same_content(new, content_hash, f"experience {experience_id}")
        elif name in fresh:
            _check_same_content(new, _content_hash(fresh[name]), "an earlier item of this call")
        else:
            fresh[name] = new
    id_of = {name: experience_id for name, (experience_id, _) in stored.items()}
    id_of |= zip(fresh, _insert(connection, list(fresh.values()), now), strict=True)
    return by_ids(connection, [id_of[name] for name in names])


def _take_turns(connection: Connection, lineages: Iterable[str]) -> None:
    # Ids come from a sequence before the commit. Without turns a smaller id could appear after a larger one had been
    # claimed or listed, and a reader that goes on from the last id would miss it. SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        for lineage in sorted(lineages):
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(lineage, 0))))


def _with_keys(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[_Name, tuple[int, str | None]]:
    found: dict[_Name, tuple[int, str | None]] = {}
    for piece in pieces(names):
        rows = connection.execute(
            select(experiences.c.lineage, experiences.c.key, experiences.c.id, experiences.c.content_hash).where(
                tuple_(experiences.c.lineage, experiences.c.key).in_(piece)
            )
        )
        found |= {(row.lineage, row.key): (row.id, row.content_hash) for row in rows}
    return found


def _check_same_content(new: NewExperience, content_hash: str | None, owner: str) -> None:
    # A forgotten experience keeps its key and no hash: a late retry must not bring its text back.
    if content_hash is not None and content_hash != _content_hash(new):
        raise IdempotencyConflict(
            f"key {new.key!r} in lineage {new.lineage!r} already belongs to {owner} with another content; "
            "repeat that content exactly, or use a new key"
        )


def _content_hash(new: NewExperience) -> str:
    return hashlib.sha256(new.model_dump_json(exclude={"key"}).encode()).hexdigest()


def _insert(connection: Connection, news: Sequence[NewExperience], now: datetime) -> list[int]:
    if not news:
        return []
    statement = insert(experiences).returning(experiences.c.id, sort_by_parameter_order=True)
    ids = list(connection.execute(statement, [_row(new, now) for new in news]).scalars())
    fact_rows = [
        {
            "experience_id": experience_id,
            "position": position,
            "lineage": new.lineage,
            "subject_words": name_key(fact.subject),
            **fact.model_dump(),
        }
        for new, experience_id in zip(news, ids, strict=True)
        for position, fact in enumerate(new.facts)
    ]
    if fact_rows:
        connection.execute(insert(facts), fact_rows)
    return ids


def _row(new: NewExperience, now: datetime) -> dict[str, Any]:
    return new.model_dump(exclude={"facts", "time"}) | {
        "time": new.time or now,
        "words": searchable(new.text),
        "content_hash": None if new.key is None else _content_hash(new),
        "state": ExperienceState.PENDING.value,
    }


def by_ids(connection: Connection, ids: Sequence[int]) -> list[Experience]:
    """The experiences with these ids, in the order asked.

    Raises:
        UnknownExperience: one of them does not exist.
    """
    found: dict[int, Experience] = {}
    for piece in pieces([number for number in ids if 0 < number <= MAX_INTEGER]):
        rows = connection.execute(select(*COLUMNS).where(experiences.c.id.in_(piece))).all()
        found |= {experience.id: experience for experience in records_of(connection, rows)}
    missing = next((number for number in ids if number not in found), None)
    if missing is not None:
        raise UnknownExperience(f"there is no experience {missing}; list the log to see which there are")
    return [found[number] for number in ids]


def records_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Experience]:
    """The records of rows of `COLUMNS`, with their facts, in the order of the rows."""
    facts_of: dict[int, list[Fact]] = defaultdict(list)
    for piece in pieces([row.id for row in rows]):
        statement = select(facts).where(facts.c.experience_id.in_(piece)).order_by(facts.c.experience_id)
        for row in connection.execute(statement.order_by(facts.c.position)):
            facts_of[row.experience_id].append(Fact(subject=row.subject, relation=row.relation, value=row.value))
    return [Experience(**row._mapping, facts=tuple(facts_of[row.id])) for row in rows]


def count_by_state(connection: Connection, lineage: str) -> dict[ExperienceState, int]:
    """How many experiences of a lineage stand where; every state is named."""
    statement = (
        select(experiences.c.state, func.count()).where(experiences.c.lineage == lineage).group_by(experiences.c.state)
    )
    counts = {row[0]: row[1] for row in connection.execute(statement)}
    return {state: counts.get(state.value, 0) for state in ExperienceState}


def mentioning(connection: Connection, lineage: str, words: Sequence[str], limit: int) -> list[Experience]:
    """The newest experiences whose text holds all of the words, as whole words in any case."""
    patterns = [searchable(word) for word in words]
    if not patterns or not all(patterns):
        return []
    statement = select(*COLUMNS).where(
        experiences.c.lineage == lineage,
        *(experiences.c.words.contains(pattern, autoescape=True) for pattern in patterns),
    )
    return records_of(connection, connection.execute(statement.order_by(experiences.c.id.desc()).limit(limit)).all())


def has_fact_about(connection: Connection, lineage: str, subject: str) -> bool:
    """Whether any experience states a fact about the subject."""
    statement = select(facts.c.experience_id).where(
        facts.c.lineage == lineage, facts.c.subject_words == name_key(subject)
    )
    return connection.execute(statement.limit(1)).first() is not None


def erase(connection: Connection, experience_id: int) -> None:
    """Leave a tombstone: id, key, times and versions stay, everything that was said goes."""
    connection.execute(delete(facts).where(facts.c.experience_id == experience_id))
    connection.execute(
        update(experiences)
        .where(experiences.c.id == experience_id)
        .values(
            state=ExperienceState.FORGOTTEN.value, text="", words="", observation=None, action=None, reward=None,
            reason=None, content_hash=None, batch_id=None,
        )
    )  # fmt: skip
