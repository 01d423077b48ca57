"""The queue inside a transaction: updater leases and batches. Knows no weights and no target sentences' meaning.

Every function that changes a lineage takes its row first, so that workers act one after the other.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from memory_log import claims, happenings, pauses, tables
from memory_log.errors import BadInput, LeaseLost, LineageBusy, UnknownExperience, UnknownVersion
from memory_log.records import Batch, ClaimOrder, ExperienceState, Membership, UpdaterLease, VersionState
from memory_log.words import pieces

DEAD_AFTER_ATTEMPTS = 5

# A lease that would last longer than any is granted, or whose batch was opened in what is now the future, was written
# before the clock was set back: its end says nothing. Clocks of several machines may differ by the tolerance.
MOST_LEASE_SECONDS = 3600.0
CLOCK_TOLERANCE_SECONDS = 60.0

lineages, batches, members = tables.lineages, tables.batches, tables.batch_members
experiences, versions, targets = tables.experiences, tables.versions, tables.targets

# What every update says, made once: making a statement anew costs several times what SQLite takes to run it.
_LINEAGE = select(lineages).where(lineages.c.name == bindparam("lineage"))
_LINEAGE_LOCKED = _LINEAGE.with_for_update()
_BATCH = select(batches).where(batches.c.id == bindparam("batch"))
_MEMBERS = (
    select(members.c.experience_id).where(members.c.batch_id == bindparam("batch")).order_by(members.c.experience_id)
)
_STANDING = select(batches.c.id).where(batches.c.lineage == bindparam("lineage"), batches.c.state == "open")
_INSERT_BATCH = insert(batches).returning(batches.c.id)
_INSERT_MEMBER = insert(members)
_LEASE_MEMBERS = (
    update(experiences)
    .where(
        experiences.c.id.in_(select(members.c.experience_id).where(members.c.batch_id == bindparam("batch")))
    )
    .values(state=ExperienceState.LEASED.value, batch_id=bindparam("batch"), not_before=None)
)
_LEARN = (
    update(experiences)
    .where(experiences.c.batch_id == bindparam("batch"))
    .values(state=ExperienceState.LEARNED.value, learned_in=bindparam("version"), batch_id=None)
)
_REJECT_CANDIDATES = (
    update(versions)
    .where(versions.c.batch_id == bindparam("batch"), versions.c.state == VersionState.CANDIDATE.value)
    .values(state=VersionState.REJECTED.value, reason=bindparam("why"))
)
_END = (
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(state=bindparam("to"), reason=bindparam("why"), ended_at=bindparam("now"))
)


def lock(connection: Connection, lineage: str) -> Row[Any]:
    """The lineage's row, ours until the transaction ends.

    Raises:
        UnknownVersion: nobody has called `ensure_lineage` for it.
    """
    row = connection.execute(_LINEAGE_LOCKED, {"lineage": lineage}).one_or_none()
    if row is None:
        raise UnknownVersion(f"lineage {lineage!r} has no versions yet; `ensure_lineage` makes version 0")
    return row


def hold(connection: Connection, lease: UpdaterLease) -> Row[Any]:
    """The lineage's row, if this lease is still the one that counts.

    A lease past its time still counts until somebody else takes over: only then could two work on one lineage.

    Raises:
        LeaseLost: it was released, or another acquisition has a higher fence.
    """
    row = lock(connection, lease.lineage)
    if row.fence != lease.fence or row.lease_owner is None:
        holder = f"held by {row.lease_owner!r}" if row.lease_owner is not None else "free"
        raise LeaseLost(
            f"the lease of {lease.owner!r} on lineage {lease.lineage!r} (fence {lease.fence}) is over: the lineage is "
            f"at fence {row.fence} and {holder}; acquire a new lease and open a new batch"
        )
    return row


def acquire(connection: Connection, lineage: str, owner: str, lease_seconds: float, now: datetime) -> UpdaterLease:
    """Take the lineage's one updater lease; what a dead owner left behind is put back first.

    Raises:
        UpdatesPaused, LineageBusy.
    """
    row = lock(connection, lineage)
    pauses.check(connection, lineage)
    check_free(connection, row, now)
    expel(connection, row, now)
    return _write_lease(connection, lineage, owner, row.fence + 1, lease_seconds, now)


def is_held(connection: Connection, row: Row[Any], now: datetime) -> bool:
    """Whether an unexpired lease stands. One from before the clock was set back counts as expired.

    Should its owner live after all, nothing breaks: its fence is older, so that it cannot commit.
    """
    if row.lease_owner is None or row.lease_expires_at <= now:
        return False
    opened_at = connection.execute(
        select(batches.c.opened_at).where(
            batches.c.lineage == row.name, batches.c.state == "open", batches.c.fence == row.fence
        )
    ).scalar()
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_SECONDS)
    # An owner that lived on has renewed its lease by the new time, which ends it before its batch was opened.
    is_from_before = opened_at is not None and now + tolerance < opened_at <= row.lease_expires_at
    return not is_from_before and row.lease_expires_at <= now + timedelta(seconds=MOST_LEASE_SECONDS) + tolerance


def check_free(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Raises:
    LineageBusy: an unexpired lease stands.
    """
    if is_held(connection, row, now):
        seconds = math.ceil((row.lease_expires_at - now).total_seconds())
        raise LineageBusy(
            f"lineage {row.name!r} is being updated by {row.lease_owner!r}, whose lease ends in {seconds} s; "
            "try again when that update has ended"
        )


