"""A PostgreSQL that goes away: what is waited for, what is refused, and what each refusal promises."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from benchmarks.log_faults_server import Death, Server
from memory_log.database import Database
from memory_log.errors import BadInput, LogBusy, LogUnavailable, OutcomeUnknown
from memory_log.log import MemoryLog
from tests.log_fixtures import experience

MARK = text("INSERT INTO pauses VALUES ('home', now(), 'somebody', '')")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="selfparam-server-") as folder:
        os.chmod(folder, 0o755)  # run by root, the server is another user's
        with Server(Path(folder)) as started:
            yield started


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    return server.new_log_url(f"log_{abs(hash(request.node.name))}")


def num_marks(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM pauses")).scalar_one())


def mark(database: Database, then: Callable[[Connection], None]) -> None:
    with database.writing() as connection:
        connection.execute(MARK)
        then(connection)


def mark_twice(database: Database, between: Callable[[Connection], None]) -> None:
    with database.writing() as connection:
        connection.execute(MARK)
        between(connection)
        connection.execute(MARK)


def mark_impatiently(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '20ms'"))
        connection.execute(MARK)


@pytest.mark.parametrize("death", ["fast", "immediate", "killed"])
def test_a_restart_between_two_transactions_is_not_noticed(server: Server, url: str, death: Death) -> None:
    with MemoryLog(url) as log:
        log.append(experience("Before."))
        server.restart(death)
        log.append(experience("After."))
        assert [one.text for one in log.experiences("default")] == ["Before.", "After."]


def test_a_transaction_waits_for_a_server_that_is_away_for_a_moment(server: Server, url: str) -> None:
    with MemoryLog(url) as log:
        server.stop("fast")
        starter = threading.Timer(0.5, server.start)
        starter.start()
        assert log.append(experience("I waited.")).id == 1
        starter.join()


def test_a_server_that_stays_away_is_named_and_does_not_cost_what_follows(server: Server, url: str) -> None:
    database = Database(url, retry_seconds=0.2)
    server.stop("immediate")
    with pytest.raises(LogUnavailable, match="nothing was written") as caught, database.writing():
        pass
    assert not isinstance(caught.value, OutcomeUnknown)
    with pytest.raises(LogUnavailable):
        MemoryLog(url)
    server.start()
    assert num_marks(database) == 0
    database.close()


def test_a_server_that_dies_within_a_transaction_has_stored_nothing(server: Server, url: str) -> None:
    database = Database(url)
    with pytest.raises(LogUnavailable) as caught:
        mark_twice(database, lambda connection: server.restart("fast"))
    assert not isinstance(caught.value, OutcomeUnknown)
    assert num_marks(database) == 0
    database.close()


def test_a_session_that_dies_before_its_commit_is_answered_leaves_the_outcome_unknown(server: Server, url: str) -> None:
    database = Database(url)
    with pytest.raises(OutcomeUnknown, match="same key"):
        mark(database, lambda connection: end_session_of(server, connection))
    assert num_marks(database) == 0
    database.close()


def end_session_of(server: Server, connection: Connection) -> None:
    number = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with psycopg.connect(server.url, autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s)", [number])
        while killer.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [number]).fetchone():
            time.sleep(0.01)


def test_a_lock_that_somebody_keeps_is_told_from_a_fault(url: str) -> None:
    one, other = Database(url), Database(url)
    with one.writing() as holder:
        holder.execute(text("LOCK TABLE pauses"))
        with pytest.raises(LogBusy, match="nothing was written"):
            mark_impatiently(other)
    one.close()
    other.close()


def test_a_server_that_is_there_and_has_no_such_database_is_wrong_use(server: Server) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        MemoryLog(server.url.replace("/postgres?", "/nowhere?"))


def test_readers_cannot_write(url: str) -> None:
    database = Database(url)
    with database.reading() as connection, pytest.raises(DBAPIError, match="read-only transaction"):
        connection.execute(MARK)
    database.close()
