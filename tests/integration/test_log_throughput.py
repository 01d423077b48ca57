"""The throughput benchmark at tiny sizes: the bare SQL reaches our rows, and every promised metric is there."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from benchmarks.log_throughput import metrics_of, run
from benchmarks.log_throughput_contestants import OurLog, texts
from benchmarks.log_throughput_engine import Plan
from benchmarks.log_throughput_places import Place, PostgresqlDatabases, SqliteFiles
from benchmarks.log_throughput_raw import RawPostgresql, RawSqlite
from benchmarks.postgresql_server import postgresql_server

TARGETS = {
    "append_vs_raw_sqlite", "append_vs_raw_postgresql", "claim_vs_raw_sqlite", "claim_vs_raw_postgresql",
    "vs_procrastinate", "vs_sqlite_queue", "claim_p99_growth", "overhead_bytes",
}  # fmt: skip

# What need not be equal: when it was, and what the bare SQL fills with something of the same length.
DIFFERENT = {"time", "appended_at", "content_hash", "opened_at", "ended_at", "created_at", "delta_sha256", "fence"}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield SqliteFiles(tmp_path)
    else:
        with postgresql_server() as url:
            yield PostgresqlDatabases(url)


def rows_of(place: Place, name: str, table: str) -> list[dict[str, Any]]:
    engine = create_engine(place.url(name).replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            found = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).mappings()]
    finally:
        engine.dispose()
    return [
        {column: value is None if column in DIFFERENT else value for column, value in row.items()} for row in found
    ]


def test_the_bare_sql_reaches_the_same_rows_as_the_log(place: Place) -> None:
    for name in ("ours", "raw"):
        place.make(name)
        OurLog(place.url(name)).close()
    told = texts(7, seed=0)
    raw = RawSqlite if place.engine == "sqlite" else RawPostgresql
    for contestant in (OurLog(place.url("ours")), raw(place.url("raw"))):
        with closing(contestant):
            items = contestant.prepared(told)
            contestant.append(items[:1])
            contestant.append(items[1:])
            assert contestant.learn(2, 3).num_experiences == 6
    for table in ("experiences", "batches", "batch_members", "versions"):
        ours = rows_of(place, "ours", table)
        assert ours and rows_of(place, "raw", table) == ours
    (ours,), (bare,) = rows_of(place, "ours", "lineages"), rows_of(place, "raw", "lineages")
    assert ours["head"] == bare["head"] == 2


def test_a_tiny_run_measures_every_metric_that_has_a_target() -> None:
    plan = Plan(
        128, 600, 1, num_singles=8, num_batches=4, num_claims=1, num_peer_claims=1, num_draws=2, num_processes=1
    )
    metrics = metrics_of(run(plan))
    assert {name for name, metric in metrics.items() if metric.target is not None} == TARGETS
    assert all(metric.mean > 0 for metric in metrics.values())
