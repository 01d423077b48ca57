"""Logs of every earlier schema, made by the releases of their time, are brought up to date with all they hold.

`tests/data/schemas` has them; `tests.schema_dumps` says how they were made.
"""

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, event

from memory_log.database import Database
from memory_log.errors import BadInput, IdempotencyConflict, LineageBusy, UpdatesPaused
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewExperience
from memory_log.tables import SCHEMA_VERSION
from memory_log.words import searchable
from tests import schema_dumps
from tests.log_fixtures import BASE, HandClock, experience, fresh_postgresql_schema, learn, mug, target
from tests.schema_dumps import LINEAGES, LONG_WORD, account, connected, engine_of

REPOSITORY = Path(__file__).parents[3]
EARLIER = range(1, SCHEMA_VERSION)
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(params=EARLIER)
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def told(log_url: str, version: int) -> dict[str, Any]:
    """What the earlier release said about the log at `old_url`."""
    return schema_dumps.told(engine_of(log_url), version)


@pytest.fixture
def old_url(log_url: str, version: int) -> str:
    schema_dumps.load(log_url, version)
    return log_url


@pytest.fixture
def clock(told: dict[str, Any]) -> HandClock:
    clock = HandClock()
    clock.now = datetime.fromisoformat(told["now"])
    return clock


@pytest.fixture
def log(old_url: str, clock: HandClock) -> Iterator[MemoryLog]:
    with MemoryLog(old_url, clock=clock) as opened:
        yield opened


def rows_of(url: str, columns: dict[str, str] | None = None) -> tuple[Rows, dict[str, str]]:
    """All rows, and the columns of each table; or the rows of the tables and columns that were there before."""
    with connected(url) as connection:
        if columns is None:
            seen = sqlalchemy.inspect(connection)
            columns = {
                table: ", ".join(f'"{one["name"]}"' for one in seen.get_columns(table))
                for table in sorted(seen.get_table_names())
            }
        rows = {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT {named} FROM {table} ORDER BY {named}")]
            for table, named in columns.items()
        }
    return rows, columns


def assert_says_as_before(now: object, before: object) -> None:
    """Fields may have been added to what was said, nothing else."""
    if isinstance(before, dict):
        assert isinstance(now, dict)
        for name, value in before.items():
            assert_says_as_before(now[name], value)
    elif isinstance(before, list):
        assert isinstance(now, list) and len(now) == len(before)
        for one, other in zip(now, before, strict=True):
            assert_says_as_before(one, other)
    else:
        assert now == before or (now != now and before != before)


def test_a_log_of_an_earlier_schema_says_what_it_said(
    log: MemoryLog, told: dict[str, Any], version: int
) -> None:
    states = {one["state"] for lived in told["account"]["experiences"].values() for one in lived}
    assert states >= {"pending", "leased", "learned", "refused", "dead", "forgotten"}
    assert_says_as_before(account(log), told["account"])
    assert [log.snapshots(name) for name in LINEAGES] == [[], [], []]
    for one in [one for name in LINEAGES for one in log.experiences(name)]:
        assert log.history(one.id)[0].kind == "appended"
        if version >= 3:
            continue
        added = (one.appended_at, one.priority, one.surprise, one.metadata, one.not_before)
        assert added == (one.time, 0, None, {}, None)


def test_every_row_of_an_earlier_schema_is_as_it_was(old_url: str) -> None:
    before, columns = rows_of(old_url)
    assert all(before.values()), "every table has rows"
    MemoryLog(old_url).close()
    after, _ = rows_of(old_url, columns=columns)
    assert [row[:2] for row in after.pop("schema_version")] == [(1, SCHEMA_VERSION)]
    del before["schema_version"]
    texts, words = (columns["experiences"].split(", ").index(f'"{name}"') for name in ("text", "words"))
    assert [row[words] for row in after["experiences"]] == [searchable(row[texts]) for row in after["experiences"]]
    for found in (before, after):  # words of any length were stored once
        found["experiences"] = [row[:words] + row[words + 1 :] for row in found["experiences"]]
    assert after == before


def test_a_migrated_log_tells_itself_from_all_others_and_is_left_alone_afterwards(old_url: str) -> None:
    MemoryLog(old_url).close()
    first, _ = rows_of(old_url)
    assert first["schema_version"][0][:2] == (1, SCHEMA_VERSION) and len(first["schema_version"][0][2]) == 32
    MemoryLog(old_url).close()
    assert rows_of(old_url)[0] == first
    with connected(old_url) as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
    assert not [name for name in tables if "alembic" in name]


