"""Every test of this folder runs over SQLite and over a real PostgreSQL."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_log.log import MemoryLog
from tests.log_fixtures import HandClock, clock, fresh_postgresql_schema, postgresql_server

__all__ = ["clock", "postgresql_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'log.db'}"
    return fresh_postgresql_schema(request.getfixturevalue("postgresql_server"), f"log_{uuid.uuid4().hex}")


@pytest.fixture
def log(log_url: str, clock: HandClock) -> Iterator[MemoryLog]:
    with MemoryLog(log_url, clock=clock) as opened:
        yield opened
