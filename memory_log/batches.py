"""The queue inside a transaction: batches under a lease. Knows no weights and no target sentences' meaning."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from memory_log import claims, happenings, leases, pauses, tables
from memory_log.errors import BadInput, LeaseLost, UnknownExperience
from memory_log.prepared import Prepared, PreparedRow, among, literally
from memory_log.records import Batch, ClaimOrder, ExperienceState, Membership, UpdaterLease, VersionState
from memory_log.words import pieces

DEAD_AFTER_ATTEMPTS = 5

lineages, batches, members = tables.lineages, tables.batches, tables.batch_members
experiences, versions, targets = tables.experiences, tables.versions, tables.targets

_BATCH = Prepared(select(batches).where(batches.c.id == bindparam("batch")))
_MEMBERS = Prepared(
    select(members.c.experience_id).where(members.c.batch_id == bindparam("batch")).order_by(members.c.experience_id)
)
_STANDING = Prepared(
    select(batches.c.id).where(batches.c.lineage == bindparam("lineage"), batches.c.state == literally("open"))
)
_NUM_JUDGED = Prepared(
    select(func.count().label("num")).where(
        batches.c.lineage == bindparam("lineage"),
        batches.c.id < bindparam("batch"),
        batches.c.state.in_([literally("committed"), literally("rejected")]),
    )
)
_INSERT_BATCH = Prepared(
    insert(batches).returning(batches.c.id), columns=("lineage", "parent_version", "state", "fence", "opened_at")
)
_LEASE = Prepared(
    update(experiences)
    .where(among(experiences.c.id, "ids"))
    .values(state=ExperienceState.LEASED.value, batch_id=bindparam("batch"), not_before=None)
)
_INSERT_MEMBERS = Prepared(
    insert(members).from_select(
        ["batch_id", "experience_id"],
        select(experiences.c.batch_id, experiences.c.id)
        .where(experiences.c.batch_id == bindparam("batch"))
        .order_by(experiences.c.id),
    )
)
_LEARN = Prepared(
    update(experiences)
    .where(experiences.c.batch_id == bindparam("batch"))
    .values(state=ExperienceState.LEARNED.value, learned_in=bindparam("version"), batch_id=None)
)
_REJECT_CANDIDATES = Prepared(
    update(versions)
    .where(versions.c.batch_id == bindparam("batch"), versions.c.state == VersionState.CANDIDATE.value)
    .values(state=VersionState.REJECTED.value, reason=bindparam("why"))
)
_END = Prepared(
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(state=bindparam("to"), reason=bindparam("why"), ended_at=bindparam("now"))
)


def acquire(connection: Connection, lineage: str, owner: str, lease_seconds: float, now: datetime) -> UpdaterLease:
    """Take the lineage's one updater lease; what a dead owner left behind is put back first.

    Raises:
        UpdatesPaused, LineageBusy.
    """
    row = leases.lock(connection, lineage)
    pauses.check(connection, lineage)
    leases.check_free(connection, row, now)
    expel(connection, row, now)
    return leases.grant(connection, lineage, owner, row.fence + 1, lease_seconds, now)


def expel(connection: Connection, row: PreparedRow, now: datetime) -> None:
    """End an expired lease: its experiences wait again, its batch is abandoned."""
    if row.lease_owner is not None:
        abandon_open_batch(connection, row.name, f"the lease of {row.lease_owner!r} expired", now, crashed=True)
        leases.clear(connection, row.name)


def release(connection: Connection, lease: UpdaterLease, now: datetime) -> None:
    """Give the lease back with everything that is still open under it; one that is already over stays over."""
    row = leases.lock(connection, lease.lineage)
    if row.fence == lease.fence and row.lease_owner is not None:
        abandon_open_batch(connection, lease.lineage, f"{lease.owner!r} gave its lease back", now, crashed=False)
        leases.clear(connection, lease.lineage)


def open_batch(
    connection: Connection, lease: UpdaterLease, limit: int, order: ClaimOrder, now: datetime
) -> Batch:
    """Claim pending experiences, at most `limit`, those that come first in the order.

    Raises:
        NothingPending: there are none.
    """
    head = leases.hold(connection, lease).head
    ids = claims.next_ids(connection, lease.lineage, limit, order, now)
    batch = _insert_batch(connection, lease, head, sorted(ids), now)
    claims.let_in(connection, lease.lineage, len(ids))
    return batch


def preview(connection: Connection, lineage: str, limit: int, order: ClaimOrder, now: datetime) -> Batch:
    """The batch that an update would open now, with the id that it would get if nobody else opened one before.

    Raises:
        NothingPending: there are none.
    """
    row = leases.row_of(connection, lineage)
    last = connection.execute(select(func.max(batches.c.id))).scalar() or 0
    return Batch(
        id=last + 1, lineage=lineage, parent_version=0 if row is None else row.head,
        experience_ids=tuple(sorted(claims.next_ids(connection, lineage, limit, order, now))), state="open",
        fence=1 if row is None else row.fence + 1,
    )  # fmt: skip


def open_batch_of(connection: Connection, lease: UpdaterLease, ids: Sequence[int], now: datetime) -> Batch:
    """Claim exactly these pending experiences.

    Raises:
        UnknownExperience: one is not in this lineage.
        BadInput: one is not pending, or there are none.
    """
    head = leases.hold(connection, lease).head
    wanted = sorted(set(ids))
    if not wanted:
        raise BadInput("got no experience ids; a batch needs at least one")
    states: dict[int, str] = {}
    for piece in pieces(wanted):
        statement = select(experiences.c.id, experiences.c.state).where(
            experiences.c.id.in_(piece), experiences.c.lineage == lease.lineage
        )
        states |= {row.id: row.state for row in connection.execute(statement)}
    for number in wanted:
        if number not in states:
            raise UnknownExperience(f"lineage {lease.lineage!r} has no experience {number}")
        if states[number] != ExperienceState.PENDING.value:
            raise BadInput(f"experience {number} is {states[number]}; only pending ones can be put into a batch")
    return _insert_batch(connection, lease, head, wanted, now)


def _insert_batch(connection: Connection, lease: UpdaterLease, head: int, ids: list[int], now: datetime) -> Batch:
    standing = _STANDING.one_or_none(connection, lineage=lease.lineage)
    if standing is not None:
        raise BadInput(f"batch {standing.id} of lineage {lease.lineage!r} is still open; admit or reject it first")
    batch_id: int = _INSERT_BATCH.one(
        connection, lineage=lease.lineage, parent_version=head, state="open", fence=lease.fence, opened_at=now
    ).id
    _LEASE.rows(connection, ids=ids, batch=batch_id)
    _INSERT_MEMBERS.rows(connection, batch=batch_id)
    return Batch(
        id=batch_id, lineage=lease.lineage, parent_version=head, experience_ids=tuple(ids), state="open",
        fence=lease.fence,
    )  # fmt: skip


def turn(connection: Connection, lineage: str, batch_id: int) -> int:
    """Which turn a batch of this id has in its lineage, from 1: one more than the batches before it that were committed
    or rejected. An abandoned one, as of a process that was killed, has the turn of the one that comes in its place.
    """
    return int(_NUM_JUDGED.one(connection, lineage=lineage, batch=batch_id).num) + 1


def has_open(connection: Connection, lineage: str) -> bool:
    """Whether a batch of the lineage is open."""
    return _STANDING.one_or_none(connection, lineage=lineage) is not None


def find(connection: Connection, batch_id: int) -> Batch:
    """The batch with its members, whatever became of it."""
    row = _BATCH.one_or_none(connection, batch=batch_id)
    if row is None:
        raise BadInput(f"there is no batch {batch_id}")
    ids = [member.experience_id for member in _MEMBERS.rows(connection, batch=batch_id)]
    return Batch(
        id=row.id, lineage=row.lineage, parent_version=row.parent_version, experience_ids=tuple(ids),
        state=row.state, fence=row.fence,
    )  # fmt: skip


def memberships(connection: Connection, experience_id: int) -> list[Membership]:
    """Every batch that the experience was in, by id."""
    ours = select(members.c.batch_id).where(members.c.experience_id == experience_id)
    size = select(func.count()).where(members.c.batch_id == batches.c.id).scalar_subquery()
    made = select(func.max(versions.c.number)).where(versions.c.batch_id == batches.c.id).scalar_subquery()
    statement = select(
        batches.c.id, batches.c.opened_at, batches.c.ended_at, size.label("size"), batches.c.state, batches.c.reason,
        made.label("made"),
    ).where(batches.c.id.in_(ours))  # fmt: skip
    return [
        Membership(
            batch_id=row.id, opened_at=row.opened_at, ended_at=row.ended_at, num_experiences=row.size, state=row.state,
            reason=row.reason, version=row.made,
        )
        for row in connection.execute(statement.order_by(batches.c.id))
    ]  # fmt: skip


def hold_batch(connection: Connection, lease: UpdaterLease, batch_id: int) -> Batch:
    """The open batch, if lease and batch are still ours.

    Raises:
        LeaseLost: the lease is over, or the batch was ended (also by forgetting one of its experiences).
    """
    leases.hold(connection, lease)
    check_open(connection, lease, batch_id)
    return find(connection, batch_id)


def check_open(connection: Connection, lease: UpdaterLease, batch_id: int) -> PreparedRow:
    """The row of the batch, which is still ours under a lease that is.

    Raises:
        LeaseLost: the batch was ended.
    """
    batch = _BATCH.one_or_none(connection, batch=batch_id)
    if batch is None:
        raise BadInput(f"there is no batch {batch_id}")
    if batch.lineage != lease.lineage or batch.fence != lease.fence or batch.state != "open":
        raise LeaseLost(
            f"batch {batch_id} is {batch.state}{f' ({batch.reason})' if batch.reason else ''} and belongs to fence "
            f"{batch.fence} of lineage {batch.lineage!r}; open a new batch"
        )
    return batch


def reject(
    connection: Connection, lease: UpdaterLease, batch_id: int, reason: str, refuse: bool, now: datetime
) -> None:
    """End a batch without learning it: its experiences are refused with the reason, or wait again."""
    if not reason.strip():
        raise BadInput("got an empty reason; a rejection says why")
    hold_batch(connection, lease, batch_id)
    if refuse:
        happenings.note_members(connection, batch_id, "refused", reason, now)
        connection.execute(
            update(experiences)
            .where(experiences.c.batch_id == batch_id)
            .values(state=ExperienceState.REFUSED.value, reason=reason, batch_id=None)
        )
    _end(connection, batch_id, "rejected", reason, now)


def commit(connection: Connection, batch_id: int, version: int, remark: str | None, now: datetime) -> None:
    """End a batch whose version is admitted: its experiences are learned in it. The remark says how, for people."""
    _LEARN.rows(connection, batch=batch_id, version=version)
    _REJECT_CANDIDATES.rows(connection, batch=batch_id, why=f"version {version} was admitted for the same batch")
    _END.rows(connection, batch=batch_id, to="committed", why=remark, now=now)


def abandon_open_batch(connection: Connection, lineage: str, reason: str, now: datetime, *, crashed: bool) -> None:
    """End the lineage's open batch, if there is one. A crash counts against its experiences, which wait longer."""
    standing = _STANDING.one_or_none(connection, lineage=lineage)
    if standing is None:
        return
    batch_id: int = standing.id
    if crashed:
        _count_death(connection, batch_id, now)
    _end(connection, batch_id, "abandoned", reason, now)


