"""The right to update a lineage, inside a transaction: who holds it, until when, and the fence that tells leases apart.

Knows the lineage's row, which whoever changes a lineage takes first, so that workers act one after the other. Refuses
to know what is done under a lease.
"""

import math
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from memory_log import tables
from memory_log.errors import BadInput, LeaseLost, LineageBusy, UnknownVersion
from memory_log.prepared import Prepared, PreparedRow, literally
from memory_log.records import UpdaterLease

lineages, batches = tables.lineages, tables.batches

# A lease that would last longer than any is granted, or whose batch was opened in what is now the future, was written
# before the clock was set back: its end says nothing. Clocks of several machines may differ by the tolerance.
MOST_LEASE_SECONDS = 3600.0
CLOCK_TOLERANCE_SECONDS = 60.0

_OF_LINEAGE = select(lineages).where(lineages.c.name == bindparam("lineage"))
_LINEAGE = Prepared(_OF_LINEAGE)
_LINEAGE_LOCKED = Prepared(_OF_LINEAGE.with_for_update())


def row_of(connection: Connection, lineage: str) -> PreparedRow:
    """The lineage's row as it is; None where there is none yet."""
    return _LINEAGE.one_or_none(connection, lineage=lineage)


def lock(connection: Connection, lineage: str) -> PreparedRow:
    """The lineage's row, ours until the transaction ends.

    Raises:
        UnknownVersion: nobody has called `ensure_lineage` for it.
    """
    row = _LINEAGE_LOCKED.one_or_none(connection, lineage=lineage)
    if row is None:
        raise UnknownVersion(f"lineage {lineage!r} has no versions yet; `ensure_lineage` makes version 0")
    return row


def hold(connection: Connection, lease: UpdaterLease) -> PreparedRow:
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


def is_held(connection: Connection, row: PreparedRow, now: datetime) -> bool:
    """Whether an unexpired lease stands. One from before the clock was set back counts as expired.

    Should its owner live after all, nothing breaks: its fence is older, so that it cannot commit.
    """
    if row.lease_owner is None or row.lease_expires_at <= now:
        return False
    opened_at = connection.execute(
        select(batches.c.opened_at).where(
            batches.c.lineage == row.name, batches.c.state == literally("open"), batches.c.fence == row.fence
        )
    ).scalar()
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_SECONDS)
    # An owner that lived on has renewed its lease by the new time, which ends it before its batch was opened.
    is_from_before = opened_at is not None and now + tolerance < opened_at <= row.lease_expires_at
    return not is_from_before and row.lease_expires_at <= now + timedelta(seconds=MOST_LEASE_SECONDS) + tolerance


def check_free(connection: Connection, row: PreparedRow, now: datetime) -> None:
    """Raises:
    LineageBusy: an unexpired lease stands.
    """
    if is_held(connection, row, now):
        seconds = math.ceil((row.lease_expires_at - now).total_seconds())
        raise LineageBusy(
            f"lineage {row.name!r} is being updated by {row.lease_owner!r}, whose lease ends in {seconds} s; "
            "try again when that update has ended"
        )


def renew(connection: Connection, lease: UpdaterLease, lease_seconds: float, now: datetime) -> UpdaterLease:
    """The same lease with a later end."""
    hold(connection, lease)
    return grant(connection, lease.lineage, lease.owner, lease.fence, lease_seconds, now)


def grant(
    connection: Connection, lineage: str, owner: str, fence: int, lease_seconds: float, now: datetime
) -> UpdaterLease:
    """Write down who holds the lineage from now on."""
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


def clear(connection: Connection, lineage: str) -> None:
    """Let nobody hold the lineage."""
    # The fence stays: the next acquisition counts on from it, so that no two leases ever share one.
    connection.execute(
        update(lineages).where(lineages.c.name == lineage).values(lease_owner=None, lease_expires_at=None)
    )


def is_being_updated(connection: Connection, lineage: str, now: datetime) -> bool:
    """Whether an unexpired lease stands on a lineage, which need not be there yet."""
    row = row_of(connection, lineage)
    return row is not None and is_held(connection, row, now)


def current_lease(connection: Connection, lineage: str) -> UpdaterLease | None:
    """The lease on record, expired or not."""
    row = row_of(connection, lineage)
    if row is None or row.lease_owner is None:
        return None
    return UpdaterLease(lineage=lineage, owner=row.lease_owner, fence=row.fence, expires_at=row.lease_expires_at)
