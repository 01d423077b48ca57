"""Every test of this folder runs over SQLite and over a real PostgreSQL."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory_log.log import MemoryLog
from tests.log_fixtures import HandClock, clock, fresh_postgresql_schema, postgresql_server

__all__ = ["clock", "postgresql_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_log_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of an empty database, another one each time, of each kind."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex / 'log.db'}"
    server: str = request.getfixturevalue("postgresql_server")
    return lambda: fresh_postgresql_schema(server, f"log_{uuid.uuid4().hex}")


@pytest.fixture
def log_url(new_log_url: Callable[[], str]) -> str:
    """The URL of an empty database of each kind."""
    return new_log_url()


@pytest.fixture
def log(log_url: str, clock: HandClock) -> Iterator[MemoryLog]:
    with MemoryLog(log_url, clock=clock) as opened:
        yield opened