def expel(connection: Connection, row: Row[Any], now: datetime) -> None:
    """End an expired lease: its experiences wait again, its batch is abandoned."""
    if row.lease_owner is not None:
        abandon_open_batch(connection, row.name, f"the lease of {row.lease_owner!r} expired", now, crashed=True)
        _clear_lease(connection, row.name)


def renew(connection: Connection, lease: UpdaterLease, lease_seconds: float, now: datetime) -> UpdaterLease:
    """The same lease with a later end."""
    hold(connection, lease)
    return _write_lease(connection, lease.lineage, lease.owner, lease.fence, lease_seconds, now)


def _write_lease(
    connection: Connection, lineage: str, owner: str, fence: int, lease_seconds: float, now: datetime
) -> UpdaterLease:
    if not 0 < lease_seconds <= MOST_LEASE_SECONDS or not owner:
        raise BadInput(
            f"got lease_seconds={lease_seconds}, owner={owner!r}; a lease needs a positive time of at most "
            f"{MOST_LEASE_SECONDS:.0f} s, and a name"
        )
    lease = UpdaterLease(
        lineage=lineage, owner=owner, fence=fence, expires_at=now + timedelta(seconds=float(lease_seconds))
    )
    connection.execute(
        update(lineages)
        .where(lineages.c.name == lineage)
        .values(fence=fence, lease_owner=owner, lease_expires_at=lease.expires_at)
    )
    return lease


def release(connection: Connection, lease: UpdaterLease, now: datetime) -> None:
    """Give the lease back with everything that is still open under it; one that is already over stays over."""
    row = lock(connection, lease.lineage)
    if row.fence == lease.fence and row.lease_owner is not None:
        abandon_open_batch(connection, lease.lineage, f"{lease.owner!r} gave its lease back", now, crashed=False)
        _clear_lease(connection, lease.lineage)


def _clear_lease(connection: Connection, lineage: str) -> None:
    # The fence stays: the next acquisition counts on from it, so that no two leases ever share one.
    connection.execute(
        update(lineages).where(lineages.c.name == lineage).values(lease_owner=None, lease_expires_at=None)
    )


def open_batch(
    connection: Connection, lease: UpdaterLease, limit: int, order: ClaimOrder, now: datetime
) -> Batch:
    """Claim pending experiences, at most `limit`, those that come first in the order.

    Raises:
        NothingPending: there are none.
    """
    head = hold(connection, lease).head
    ids = claims.next_ids(connection, lease.lineage, limit, order, now)
    batch = _insert_batch(connection, lease, head, sorted(ids), now)
    claims.let_in(connection, lease.lineage, len(ids))
    return batch


