"""Checks of the queue: leases, open batches, what they hold, and who waits for somebody. Knows one snapshot of rows.

Refuses to know versions and targets, and mends nothing.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from memory_log import leases, tables
from memory_log.claims import MOST_BACKOFF_SECONDS
from memory_log.findings import MEND, Finding, Rule, broken, counted
from memory_log.records import ExperienceState

lineages, batches, members = tables.lineages, tables.batches, tables.batch_members
experiences, facts, targets, probes, pauses = (
    tables.experiences, tables.facts, tables.targets, tables.probes, tables.pauses,
)  # fmt: skip

_SAID: Final = ("observation", "action", "reward", "metadata", "surprise", "content_hash")

_END_THE_BATCH = f"end the worker that holds the batch, wait until its lease has expired, then: {MEND}"


def check_queue(connection: Connection, now: datetime) -> Iterator[Finding]:
    """Leased experiences and open batches name each other, and an open batch has the lease that it was opened under."""
    is_open = batches.c.state == "open"
    leased = select(experiences.c.id).order_by(experiences.c.id).where(experiences.c.batch_id.is_not(None))
    with_batch = leased.outerjoin(batches, batches.c.id == experiences.c.batch_id)
    with_member = leased.outerjoin(
        members, and_(members.c.batch_id == experiences.c.batch_id, members.c.experience_id == experiences.c.id)
    )
    unlearned = batches.c.state.in_(("abandoned", "rejected"))
    in_open = select(members.c.experience_id, members.c.batch_id).join(batches, batches.c.id == members.c.batch_id)
    held = in_open.join(experiences, experiences.c.id == members.c.experience_id)
    yield from broken(connection, "queue", [
        Rule("experiences leased to a batch that ended without learning them", with_batch.where(unlearned), MEND),
        Rule(
            "experiences leased to a batch that is not theirs, or that was committed without them",
            with_batch.where(or_(
                batches.c.id.is_(None), batches.c.state == "committed", batches.c.lineage != experiences.c.lineage
            )),
            "see `selfparam explain ID` for what became of each; forget it and tell it anew: selfparam forget ID",
        ),
        Rule(
            "leased experiences that their batch does not name",
            with_member.where(members.c.batch_id.is_(None)), _END_THE_BATCH,
        ),
        Rule(
            "members of an open batch that are not leased to it",
            held.where(is_open, or_(
                experiences.c.batch_id.is_(None), experiences.c.batch_id != members.c.batch_id
            )).order_by(members.c.experience_id),
            _END_THE_BATCH,
        ),
        Rule("open batches whose lease is over", ownerless_batches(), MEND),
    ])  # fmt: skip


def ownerless_batches() -> Select[Any]:
    """The (id, lineage) of open batches that nobody can commit any more: their lineage has no lease, or a later one."""
    lease_is_over = or_(
        lineages.c.name.is_(None), lineages.c.lease_owner.is_(None), lineages.c.fence != batches.c.fence
    )
    return (
        select(batches.c.id, batches.c.lineage)
        .outerjoin(lineages, lineages.c.name == batches.c.lineage)
        .where(batches.c.state == "open", lease_is_over)
        .order_by(batches.c.id)
    )


def check_leases(connection: Connection, now: datetime) -> Iterator[Finding]:
    """No lease stands that nobody renews, and what stands still is there on purpose."""
    for row in connection.execute(select(lineages).where(lineages.c.lease_owner.is_not(None))):
        if not leases.is_held(connection, row, now):
            yield _stuck(connection, row, now)
    for row in connection.execute(select(pauses).order_by(pauses.c.lineage)):
        yield Finding(
            check="leases", severity="note",
            what=f"updates of lineage {row.lineage!r} are paused since {_said(row.since)} by {row.by}"
            f"{f': {row.reason}' if row.reason else ''}",
            mend=f"updates go on with: selfparam resume --lineage {row.lineage}",
        )  # fmt: skip
    yield from broken(connection, "leases", [
        Rule(
            "experiences put off for longer than any are, as if the clock was set back",
            put_off_too_long(now), MEND, "warning",
        )
    ])  # fmt: skip
    yield from _set_aside(connection)


def put_off_too_long(now: datetime) -> Select[Any]:
    """The (id, lineage) of experiences that wait for a time further away than any failure puts them off."""
    far = now + timedelta(seconds=MOST_BACKOFF_SECONDS + leases.CLOCK_TOLERANCE_SECONDS)
    is_far = and_(experiences.c.state == ExperienceState.PENDING.value, experiences.c.not_before > far)
    return select(experiences.c.id, experiences.c.lineage).where(is_far).order_by(experiences.c.id)


def _stuck(connection: Connection, row: Row[Any], now: datetime) -> Finding:
    num_held = connection.execute(
        select(func.count())
        .select_from(experiences.join(batches, experiences.c.batch_id == batches.c.id))
        .where(batches.c.lineage == row.name, batches.c.state == "open")
    ).scalar_one()
    ends = f"expired at {_said(row.lease_expires_at)}"
    if row.lease_expires_at > now:
        ends = f"ends at {_said(row.lease_expires_at)}, which no lease does: the clock was set back"
    return Finding(
        check="leases", severity="warning" if num_held else "note",
        what=f"the lease of {row.lease_owner!r} on lineage {row.name!r} {ends}; "
        f"it holds {counted(num_held, 'experience')}",
        mend=f"the next update takes over by itself; or at once: {MEND}",
    )  # fmt: skip


def _said(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _set_aside(connection: Connection) -> Iterator[Finding]:
    aside = (ExperienceState.REFUSED.value, ExperienceState.DEAD.value)
    standing = (
        select(experiences.c.lineage, experiences.c.state, func.count().label("number"))
        .where(experiences.c.state.in_(aside))
        .group_by(experiences.c.lineage, experiences.c.state)
    )
    for row in connection.execute(standing.order_by(experiences.c.lineage, experiences.c.state)):
        yield Finding(
            check="leases", severity="note",
            what=f"lineage {row.lineage!r} has {counted(row.number, f'{row.state} experience')}",
            mend=f"`selfparam --lineage {row.lineage} log list --state {row.state}` shows why; one waits again with: "
            "selfparam log requeue ID",
        )  # fmt: skip


def check_forgotten(connection: Connection, now: datetime) -> Iterator[Finding]:
    """A tombstone holds nothing of what was said, and nothing is derived from it any more."""
    rows = unclean_tombstones()
    yield from broken(connection, "forgotten", [Rule("forgotten experiences of which something is left", rows, MEND)])


def unclean_tombstones() -> Select[Any]:
    """The ids of forgotten experiences of which text, facts, targets or probes are left."""
    left = or_(
        experiences.c.text != "", experiences.c.words != "",
        *(experiences.c[name].is_not(None) for name in _SAID),
        *(
            select(derived.c.experience_id).where(derived.c.experience_id == experiences.c.id).exists()
            for derived in (facts, targets, probes)
        ),
    )  # fmt: skip
    is_forgotten = experiences.c.state == ExperienceState.FORGOTTEN.value
    return select(experiences.c.id).where(is_forgotten, left).order_by(experiences.c.id)
