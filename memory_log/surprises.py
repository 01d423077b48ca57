"""How surprising what waits is, inside a transaction. Knows no models: whoever has weights at hand measures."""

import math
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, or_, select, update

from memory_log import experiences
from memory_log.errors import BadInput
from memory_log.records import Experience, ExperienceState
from memory_log.tables import experiences as table

PENDING = ExperienceState.PENDING.value


def unmeasured(connection: Connection, lineage: str, limit: int) -> list[Experience]:
    """The oldest pending experiences without a surprise."""
    statement = (
        select(*experiences.COLUMNS)
        .where(table.c.lineage == lineage, table.c.state == PENDING, table.c.surprise.is_(None))
        .order_by(table.c.id)
        .limit(limit)
    )
    return experiences.records_of(connection, statement)


def note(connection: Connection, lineage: str, surprises: Mapping[int, float]) -> None:
    """Give pending experiences a surprise; one that has one, or waits no longer, keeps what it has."""
    if not all(math.isfinite(value) for value in surprises.values()):
        raise BadInput(f"got the surprises {dict(surprises)}; they have to be finite numbers")
    if surprises:
        measured = (
            update(table)
            .where(table.c.id == bindparam("which"), table.c.lineage == lineage)
            .where(table.c.state == PENDING, table.c.surprise.is_(None))
            .values(surprise=bindparam("measured"))
        )
        connection.execute(measured, [{"which": number, "measured": value} for number, value in surprises.items()])


def waiting(connection: Connection, lineage: str, at_most: int, now: datetime) -> float:
    """The summed surprise of the most surprising that could be claimed now; what has none counts 0."""
    most = (
        select(table.c.surprise)
        .where(table.c.lineage == lineage, table.c.state == PENDING, table.c.surprise.is_not(None))
        .where(or_(table.c.not_before.is_(None), table.c.not_before <= now))
        .order_by(table.c.surprise.desc(), table.c.id)
        .limit(at_most)
        .subquery()
    )
    total: float | None = connection.execute(select(func.sum(most.c.surprise))).scalar()
    return total or 0.0
