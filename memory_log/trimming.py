"""Fewer target sentences inside a transaction: which of an experience's to keep, and dropping the others.

Knows kinds and the held-out split, whose shares stay as they were. Refuses to know how many are enough.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, delete, func, select, tuple_

from memory_log import leases, tables
from memory_log.targets import withdraw
from memory_log.words import pieces

targets, live, supersessions = tables.targets, tables.live_targets, tables.supersessions

LEAST_TARGETS = 4
"""One question and one near miss to replay, and one of each held out."""

Key = TypeVar("Key")
Item = TypeVar("Item")


def overfull(connection: Connection, lineage: str, limit: int) -> list[tuple[int, int]]:
    """The (experience id, version) pairs with more target sentences than the limit; open batches are left alone."""
    made = select(targets.c.experience_id, targets.c.version).where(
        targets.c.lineage == lineage, targets.c.version.is_not(None)
    )
    grouped = made.group_by(targets.c.experience_id, targets.c.version).having(func.count() > limit)
    found = connection.execute(grouped.order_by(targets.c.experience_id, targets.c.version))
    return [(row.experience_id, row.version) for row in found]


def surplus(connection: Connection, lineage: str, pairs: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The ids of the target sentences beyond the limit of each of these experiences."""
    found: list[int] = []
    for piece in pieces(pairs):
        statement = (
            select(
                targets.c.id, targets.c.experience_id, targets.c.version, targets.c.kind, targets.c.held_out,
                live.c.target_id.is_not(None).label("is_live"),
            )
            .join_from(targets, live, live.c.target_id == targets.c.id, isouter=True)
            # SQLite has no index for pairs; the first of each leads it to the second.
            .where(targets.c.experience_id.in_({number for number, _ in piece}))
            .where(targets.c.lineage == lineage, tuple_(targets.c.experience_id, targets.c.version).in_(piece))
            .order_by(targets.c.experience_id, targets.c.version, targets.c.id)
        )  # fmt: skip
        rows = connection.execute(statement).all()
        for _, group in groupby(rows, key=lambda row: (row.experience_id, row.version)):
            found += _beyond(list(group), limit)
    return found


def _beyond(rows: Sequence[Row[Any]], limit: int) -> Iterator[int]:
    kinds: dict[tuple[bool, bool], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        kinds[row.held_out, row.kind == "near_miss"].append(row)
    counts = kept_counts({kind: len(group) for kind, group in kinds.items()}, limit)
    for kind, group in kinds.items():
        drawn = [row.id for row in group if row.is_live]
        others = [row.id for row in group if not row.is_live]  # superseded, or left by a rollback: they may come back
        kept = set(spread(drawn, counts[kind])) | set(spread(others, counts[kind] - len(drawn)))
        yield from (row.id for row in group if row.id not in kept)


def kept_counts(sizes: Mapping[Key, int], limit: int) -> dict[Key, int]:
    """How many of each group to keep so that they are `limit` together: in proportion, and at least one of each.

    Example: kept_counts({"question": 30, "near miss": 10}, 8) == {"question": 6, "near miss": 2}
    """
    total = sum(sizes.values())
    counts = dict.fromkeys(sizes, 1)
    while sum(counts.values()) < min(limit, total):
        open_groups = [key for key in sizes if counts[key] < sizes[key]]
        furthest = max(open_groups, key=lambda key: sizes[key] * limit / total - counts[key])
        counts[furthest] += 1
    return counts


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, at even distances: neighbours were written alike."""
    if count >= len(items):
        return list(items)
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(max(0, count))]


def drop(connection: Connection, lineage: str, ids: Sequence[int]) -> int:
    """Delete these target sentences, also from what replay draws. The bytes of their payloads."""
    leases.lock(connection, lineage)
    withdraw(connection, lineage, ids)
    num_bytes = 0
    for piece in pieces(ids):
        num_bytes += payload_bytes(connection, piece)
        connection.execute(delete(supersessions).where(supersessions.c.target_id.in_(piece)))
        connection.execute(delete(targets).where(targets.c.id.in_(piece)))
    return num_bytes


def payload_bytes(connection: Connection, ids: Sequence[int]) -> int:
    """The bytes of the payloads of these target sentences."""
    num_bytes = 0
    for piece in pieces(ids):
        statement = select(func.sum(func.length(targets.c.payload))).where(targets.c.id.in_(piece))
        num_bytes += connection.execute(statement).scalar() or 0
    return num_bytes
