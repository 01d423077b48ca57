"""Experiences inside a transaction: read, search, forget. Knows no versions and no leases."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from memory_log import search, tables
from memory_log.errors import BadInput, LogDamaged, UnknownExperience
from memory_log.fields import MAX_INTEGER
from memory_log.records import Experience, ExperienceState, Fact
from memory_log.words import name_key, pieces

experiences, facts = tables.experiences, tables.facts

COLUMNS = [experiences.c[name] for name in Experience.model_fields if name != "facts"]


def by_ids(connection: Connection, ids: Sequence[int]) -> list[Experience]:
    """The experiences with these ids, in the order asked.

    Raises:
        UnknownExperience: one of them does not exist.
    """
    found = find(connection, ids)
    missing = next((number for number in ids if number not in found), None)
    if missing is not None:
        raise UnknownExperience(f"there is no experience {missing}; list the log to see which there are")
    return [found[number] for number in ids]


def find(connection: Connection, ids: Iterable[int]) -> dict[int, Experience]:
    """Those of the experiences that are there, by id."""
    found: dict[int, Experience] = {}
    for piece in pieces([number for number in ids if 0 < number <= MAX_INTEGER]):
        statement = select(*COLUMNS).where(experiences.c.id.in_(piece))
        found |= {experience.id: experience for experience in records_of(connection, statement)}
    return found


def records_of(connection: Connection, query: Select[Any]) -> list[Experience]:
    """The records that a query for `COLUMNS` finds, with their facts, in the order of the rows.

    Raises:
        LogDamaged: a row holds what no append lets in.
    """
    rows = _rows(connection, query)
    facts_of: dict[int, list[Fact]] = defaultdict(list)
    for piece in pieces([row.id for row in rows]):
        statement = select(facts).where(facts.c.experience_id.in_(piece)).order_by(facts.c.experience_id)
        for row in connection.execute(statement.order_by(facts.c.position)):
            facts_of[row.experience_id].append(Fact(subject=row.subject, relation=row.relation, value=row.value))
    return [_record(row, facts_of[row.id]) for row in rows]


def _rows(connection: Connection, statement: Select[Any]) -> Sequence[Row[Any]]:
    try:
        return connection.execute(statement).all()
    except ValueError as exc:  # a time or a mapping that is none
        raise _damaged("an experience", exc) from exc


def _record(row: Row[Any], facts_of_it: Sequence[Fact]) -> Experience:
    # SQLite checks the frame of a page, not what is on it. What no append lets in was not written by one.
    try:
        if "\0" in row.text:
            raise BadInput("its text holds NUL characters")
        return Experience(**row._mapping, facts=tuple(facts_of_it))
    except BadInput as exc:
        raise _damaged(f"experience {row.id}", exc) from exc


def _damaged(what: str, why: Exception) -> LogDamaged:
    return LogDamaged(
        f"{what} is damaged in the log: {why}; examine the log with `selfparam doctor`, which also gets out what can "
        "still be read, or restore a back-up"
    )


def lineages(connection: Connection) -> list[str]:
    """The names of all lineages that have experiences or versions, by name."""
    known = set(connection.execute(select(tables.lineages.c.name)).scalars())
    # From one name to the next along the index: a log has many experiences and few lineages.
    name = connection.execute(select(func.min(experiences.c.lineage))).scalar()
    while name is not None:
        known.add(name)
        name = connection.execute(select(func.min(experiences.c.lineage)).where(experiences.c.lineage > name)).scalar()
    return sorted(known)


def count_by_state(connection: Connection, lineage: str) -> dict[ExperienceState, int]:
    """How many experiences of a lineage stand where; every state is named."""
    statement = (
        select(experiences.c.state, func.count()).where(experiences.c.lineage == lineage).group_by(experiences.c.state)
    )
    counts = {row[0]: row[1] for row in connection.execute(statement)}
    return {state: counts.get(state.value, 0) for state in ExperienceState}


def mentioning(connection: Connection, lineage: str, words: Sequence[str], limit: int) -> list[Experience]:
    """The newest experiences whose text holds all of the words, as whole words in any case."""
    return matching(connection, lineage, [search.phrase(word) for word in words], MAX_INTEGER, limit)


def matching(
    connection: Connection, lineage: str, terms: Sequence[search.Term], before_id: int, limit: int
) -> list[Experience]:
    """The newest experiences below an id whose text has every term; none where a term has no word."""
    if not terms or not all(term.words for term in terms):
        return []
    statement = search.newest_first(select(*COLUMNS), connection.dialect.name, terms, before_id)
    return records_of(connection, statement.where(experiences.c.lineage == lineage).limit(limit))


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
            metadata=None, priority=0, surprise=None, reason=None, content_hash=None, batch_id=None, not_before=None,
        )
    )  # fmt: skip
    search.purge(connection)
