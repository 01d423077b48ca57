"""The peers: procrastinate on PostgreSQL, persist-queue's `SQLiteAckQueue` on SQLite, each in its documented way.

persist-queue and not huey: huey's `SqliteStorage` deletes a task when it hands it out, so that a crash loses it; an
acknowledgement is what a queue of experiences is about. persist-queue opens its file in WAL with SQLite's own
synchronous=FULL and commits each put, so that its durability is ours. It has no way to put or take several at once.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import persistqueue
import procrastinate
import psycopg

from benchmarks.log_throughput_contestants import Learned

_CONCURRENCY = 8
"""Jobs that procrastinate's worker runs at once; more made it no faster."""


class AckQueue:
    """persist-queue. What is stored waits: it scans past acknowledged items, which would slow its every `get`.

    Raises:
        RuntimeError: this SQLite was built with another durability than FULL.
    """

    def __init__(self, folder: Path, num_stored: int) -> None:
        self._queue = persistqueue.SQLiteAckQueue(str(folder), multithreading=True)
        with closing(sqlite3.connect(folder / "data.db")) as connection:
            if connection.execute("PRAGMA synchronous").fetchone() != (2,):
                raise RuntimeError("SQLite's default is not synchronous=FULL here; the peer would not be as durable")
            stored = self._queue._serializer.dumps("x" * 90)
            connection.executemany(
                "INSERT INTO ack_queue_default (data, timestamp, status) VALUES (?, ?, 1)",
                ((stored, time.time()) for _ in range(num_stored)),
            )
            connection.commit()

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return list(texts)

    def append(self, items: Sequence[Any]) -> None:
        for item in items:
            self._queue.put(item)

    def learn(self, num_batches: int, limit: int) -> Learned:
        began = time.perf_counter()
        for _ in range(num_batches * limit):
            item = self._queue.get(raw=True)
            self._queue.ack(id=item["pqid"])
        return Learned(num_batches * limit, time.perf_counter() - began, ())

    def close(self) -> None:
        self._queue.close()


class Procrastinate:
    """procrastinate: `defer`, `batch_defer`, and its worker, which runs a task that does nothing.

    What is stored has succeeded long ago: jobs that wait would be the worker's to run.
    """

    def __init__(self, url: str, num_stored: int) -> None:
        self._url = url
        connector = procrastinate.SyncPsycopgConnector(conninfo=url, min_size=4, max_size=4)
        self._app = procrastinate.App(connector=connector)
        self._app.open()
        self._app.schema_manager.apply_schema()
        self._task = self._app.task(name="learn")(_learn)
        with psycopg.connect(url, autocommit=True) as connection:
            # Past jobs without their events, which only makes the tables smaller.
            connection.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
            connection.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)"
                " SELECT 'default', 'learn', jsonb_build_object('text', repeat('x', 90)), 'succeeded'"
                " FROM generate_series(1, %s)",
                (num_stored,),
            )
            connection.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
            connection.execute("VACUUM ANALYZE procrastinate_jobs")

    def prepared(self, texts: Sequence[str]) -> list[Any]:
        return [{"text": text} for text in texts]

    def append(self, items: Sequence[Any]) -> None:
        if len(items) == 1:
            self._task.defer(**items[0])
        else:
            self._task.batch_defer(*items)

    def learn(self, num_batches: int, limit: int) -> Learned:
        num_jobs = num_batches * limit
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("DELETE FROM procrastinate_jobs WHERE status = 'todo'")
        self.append(self.prepared(["x" * 90] * num_jobs))
        return Learned(num_jobs, asyncio.run(self._work_until_done()), ())

    async def _work_until_done(self) -> float:
        connector = procrastinate.PsycopgConnector(conninfo=self._url, min_size=1, max_size=_CONCURRENCY + 2)
        app = procrastinate.App(connector=connector)
        app.task(name="learn")(_learn)
        async with app.open_async():
            began = time.perf_counter()
            await app.run_worker_async(
                concurrency=_CONCURRENCY, wait=False, install_signal_handlers=False, listen_notify=False
            )
            return time.perf_counter() - began

    def close(self) -> None:
        self._app.close()


async def _learn(text: str) -> None:
    pass
