"""Which experiences the next update takes, inside a transaction: order, back-off, and what spills back in.

Knows states and orders. Refuses to know leases and batches.
"""

from datetime import datetime
from typing import Any, get_args

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from memory_log.columns import UtcDateTime
from memory_log.errors import BadInput, NothingPending
from memory_log.prepared import Prepared, literally
from memory_log.records import ClaimOrder, ExperienceState
from memory_log.tables import experiences

# An experience whose updates keep dying is first tried alone, so that its neighbours are cleared.
ALONE_AFTER_ATTEMPTS = 2

# After its second death it waits a second, then twice as long after each.
FIRST_BACKOFF_SECONDS = 1.0
MOST_BACKOFF_SECONDS = 300.0

PENDING, SPILLED = ExperienceState.PENDING.value, ExperienceState.SPILLED.value


_LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)


def _ready(state: str) -> Select[*tuple[Any, ...]]:
    now: BindParameter[datetime] = bindparam("now", type_=UtcDateTime)
    return select(experiences.c.id, experiences.c.attempts).where(
        experiences.c.lineage == bindparam("of"),
        experiences.c.state == literally(state),
        or_(experiences.c.not_before.is_(None), experiences.c.not_before <= now),
    )


def _by_age(*only_pending: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    # Each half is a walk along an index. Those that spilled wait like the others, and are often older.
    halves = [_ready(PENDING).where(*only_pending), _ready(SPILLED)]
    both = union_all(*(select(half.order_by(experiences.c.id).limit(_LIMIT).subquery()) for half in halves)).subquery()
    return select(both).order_by(both.c.id).limit(_LIMIT)


def _by_rank(
    rank: ColumnElement[Any], is_ranked: ColumnElement[bool]
) -> tuple[Prepared, Prepared]:
    ranked = _ready(PENDING).where(is_ranked).order_by(rank.desc(), experiences.c.id).limit(_LIMIT)
    return Prepared(ranked), Prepared(_by_age(~is_ranked))


_OLDEST = Prepared(_by_age())
_RANKED = {
    "priority": _by_rank(experiences.c.priority, experiences.c.priority > literal_column("0")),
    "surprise": _by_rank(experiences.c.surprise, experiences.c.surprise.is_not(None)),
}
_SPILLED_OLDEST = (
    select(experiences.c.id)
    .where(experiences.c.lineage == bindparam("of"), experiences.c.state == literally(SPILLED))
    .order_by(experiences.c.id)
    .limit(_LIMIT)
)
_FIRST_SPILLED = Prepared(_SPILLED_OLDEST)
_LET_IN = Prepared(update(experiences).where(experiences.c.id.in_(_SPILLED_OLDEST)).values(state=PENDING))


def backoff_seconds(attempts: int) -> float:
    """How long an experience waits after so many updates have died while holding it."""
    if attempts < ALONE_AFTER_ATTEMPTS:
        return 0.0
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** (attempts - ALONE_AFTER_ATTEMPTS), MOST_BACKOFF_SECONDS)


def next_ids(connection: Connection, lineage: str, limit: int, order: ClaimOrder, now: datetime) -> list[int]:
    """The ids that an update would claim now, in the order of the claim.

    An experience that has died with two updates stands alone, so that its neighbours are not held back by it.

    Raises:
        NothingPending: there are none, or all are put off; it says until when.
        BadInput: no such order, or no room for one.
    """
    if limit < 1:
        raise BadInput(f"got limit={limit}; a batch needs at least one experience")
    if order not in get_args(ClaimOrder):
        raise BadInput(f"got the order {order!r}; choose one of: {', '.join(get_args(ClaimOrder))}")
    rows = _in_order(connection, lineage, limit, order, now)
    if not rows:
        raise _nothing(connection, lineage)
    ids = [row.id for row in rows]
    suspects = [index for index, row in enumerate(rows) if row.attempts >= ALONE_AFTER_ATTEMPTS]
    return ids[: max(suspects[0], 1)] if suspects else ids


def _in_order(
    connection: Connection, lineage: str, limit: int, order: ClaimOrder, now: datetime
) -> list[Any]:
    if order == "oldest":
        return _OLDEST.rows(connection, of=lineage, now=now, limit=limit)
    # Few experiences have a priority or a surprise, and only those are in its index; all others follow, oldest first,
    # as do those that spilled, whatever they have.
    ranked, others = _RANKED[order]
    first = ranked.rows(connection, of=lineage, now=now, limit=limit)
    if len(first) == limit:
        return first
    return first + others.rows(connection, of=lineage, now=now, limit=limit - len(first))


def _nothing(connection: Connection, lineage: str) -> NothingPending:
    # What was told since we looked is not put off, and is the next look's business.
    put_off, due = connection.execute(
        select(func.count(), func.min(experiences.c.not_before)).where(
            experiences.c.lineage == lineage, experiences.c.state == PENDING, experiences.c.not_before.is_not(None)
        )
    ).one()
    if not put_off:
        return NothingPending(f"no experience of lineage {lineage!r} waits to be learned; append some first")
    return NothingPending(
        f"the {put_off} pending experiences of lineage {lineage!r} are put off, because updates died while holding "
        f"them; the next one is due at {due:%Y-%m-%d %H:%M:%S} UTC"
    )


def let_in(connection: Connection, lineage: str, count: int) -> None:
    """Make the oldest spilled experiences pending, as many as there is room for."""
    if _FIRST_SPILLED.rows(connection, of=lineage, limit=1):  # seldom: looking costs less than changing nothing
        _LET_IN.rows(connection, of=lineage, limit=count)


def num_waiting(connection: Connection, lineage: str, at_most: int, now: datetime) -> int:
    """How many could be claimed now, counted as far as `at_most`."""
    return len(_in_order(connection, lineage, at_most, "oldest", now))


def next_due(connection: Connection, lineage: str) -> datetime | None:
    """When the first of those that are put off can be claimed."""
    first = select(func.min(experiences.c.not_before)).where(
        experiences.c.lineage == lineage, experiences.c.state == PENDING
    )
    due: datetime | None = connection.execute(first).scalar_one()
    return due