def test_keys_of_an_earlier_schema_still_belong_to_their_contents(log: MemoryLog) -> None:
    keyed = next(one for one in log.experiences("default") if one.key == schema_dumps.KEYED.key)
    assert log.append(schema_dumps.KEYED) == keyed
    with pytest.raises(IdempotencyConflict, match=f"experience {keyed.id}"):
        log.append(mug("cellar").model_copy(update={"key": keyed.key}))
    forgotten = next(one for one in log.experiences("default") if one.key == "k-2")
    assert log.append(experience("A secret, said and taken back.", key="k-2")) == forgotten and not forgotten.text
    with pytest.raises(IdempotencyConflict):
        log.append(NewExperience(text="Another.", lineage=LINEAGES[2], key="k-1"))


def test_a_migrated_log_takes_up_new_experiences_and_updates(log: MemoryLog) -> None:
    last = max(one.id for name in LINEAGES for one in log.experiences(name))
    new = log.append(experience("A parrot came.", priority=3, surprise=0.5, metadata={"room": "hall"}))
    assert new.id == last + 1 and log.get(new.id) == new
    version, (lived,) = learn(log, mug("cellar"))
    assert (version.number, version.parent) == (5, 4) and log.get(lived.id).learned_in == 5
    drawn = {one.experience_id for one in log.replay_targets("default", limit=999, seed=1)}
    assert lived.id in drawn and len(drawn) > 2
    assert log.rollback("default", 1).number == 1
    assert log.get(lived.id).state is ExperienceState.PENDING
    assert log.rollback("default", 5).number == 5
    assert log.get(lived.id).state is ExperienceState.LEARNED


def test_what_was_refused_and_what_died_before_the_migration_can_be_requeued(log: MemoryLog) -> None:
    states = (ExperienceState.REFUSED, ExperienceState.DEAD)
    aside = [one.id for state in states for one in log.experiences("default", state=state)]
    assert len(aside) == 2
    again = log.requeue(aside)
    assert {(one.state, one.attempts, one.reason) for one in again} == {("pending", 0, None)}


def test_an_update_that_runs_goes_on_in_the_migrated_log(log: MemoryLog, clock: HandClock) -> None:
    lineage = LINEAGES[1]
    with pytest.raises(LineageBusy, match="worker@host"):
        log.acquire_updater_lease(lineage, owner="other", lease_seconds=60)
    lease = log.updater_lease(lineage)
    assert lease is not None
    (leased,) = log.experiences(lineage, state=ExperienceState.LEASED)
    log.store_targets(lease, log.memberships(leased.id)[0].batch_id, [target(leased)])
    assert log.admit(lease, 2) == log.head(lineage)
    assert log.get(leased.id).learned_in == 2 and len(log.replay_targets(lineage, limit=9, seed=0)) == 2
    log.release_updater_lease(lease)


def test_an_update_that_died_before_the_migration_is_taken_over_after_it(log: MemoryLog, clock: HandClock) -> None:
    (leased,) = log.experiences(LINEAGES[1], state=ExperienceState.LEASED)
    clock.advance(7200)
    log.acquire_updater_lease(LINEAGES[1], owner="heir", lease_seconds=60)
    assert (log.get(leased.id).state, log.get(leased.id).attempts) == (ExperienceState.PENDING, 1)


def test_old_texts_are_found_by_their_words_until_they_are_forgotten(log: MemoryLog) -> None:
    for words in (["STRASSE", "鍵"], [LONG_WORD, "was here"], ["poison"], ["shed"]):
        (found,) = log.experiences_mentioning("default", words, limit=9)
        assert found.state is not ExperienceState.FORGOTTEN
        log.forget(found.id)
        assert log.experiences_mentioning("default", words, limit=9) == []
    assert [one.text for one in log.search("default", "interrup* once")] == ["Interrupted once."]
    new = log.append(experience("A key: 鍵."))
    assert [one.id for one in log.experiences_mentioning("default", ["鍵"], limit=9)] == [new.id]


def test_a_pause_stands_after_the_migration_and_one_can_be_made(log: MemoryLog, version: int) -> None:
    lineage = LINEAGES[2] if version >= 2 else LINEAGES[0]
    if version < 2:
        log.pause(lineage, by="mira@desk", reason="exam week")
    with pytest.raises(UpdatesPaused, match=r"mira@desk: exam .?week"):
        log.check_not_paused(lineage)
    assert log.resume(lineage) is not None and log.pause_of(lineage) is None


def test_foreign_keys_count_on_every_connection_after_a_migration(old_url: str) -> None:
    database = Database(old_url)
    with database.reading() as one, database.reading() as other, database.writing() as third:
        for connection in (one, other, third):
            if database.is_sqlite:
                assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    statement = "INSERT INTO facts VALUES (999, 0, 'default', 'a', 'b', 'c', 'a')"
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as tx:
        tx.exec_driver_sql(statement)
    database.close()