def _count_death(connection: Connection, batch_id: int, now: datetime) -> None:
    ours = experiences.c.batch_id == batch_id
    connection.execute(update(experiences).where(ours).values(attempts=experiences.c.attempts + 1))
    is_dead = experiences.c.attempts >= DEAD_AFTER_ATTEMPTS
    reason = f"{DEAD_AFTER_ATTEMPTS} updates died while holding it"
    happenings.note_members(connection, batch_id, "died", reason, now, is_dead)
    connection.execute(
        update(experiences)
        .where(ours, is_dead)
        .values(state=ExperienceState.DEAD.value, batch_id=None, reason=reason)
    )
    for attempts in range(claims.ALONE_AFTER_ATTEMPTS, DEAD_AFTER_ATTEMPTS):
        due = now + timedelta(seconds=claims.backoff_seconds(attempts))
        connection.execute(
            update(experiences)
            .where(ours, experiences.c.attempts == attempts)
            .values(state=ExperienceState.PENDING.value, batch_id=None, not_before=due)
        )


def _end(connection: Connection, batch_id: int, state: str, reason: str, now: datetime) -> None:
    connection.execute(
        update(experiences)
        .where(experiences.c.batch_id == batch_id)
        .values(state=ExperienceState.PENDING.value, batch_id=None)
    )
    _REJECT_CANDIDATES.rows(connection, batch=batch_id, why=reason)
    # Targets of a batch that will never be admitted can never be replayed.
    connection.execute(delete(targets).where(targets.c.batch_id == batch_id))
    _END.rows(connection, batch=batch_id, to=state, why=reason, now=now)


def num_abandoned(connection: Connection, lineage: str, at_most: int, now: datetime) -> int:
    """How many an expired lease still holds, counted as far as `at_most`."""
    if leases.is_being_updated(connection, lineage, now):
        return 0
    leased = select(experiences.c.id).where(
        experiences.c.lineage == lineage, experiences.c.state == ExperienceState.LEASED.value
    )
    return len(connection.execute(leased.limit(at_most)).all())
