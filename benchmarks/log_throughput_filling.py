"""Logs that hold much, made in the fastest way that tells the truth, and what they take on disk.

Experiences and updates go through the log itself; target sentences go straight into its tables.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import create_engine, insert

from benchmarks.log_throughput_contestants import LINEAGE, OurLog, texts
from benchmarks.log_throughput_places import Place
from memory_log.records import ExperienceState
from memory_log.tables import live_targets, targets

Say = Callable[[str], None]

APPENDED_AT_ONCE: Final = 5000
LEARNED_AT_ONCE: Final = 500
FILLING_SEED: Final = 1
PAYLOAD: Final = bytes(range(256))


class Overhead(NamedTuple):
    """Bytes of the database for each experience, less the bytes of its text; no targets are stored."""

    waiting: float
    """While all wait to be learned."""
    learned: float
    """When nearly all are learned: with memberships, batches, versions and the room that dead rows left."""

    @property
    def worse(self) -> float:
        """The larger of the two."""
        return max(self)


def fill(place: Place, name: str, num: int, *, num_waiting: int, say: Say) -> Overhead:
    """Make a log of `num` experiences that are learned but for the newest, tenth by tenth, as a log grows.

    Each tenth ends in a VACUUM, which PostgreSQL would do by itself in a log that grows more slowly.
    """
    place.make(name)
    told = texts(num, FILLING_SEED)
    num_bytes_told = [len(text.encode()) for text in told]
    waiting, piece = 0.0, -(-num // 10)
    for start in range(0, num, piece):
        part = told[start : start + piece]
        with closing(OurLog(place.url(name))) as ours:
            for first in range(0, len(part), APPENDED_AT_ONCE):
                ours.append(ours.prepared(part[first : first + APPENDED_AT_ONCE]))
            if start == 0:
                place.rest(name)
                waiting = (place.num_bytes(name) - sum(num_bytes_told[:piece])) / len(part)
            num_pending = ours.log.count_by_state(LINEAGE)[ExperienceState.PENDING]
            ours.learn(max(0, num_pending - num_waiting) // LEARNED_AT_ONCE, LEARNED_AT_ONCE)
        place.rest(name)
        say(f"{place.engine}: {start + len(part)} experiences are stored")
    return Overhead(waiting, (place.num_bytes(name) - sum(num_bytes_told)) / num)


def fill_targets(place: Place, name: str, num: int) -> None:
    """Give a log that has learned something as many live targets, of the experiences with ids 1 to `num`."""
    with closing(OurLog(place.url(name))) as ours:
        version = ours.log.head(LINEAGE)
    rows = _target_rows(num, version.batch_id, version.number)
    slots = ({"lineage": LINEAGE, "held_out": False, "slot": slot, "target_id": slot + 1} for slot in range(num))
    if place.engine == "postgresql":
        with psycopg.connect(place.url(name)) as connection:
            _copy(connection, targets.name, rows)
            _copy(connection, live_targets.name, slots)
    else:
        engine = create_engine(place.url(name))
        with engine.begin() as transaction:
            for table, stream in ((targets, rows), (live_targets, slots)):
                while piece := list(islice(stream, APPENDED_AT_ONCE)):
                    transaction.execute(insert(table), piece)
        engine.dispose()
    place.rest(name)


def _target_rows(num: int, batch_id: int | None, version: int) -> Iterator[dict[str, Any]]:
    for number in range(1, num + 1):
        yield {
            "id": number, "lineage": LINEAGE, "experience_id": number, "batch_id": batch_id, "version": version,
            "kind": "question", "prompt": f"Where is thing number {number}?", "completion": "It is in the kitchen.",
            "subject": f"thing {number}", "relation": "location", "subject_words": f"thing {number}",
            "relation_words": "location", "held_out": False, "payload": PAYLOAD,
        }  # fmt: skip


def _copy(connection: psycopg.Connection[Any], table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    columns = ", ".join(first)
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
        copy.write_row(list(first.values()))
        for row in rows:
            copy.write_row(list(row.values()))
