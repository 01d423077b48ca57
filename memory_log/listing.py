"""Finding experiences by what the log's columns say of them: pages, the newest, by key. Knows no texts."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from memory_log.experiences import COLUMNS, experiences, records_of
from memory_log.fields import Name, Record, UtcTime
from memory_log.records import Experience, ExperienceState
from memory_log.words import pieces


class Selection(Record):
    """Which experiences of a lineage are meant. What is None does not count.

    Example: Selection(lineage="default", session="monday", since=datetime(2026, 1, 1, tzinfo=UTC))
    """

    lineage: Name
    state: ExperienceState | None = None
    session: str | None = None
    since: UtcTime | None = None
    """Lived then or later."""
    until: UtcTime | None = None
    """Lived before."""


def page(connection: Connection, selection: Selection, after_id: int, limit: int) -> list[Experience]:
    """The first of the selected experiences after an id, by increasing id."""
    statement = _selected(selection).where(experiences.c.id > after_id).order_by(experiences.c.id)
    return records_of(connection, statement.limit(limit))


def newest(connection: Connection, selection: Selection, before_id: int | None, limit: int) -> list[Experience]:
    """The last of the selected experiences before an id, the newest first."""
    statement = _selected(selection).order_by(experiences.c.id.desc())
    if before_id is not None:
        statement = statement.where(experiences.c.id < before_id)
    return records_of(connection, statement.limit(limit))


def _selected(selection: Selection) -> Select[Any]:
    statement = select(*COLUMNS).where(experiences.c.lineage == selection.lineage)
    if selection.state is not None:
        statement = statement.where(experiences.c.state == selection.state.value)
    if selection.session is not None:
        statement = statement.where(experiences.c.session == selection.session)
    if selection.since is not None:
        statement = statement.where(experiences.c.time >= selection.since)
    if selection.until is not None:
        statement = statement.where(experiences.c.time < selection.until)
    return statement


def with_keys(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Experience]:
    """Those of the experiences that are there, by (lineage, key)."""
    found: dict[tuple[str, str], Experience] = {}
    keys_of: defaultdict[str, list[str]] = defaultdict(list)
    for lineage, key in names:
        keys_of[lineage].append(key)
    for lineage, keys in keys_of.items():
        for piece in pieces(keys):
            # One lineage at a time: SQLite looks for pairs of columns without the index, row by row.
            matching = (experiences.c.lineage == lineage) & experiences.c.key.in_(piece)
            query = select(*COLUMNS).where(matching)
            found |= {(lineage, str(one.key)): one for one in records_of(connection, query)}
    return found


def latest_time(connection: Connection, lineage: str) -> datetime | None:
    """When the latest experience of a lineage was lived; None where there is none."""
    return connection.execute(select(func.max(experiences.c.time)).where(experiences.c.lineage == lineage)).scalar()
