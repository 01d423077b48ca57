"""Versions inside a transaction: the chain, the head, admission and rollback. A delta is a path and a hash to it.

`admit` is the one place where an update becomes true, and it is one transaction.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from memory_log import batches, happenings, leases, tables, targets
from memory_log.errors import BadInput, BaseModelChanged, HeadMoved, UnknownVersion
from memory_log.fields import MAX_INTEGER
from memory_log.prepared import Prepared, PreparedRow
from memory_log.records import DeltaRef, ExperienceState, UpdaterLease, Version, VersionState
from memory_log.words import pieces

lineages, experiences = tables.lineages, tables.experiences
versions, members = tables.versions, tables.batch_members

_VERSION = Prepared(
    select(versions).where(versions.c.lineage == bindparam("lineage"), versions.c.number == bindparam("number"))
)
_LAST = Prepared(
    select(func.max(versions.c.number).label("number")).where(versions.c.lineage == bindparam("lineage"))
)
_INSERTED = (
    "lineage", "number", "parent", "batch_id", "state", "delta_path", "delta_sha256", "delta_kind", "delta_bytes",
    "weights_hash", "metrics", "created_at",
)  # fmt: skip
_INSERT = Prepared(insert(versions), columns=_INSERTED)
_ADMIT = Prepared(
    update(versions)
    .where(versions.c.lineage == bindparam("of"), versions.c.number == bindparam("which"))
    .values(state=VersionState.ADMITTED.value, metrics=bindparam("measured", type_=versions.c.metrics.type))
)
_MOVE_HEAD = Prepared(
    update(lineages).where(lineages.c.name == bindparam("lineage")).values(head=bindparam("number"))
)

# What a roll forward finds learned after all: every state but forgotten (and leased, which no rollback meets).
_LEARNABLE = [state.value for state in (ExperienceState.PENDING, ExperienceState.REFUSED, ExperienceState.DEAD)]


def ensure_lineage(connection: Connection, lineage: str, base_fingerprint: str, now: datetime) -> Version:
    """Make the lineage with version 0, the base model, or check that it has this base. Its head.

    Raises:
        BaseModelChanged: it was made with another base model.
    """
    insert_for = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = {"name": lineage, "base_fingerprint": base_fingerprint, "head": 0}
    connection.execute(insert_for(lineages).values(row).on_conflict_do_nothing())
    locked = leases.lock(connection, lineage)
    _check_base(locked, base_fingerprint)
    if connection.execute(select(versions.c.number).where(versions.c.lineage == lineage).limit(1)).first() is None:
        base = {"lineage": lineage, "number": 0, "state": VersionState.ADMITTED.value, "metrics": {}, "created_at": now}
        connection.execute(insert(versions).values(base))
    return find(connection, lineage, locked.head)


def base_fingerprint(connection: Connection, lineage: str) -> str | None:
    """The fingerprint of the base model that the lineage was made with; None where there is no such lineage."""
    statement = select(lineages.c.base_fingerprint).where(lineages.c.name == lineage)
    return connection.execute(statement).scalar_one_or_none()


def known_head(connection: Connection, lineage: str, base_fingerprint: str) -> Version | None:
    """The head of a lineage that has this base model; None where there is no such lineage yet.

    Raises:
        BaseModelChanged: it was made with another base model.
    """
    row = connection.execute(select(lineages).where(lineages.c.name == lineage)).one_or_none()
    if row is None:
        return None
    _check_base(row, base_fingerprint)
    return find(connection, lineage, row.head)


def _check_base(row: PreparedRow, base_fingerprint: str) -> None:
    if row.base_fingerprint != base_fingerprint:
        raise BaseModelChanged(
            f"lineage {row.name!r} was made with the base model {row.base_fingerprint}, got {base_fingerprint}; "
            "its deltas fit no other: use that model, or another lineage or home; a new home learns the experiences "
            "anew with: selfparam --home NEW import HOME --relearn"
        )


def find(connection: Connection, lineage: str, number: int) -> Version:
    """The version, whatever its state.

    Raises:
        UnknownVersion: names the versions that there are.
    """
    if 0 <= number <= MAX_INTEGER:
        row = _VERSION.one_or_none(connection, lineage=lineage, number=number)
        if row is not None:
            return _record(row)
    last: int | None = _LAST.one(connection, lineage=lineage).number
    if last is None:
        raise UnknownVersion(f"lineage {lineage!r} has no versions yet; its first update makes them")
    there = "only version 0" if last == 0 else f"versions 0 to {last}"
    raise UnknownVersion(f"lineage {lineage!r} has {there}, got {number}; list them with `versions`")


def _record(row: PreparedRow) -> Version:
    delta = None
    if row.delta_path is not None:
        delta = DeltaRef(path=row.delta_path, sha256=row.delta_sha256, kind=row.delta_kind, num_bytes=row.delta_bytes)
    return Version(
        lineage=row.lineage, number=row.number, parent=row.parent, batch_id=row.batch_id, state=row.state, delta=delta,
        weights_hash=row.weights_hash, metrics=row.metrics, reason=row.reason, created_at=row.created_at,
    )  # fmt: skip


def head(connection: Connection, lineage: str) -> Version:
    """The version that new requests are bound to and that the next update starts from."""
    number = connection.execute(select(lineages.c.head).where(lineages.c.name == lineage)).scalar()
    return find(connection, lineage, 0 if number is None else number)


def listed(connection: Connection, lineage: str) -> list[Version]:
    """Every version of the lineage by number."""
    statement = select(versions).where(versions.c.lineage == lineage).order_by(versions.c.number)
    return [_record(row) for row in connection.execute(statement)]


def ancestry(connection: Connection, lineage: str, number: int) -> set[int]:
    """The numbers from the base to this version, both included."""
    find(connection, lineage, number)
    ours = versions.c.lineage == lineage
    line = select(versions.c.number, versions.c.parent).where(ours, versions.c.number == number).cte(recursive=True)
    line = line.union_all(select(versions.c.number, versions.c.parent).where(ours, versions.c.number == line.c.parent))
    return set(connection.execute(select(line.c.number)).scalars())


def chain(connection: Connection, lineage: str, number: int) -> list[Version]:
    """The versions whose deltas make up this one, first to last; empty for version 0."""
    found: list[Version] = []
    for piece in pieces(sorted(ancestry(connection, lineage, number) - {0})):
        statement = select(versions).where(versions.c.lineage == lineage, versions.c.number.in_(piece))
        found += [_record(row) for row in connection.execute(statement.order_by(versions.c.number))]
    return found


def add_candidate(
    connection: Connection,
    lease: UpdaterLease,
    batch_id: int,
    *,
    delta: DeltaRef,
    weights_hash: str,
    metrics: Mapping[str, float],
    now: datetime,
) -> Version:
    """Record what an update yielded, before the gate decides. Its number is never given to another one."""
    leases.hold(connection, lease)
    batch = batches.check_open(connection, lease, batch_id)
    number: int = _LAST.one(connection, lineage=lease.lineage).number + 1
    row = {
        "lineage": lease.lineage, "number": number, "parent": batch.parent_version, "batch_id": batch_id,
        "state": VersionState.CANDIDATE.value, "delta_path": delta.path, "delta_sha256": delta.sha256,
        "delta_kind": delta.kind, "delta_bytes": delta.num_bytes, "weights_hash": weights_hash,
        "metrics": dict(metrics), "created_at": now,
    }  # fmt: skip
    _INSERT.rows(connection, **row)
    return Version(
        lineage=lease.lineage, number=number, parent=batch.parent_version, batch_id=batch_id,
        state=VersionState.CANDIDATE, delta=delta, weights_hash=weights_hash, metrics=dict(metrics), reason=None,
        created_at=now,
    )  # fmt: skip


def admit(
    connection: Connection,
    lease: UpdaterLease,
    number: int,
    *,
    metrics: Mapping[str, float] | None,
    superseded: Mapping[int, int],
    remark: str | None,
    now: datetime,
) -> Version:
    """Make a candidate the head: its batch is learned and its targets can be replayed.

    Raises:
        LeaseLost, HeadMoved: somebody else got there first.
    """
    row = leases.hold(connection, lease)
    candidate = find(connection, lease.lineage, number)
    if candidate.state is VersionState.ADMITTED and row.head == number:
        return candidate  # the answer to an earlier call was lost on its way
    if candidate.parent != row.head:
        raise HeadMoved(
            f"version {number} continues version {candidate.parent}, but the head of lineage {lease.lineage!r} is "
            f"version {row.head}; open a new batch on top of it"
        )
    _check_state(candidate, VersionState.CANDIDATE, "admitted")
    batch_id = batches.check_open(connection, lease, candidate.batch_id or 0).id
    measured = candidate.metrics | {name: float(figure) for name, figure in (metrics or {}).items()}
    _ADMIT.rows(connection, of=lease.lineage, which=number, measured=measured)
    batches.commit(connection, batch_id, number, remark, now)
    targets.admit_batch(connection, lease.lineage, batch_id, number)
    _check_superseders(connection, lease.lineage, superseded)
    targets.supersede(connection, lease.lineage, number, superseded)
    _MOVE_HEAD.rows(connection, lineage=lease.lineage, number=number)
    return candidate.model_copy(update={"state": VersionState.ADMITTED, "metrics": measured})


def _check_state(version: Version, wanted: VersionState, verb: str) -> None:
    if version.state is not wanted:
        reason = f" ({version.reason})" if version.reason else ""
        raise BadInput(f"version {version.number} is {version.state}{reason}; only a {wanted} one can be {verb}")


def _check_superseders(connection: Connection, lineage: str, superseded: Mapping[int, int]) -> None:
    for piece in pieces(sorted(set(superseded.values()))):
        statement = select(experiences.c.id).where(experiences.c.id.in_(piece), experiences.c.lineage == lineage)
        strangers = set(piece) - set(connection.execute(statement).scalars())
        if strangers:
            raise BadInput(f"lineage {lineage!r} has no experiences {sorted(strangers)} that could supersede a target")


def reject(
    connection: Connection, lease: UpdaterLease, number: int, reason: str, metrics: Mapping[str, float]
) -> Version:
    """Refuse a candidate. Its batch stays open: try again, or end it with `reject_batch`."""
    if not reason.strip():
        raise BadInput("got an empty reason; a rejection says why")
    leases.hold(connection, lease)
    candidate = find(connection, lease.lineage, number)
    _check_state(candidate, VersionState.CANDIDATE, "rejected")
    measured = candidate.metrics | {name: float(figure) for name, figure in metrics.items()}
    connection.execute(
        update(versions)
        .where(versions.c.lineage == lease.lineage, versions.c.number == number)
        .values(state=VersionState.REJECTED.value, reason=reason, metrics=measured)
    )
    return find(connection, lease.lineage, number)


def rollback(connection: Connection, lineage: str, number: int, now: datetime) -> Version:
    """Move the head to an admitted version, and what counts as learned with it.

    Raises:
        LineageBusy: an update runs; it would land on another head than it started from.
    """
    row = leases.lock(connection, lineage)
    leases.check_free(connection, row, now)
    _check_state(find(connection, lineage, number), VersionState.ADMITTED, "served")
    batches.expel(connection, row, now)
    return move_head(connection, row, number, now)


def move_head(connection: Connection, row: PreparedRow, number: int, now: datetime) -> Version:
    """Move the head of a lineage whose row is ours to an admitted version, and what counts as learned with it."""
    lineage: str = row.name
    goal = find(connection, lineage, number)
    _check_state(goal, VersionState.ADMITTED, "served")
    before, after = ancestry(connection, lineage, row.head), ancestry(connection, lineage, number)
    for piece in pieces(sorted(before - after)):
        connection.execute(
            update(experiences)
            .where(experiences.c.lineage == lineage, experiences.c.learned_in.in_(piece))
            .where(experiences.c.state == ExperienceState.LEARNED.value)
            .values(state=ExperienceState.PENDING.value, learned_in=None)
        )
    for version in sorted(after - before):
        batch_id = find(connection, lineage, version).batch_id
        learned = select(members.c.experience_id).where(members.c.batch_id == batch_id)
        connection.execute(
            update(experiences)
            .where(experiences.c.id.in_(learned), experiences.c.state.in_(_LEARNABLE))
            .values(state=ExperienceState.LEARNED.value, learned_in=version, reason=None, not_before=None)
        )
    if number != row.head:
        happenings.note_rollback(connection, lineage, number, now)
    targets.follow_head(connection, lineage, after, sorted(before ^ after))
    connection.execute(update(lineages).where(lineages.c.name == lineage).values(head=number))
    return goal


def referenced_blobs(connection: Connection) -> set[str]:
    """The paths of every delta that may still be read, of candidates and of admitted versions, and of snapshots."""
    statement = select(versions.c.delta_path).where(
        versions.c.delta_path.is_not(None), versions.c.state != VersionState.REJECTED.value
    )
    return set(connection.execute(statement.union_all(select(tables.snapshots.c.path))).scalars())