def test_threads_that_open_an_old_log_at_once_all_can(old_url: str, told: dict[str, Any]) -> None:
    opened: list[int] = []

    def open_and_count() -> None:
        with MemoryLog(old_url) as one:
            opened.append(len(one.experiences("default")))

    threads = [threading.Thread(target=open_and_count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert opened == [len(told["account"]["experiences"]["default"])] * 5


def start_opening(url: str, die_before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.opening_worker", url, die_before]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_processes_that_open_an_old_log_at_once_all_can(log_url: str) -> None:
    schema_dumps.load(log_url, 1)
    processes = [start_opening(log_url) for _ in range(3)]
    counted = [process.communicate(timeout=120)[0].split() for process in processes]
    told = schema_dumps.told(engine_of(log_url), 1)["account"]["experiences"]["default"]
    assert counted == [[str(len(told)), "4"]] * 3


@pytest.mark.parametrize("die_before", ["CREATE TABLE pauses", "UPDATE schema_version SET version = 3"])
def test_a_process_killed_in_a_migration_leaves_the_old_log_which_the_next_one_migrates(
    log_url: str, die_before: str
) -> None:
    schema_dumps.load(log_url, 1)
    before = rows_of(log_url)
    killed = start_opening(log_url, die_before)
    assert killed.communicate(timeout=120)[0] == "" and killed.returncode == -signal.SIGKILL
    assert rows_of(log_url) == before
    with MemoryLog(log_url) as log:
        assert_says_as_before(account(log), schema_dumps.told(engine_of(log_url), 1)["account"])


class Interrupted(Exception):
    """What stops a migration here."""


@contextmanager
def interrupted_at(number: int) -> Iterator[list[str]]:
    """The statement of this number is not run, counted from the first that changes anything. Those that were."""
    seen: list[str] = []

    def count(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.lstrip().startswith(("CREATE", "INSERT", "DROP", "ALTER", "UPDATE", "DELETE", "LOCK")):
            seen.append(statement)
            if len(seen) == number:
                raise Interrupted(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_a_migration_that_fails_at_any_statement_leaves_the_log_as_it_was(log_url: str) -> None:
    schema_dumps.load(log_url, 1)
    before = rows_of(log_url)
    num_failed = 0
    while True:
        with interrupted_at(num_failed + 1) as seen:
            try:
                MemoryLog(log_url).close()
            except Interrupted:
                num_failed += 1
            else:
                break
        assert rows_of(log_url) == before, seen[-1]
    assert num_failed == len(seen) > 20
    with MemoryLog(log_url) as log:
        assert_says_as_before(account(log), schema_dumps.told(engine_of(log_url), 1)["account"])


def test_a_migration_that_cannot_be_done_says_why_and_what_to_do_instead(log_url: str) -> None:
    schema_dumps.load(log_url, 2)
    with connected(log_url) as connection:
        connection.exec_driver_sql("CREATE TABLE happenings (somebody TEXT)")
    before = rows_of(log_url)
    with pytest.raises(BadInput, match=r"from schema version 2: .*happenings.* already exists; nothing of it was chan"):
        MemoryLog(log_url)
    assert rows_of(log_url) == before
    with connected(log_url) as connection:
        connection.exec_driver_sql("DROP TABLE happenings")
    MemoryLog(log_url).close()


def test_logs_at_two_places_are_migrated_by_two_threads_of_one_process_at_once(
    log_url: str, tmp_path: Path
) -> None:
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(4)]
    for url in [*urls, log_url]:
        schema_dumps.load(url, 1)
    opened: list[str] = []

    def open_it(url: str) -> None:
        with MemoryLog(url) as log:
            log.ensure_lineage("default", base_fingerprint=BASE)
            opened.append(url)

    threads = [threading.Thread(target=open_it, args=(url,)) for url in [*urls, log_url]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(opened) == sorted([*urls, log_url])


def test_a_migration_waits_for_an_update_of_the_earlier_release_and_does_not_lock_it_out(
    postgresql_server: str,
) -> None:
    url = fresh_postgresql_schema(postgresql_server, f"log_{uuid.uuid4().hex}")
    schema_dumps.load(url, 2)
    opened: list[int] = []

    def open_and_read() -> None:
        with MemoryLog(url) as log:
            opened.append(log.get(2).attempts)

    thread = threading.Thread(target=open_and_read)
    with psycopg.connect(url) as earlier, psycopg.connect(url, autocommit=True) as watch:
        earlier.execute("SELECT * FROM lineages WHERE name = 'default' FOR UPDATE")
        earlier.execute("SELECT * FROM batches")
        thread.start()
        while not watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            time.sleep(0.01)
        earlier.execute("UPDATE experiences SET attempts = 4 WHERE id = 2")
    thread.join(60)
    assert opened == [4]