def preview(connection: Connection, lineage: str, limit: int, order: ClaimOrder, now: datetime) -> Batch:
    """The batch that an update would open now, with the id that it would get if nobody else opened one before.

    Raises:
        NothingPending: there are none.
    """
    row = connection.execute(_LINEAGE, {"lineage": lineage}).one_or_none()
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
    head = hold(connection, lease).head
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
    standing = connection.execute(_STANDING, {"lineage": lease.lineage}).scalar()
    if standing is not None:
        raise BadInput(f"batch {standing} of lineage {lease.lineage!r} is still open; admit or reject it first")
    row = {"lineage": lease.lineage, "parent_version": head, "state": "open", "fence": lease.fence, "opened_at": now}
    batch_id = connection.execute(_INSERT_BATCH, row).scalar_one()
    connection.execute(_INSERT_MEMBER, [{"batch_id": batch_id, "experience_id": number} for number in ids])
    connection.execute(_LEASE_MEMBERS, {"batch": batch_id})
    return Batch(
        id=batch_id, lineage=lease.lineage, parent_version=head, experience_ids=tuple(ids), state="open",
        fence=lease.fence,
    )  # fmt: skip


def find(connection: Connection, batch_id: int) -> Batch:
    """The batch with its members, whatever became of it."""
    row = connection.execute(_BATCH, {"batch": batch_id}).one_or_none()
    if row is None:
        raise BadInput(f"there is no batch {batch_id}")
    ids = connection.execute(_MEMBERS, {"batch": batch_id}).scalars()
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
    hold(connection, lease)
    check_open(connection, lease, batch_id)
    return find(connection, batch_id)


def check_open(connection: Connection, lease: UpdaterLease, batch_id: int) -> Row[Any]:
    """The row of the batch, which is still ours under a lease that is.

    Raises:
        LeaseLost: the batch was ended.
    """
    batch = connection.execute(_BATCH, {"batch": batch_id}).one_or_none()
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


def commit(connection: Connection, batch_id: int, version: int, now: datetime) -> None:
    """End a batch whose version is admitted: its experiences are learned in it."""
    connection.execute(_LEARN, {"batch": batch_id, "version": version})
    _reject_candidates(connection, batch_id, f"version {version} was admitted for the same batch")
    connection.execute(_END, {"batch": batch_id, "to": "committed", "why": None, "now": now})


def abandon_open_batch(connection: Connection, lineage: str, reason: str, now: datetime, *, crashed: bool) -> None:
    """End the lineage's open batch, if there is one. A crash counts against its experiences, which wait longer."""
    batch_id = connection.execute(
        select(batches.c.id).where(batches.c.lineage == lineage, batches.c.state == "open")
    ).scalar()
    if batch_id is None:
        return
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
    _reject_candidates(connection, batch_id, reason)
    # Targets of a batch that will never be admitted can never be replayed.
    connection.execute(delete(targets).where(targets.c.batch_id == batch_id))
    connection.execute(_END, {"batch": batch_id, "to": state, "why": reason, "now": now})


def _reject_candidates(connection: Connection, batch_id: int, reason: str) -> None:
    connection.execute(_REJECT_CANDIDATES, {"batch": batch_id, "why": reason})


def is_being_updated(connection: Connection, lineage: str, now: datetime) -> bool:
    """Whether an unexpired lease stands on a lineage, which need not be there yet."""
    row = connection.execute(_LINEAGE, {"lineage": lineage}).one_or_none()
    return row is not None and is_held(connection, row, now)


def num_abandoned(connection: Connection, lineage: str, at_most: int, now: datetime) -> int:
    """How many an expired lease still holds, counted as far as `at_most`."""
    if is_being_updated(connection, lineage, now):
        return 0
    leased = select(experiences.c.id).where(
        experiences.c.lineage == lineage, experiences.c.state == ExperienceState.LEASED.value
    )
    return len(connection.execute(leased.limit(at_most)).all())


def current_lease(connection: Connection, lineage: str) -> UpdaterLease | None:
    """The lease on record, expired or not."""
    row = connection.execute(_LINEAGE, {"lineage": lineage}).one_or_none()
    if row is None or row.lease_owner is None:
        return None
    return UpdaterLease(lineage=lineage, owner=row.lease_owner, fence=row.fence, expires_at=row.lease_expires_at)
