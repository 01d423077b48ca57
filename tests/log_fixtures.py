"""What the log's tests share: a clock to set by hand, both databases, and short ways to make records."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.postgresql_server import postgresql_server as fresh_postgresql_server
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, Experience, Fact, NewExperience, NewTarget, UpdaterLease, Version

BASE = "base-model-fingerprint"


class HandClock:
    """A clock that moves only when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a real PostgreSQL for this test session."""
    with fresh_postgresql_server() as url:
        yield url


def fresh_postgresql_schema(server_url: str, name: str) -> str:
    """Make an empty schema on the server, which is faster than a database; a URL that sees nothing else."""
    import psycopg

    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{server_url}&options=-csearch_path%3D{name}"


def experience(text: str, **fields: object) -> NewExperience:
    return NewExperience(**{"text": text, **fields})


def mug(place: str) -> NewExperience:
    fact = Fact(subject="red mug", relation="location", value=place)
    return NewExperience(text=f"I put the red mug in the {place}.", facts=(fact,))


def delta(number: int = 1) -> DeltaRef:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return DeltaRef(path=f"default/{number}.safetensors", sha256=sha256, kind="lowrank", num_bytes=1)


def target(about: Experience | int, **fields: object) -> NewTarget:
    """A target about an experience, about the first of its facts when it has some."""
    known: dict[str, object] = {"kind": "question", "prompt": "Where?", "completion": "There.", "payload": b"teacher"}
    if isinstance(about, Experience) and about.facts:
        known |= {"subject": about.facts[0].subject, "relation": about.facts[0].relation}
    return NewTarget(experience_id=about if isinstance(about, int) else about.id, **{**known, **fields})


def lease_of(log: MemoryLog, owner: str = "worker", seconds: float = 60) -> UpdaterLease:
    log.ensure_lineage("default", base_fingerprint=BASE)
    return log.acquire_updater_lease("default", owner=owner, lease_seconds=seconds)


def learn(
    log: MemoryLog, *news: NewExperience, num_targets: int = 1, superseded: dict[int, int] | None = None
) -> tuple[Version, list[Experience]]:
    """One whole update: append, lease, batch, targets (one held out each), candidate, admission, release."""
    lived = log.append_many(news)
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [one.id for one in lived])
    log.store_targets(lease, batch.id, [target(one) for one in lived for _ in range(num_targets)])
    log.store_targets(lease, batch.id, [target(one, held_out=True) for one in lived])
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={"kl_nats": 1.0})
    version = log.admit(lease, candidate.number, superseded=superseded)
    log.release_updater_lease(lease)
    return version, log.experiences("default", after_id=lived[0].id - 1, limit=len(lived))


def start_worker(role: str, url: str, seed: int) -> subprocess.Popen[str]:
    """A process of `tests.log_worker`; its standard output is what it was acknowledged."""
    command = [sys.executable, "-m", "tests.log_worker", role, url, str(seed)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=pipe, stdout=pipe, text=True)


def assert_learned_once(log: MemoryLog, admitted: set[int]) -> None:
    """The chain is one line that holds every acknowledged version, and each experience was learned in one of them."""
    line = [one.number for one in log.chain("default", log.head("default").number)]
    stored = log.versions("default")
    assert admitted <= set(line) == {one.number for one in stored if one.state == "admitted"} - {0}
    batches = {one.number: log.batch(one.batch_id) for one in stored if one.batch_id is not None}
    learned = [number for version in line for number in batches[version].experience_ids]
    assert len(learned) == len(set(learned))
    lived = log.experiences("default", limit=100_000)
    assert {one.id for one in lived if one.state == "learned"} == set(learned)
    drawn = log.replay_targets("default", limit=100_000, seed=0)
    assert sorted(one.experience_id for one in drawn) == sorted(learned)
