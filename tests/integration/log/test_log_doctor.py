"""Examining and mending a log: a sound one has nothing to find, and each kind of damage, made by hand, is found."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from memory_log.doctor import LogDoctor
from memory_log.findings import MEND, Finding
from memory_log.log import MemoryLog
from tests.log_fixtures import HandClock, delta, learn, lease_of, mug, target


@pytest.fixture
def doctor(log: MemoryLog, log_url: str, clock: HandClock) -> Iterator[LogDoctor]:  # the log makes the tables
    with LogDoctor(log_url, clock=clock) as opened:
        yield opened


def damage(url: str, *statements: str) -> None:
    """Change rows by hand, as no public method would."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))  # no foreign keys, as in SQLite
        for statement in statements:
            for part in statement.split("; "):
                connection.execute(text(part))
    engine.dispose()


def faults(doctor: LogDoctor) -> list[Finding]:
    return [one for one in doctor.findings() if one.severity == "error"]


def busy_log(log: MemoryLog) -> list[int]:
    """Updates, a supersession, a rollback and back, forgetting, a rejected batch, an open one. Ids by version."""
    _, (hall,) = learn(log, mug("hall"), num_targets=3)
    old = {one.id: hall.id for one in log.targets_of(hall.id)}
    _, (attic,) = learn(log, mug("attic"), num_targets=2, superseded=dict.fromkeys(old, hall.id))
    _, (shed, yard) = learn(log, mug("shed"), mug("yard"))
    log.rollback("default", 1)
    log.rollback("default", 3)
    log.forget(yard.id)
    lease = lease_of(log)
    refused = log.append(mug("pond"))
    batch = log.open_batch_of(lease, [refused.id])
    log.store_targets(lease, batch.id, [target(refused)])
    log.add_candidate(lease, batch.id, delta=delta(99), weights_hash="hash", metrics={})
    log.reject_batch(lease, batch.id, reason="too far", refuse_experiences=True)
    waiting = log.append(mug("well"))
    batch = log.open_batch_of(lease, [waiting.id])
    log.store_targets(lease, batch.id, [target(waiting)])
    return [hall.id, attic.id, shed.id]


def test_a_log_in_use_that_went_through_everything_has_no_faults(log: MemoryLog, doctor: LogDoctor) -> None:
    busy_log(log)
    found = list(doctor.findings())
    assert [(one.check, one.severity) for one in found if one.check != "database"] == [("leases", "note")]
    assert "1 refused experience" in found[-1].what
    assert doctor.mend() == []


# What a fault looks like: how it is made, the check that finds it, a piece of the sentence, whether it can be mended.
DAMAGE = {
    "leased to an ended batch": (
        "UPDATE batches SET state = 'abandoned' WHERE state = 'open'",
        "queue", "that ended without learning them: 6", True,
    ),
    "leased to a committed batch": (
        "UPDATE experiences SET batch_id = 1 WHERE state = 'leased'",
        "queue", "committed without them: 6", False,
    ),
    "leased but no member": (
        "DELETE FROM batch_members WHERE experience_id = 6", "queue", "their batch does not name: 6", False,
    ),
    "a member that is not leased": (
        "INSERT INTO batch_members SELECT id, 1 FROM batches WHERE state = 'open'",
        "queue", "not leased to it: 1", False,
    ),
    "an open batch without its lease": (
        "UPDATE lineages SET lease_owner = NULL, lease_expires_at = NULL", "queue", "whose lease is over: 5", True,
    ),
    "an open batch of an older fence": ("UPDATE lineages SET fence = fence + 1", "queue", "whose lease is over", True),
    "no version 0": ("DELETE FROM versions WHERE number = 0", "versions", "without version 0: default", False),
    "a head that is rejected": ("UPDATE lineages SET head = 4", "versions", "heads that are no admitted", False),
    "a head that is not there": ("UPDATE lineages SET head = 77", "versions", "heads that are no admitted", False),
    "a parent that is rejected": (
        "UPDATE versions SET state = 'rejected', reason = 'by hand' WHERE number = 2",
        "versions", "parent is missing, not admitted or not older: 3 (default)", False,
    ),
    "a batch that was opened on another parent": (
        "UPDATE batches SET parent_version = 0 WHERE id = 2", "versions", "opened on another parent: 2", False,
    ),
    "an admitted version of an abandoned batch": (
        "UPDATE batches SET state = 'abandoned' WHERE id = 3", "versions", "batch was not committed: 3", False,
    ),
    "a committed batch without a version": (
        "UPDATE batches SET state = 'committed' WHERE id = 4", "versions", "without an admitted version: 4", False,
    ),
    "a candidate of an ended batch": (
        "UPDATE versions SET state = 'candidate', reason = NULL WHERE number = 4",
        "versions", "that nobody can admit, because their batch has ended: 4 (default)", True,
    ),
    "learned in a version that the head left": (
        "UPDATE lineages SET head = 2", "learned", "that the head does not continue: 3", False,
    ),
    "learned in another version than its own": (
        "UPDATE experiences SET learned_in = 1 WHERE id = 2", "learned", "whose batch does not name them: 2", False,
    ),
    "learned twice": ("INSERT INTO batch_members VALUES (3, 1)", "learned", "learned twice on the head", False),
    "learned and pending": (
        "UPDATE experiences SET state = 'pending', learned_in = NULL WHERE id = 2",
        "learned", "said to wait or to be set aside: 2", False,
    ),
    "a target of nobody": ("UPDATE targets SET experience_id = 99 WHERE id = 1", "targets", "that is gone: 1", True),
    "a target of an ended batch": (
        "UPDATE targets SET batch_id = 4 WHERE experience_id = 6", "targets", "ended without a version", True,
    ),
    "a target of a version that is not its batch's": (
        "UPDATE targets SET version = 1 WHERE experience_id = 2", "targets", "another version than", False,
    ),
    "superseded by nobody": (
        "UPDATE targets SET superseded_by = 2 WHERE experience_id = 3", "replay", "makes them untrue", True,
    ),
    "not superseded, drawn after all": ("DELETE FROM supersessions", "replay", "should be: 1 (default)", True),
    "superseded, but not said": ("UPDATE targets SET superseded_by = NULL", "replay", "makes them untrue", True),
    "not drawn": ("DELETE FROM live_targets WHERE slot = 0", "replay", "cannot be drawn and should be", True),
    "slots with a hole": ("UPDATE live_targets SET slot = 9 WHERE slot = 0", "replay", "slots have holes", True),
    "drawn as held out": (
        "UPDATE live_targets SET held_out = NOT held_out, slot = slot + 10", "replay", "should not be", True,
    ),
    "drawn and not admitted": (
        "INSERT INTO live_targets SELECT 'default', held_out, 50, id FROM targets WHERE experience_id = 6",
        "replay", "can be drawn and should not be", True,
    ),
    "facts of a forgotten one": (
        "INSERT INTO facts VALUES (4, 0, 'default', 'mug', 'location', 'yard', 'mug')", "forgotten", "is left: 4", True,
    ),
    "an action of a forgotten one": ("UPDATE experiences SET action = 'x' WHERE id = 4", "forgotten", "left: 4", True),
    "a probe of a forgotten one": (
        "INSERT INTO probes (lineage, experience_id, kind, question, answer) VALUES ('default', 4, 'a', 'b', 'c')",
        "forgotten", "is left: 4", True,
    ),
    "a target of a forgotten one": (
        "UPDATE targets SET experience_id = 4 WHERE experience_id = 3", "forgotten", "is left: 4", True,
    ),
    "an index that is gone": ("DROP INDEX experiences_by_batch", "schema", "lacks the indexes", True),
    "a stranger's virtual table": ("CREATE VIRTUAL TABLE strange USING fts5(a)", "schema", "strange", False),
    "put off for years": (
        "UPDATE experiences SET state = 'pending', reason = NULL, not_before = '2031-01-01 00:00:00.0' WHERE id = 5",
        "leases", "put off", True,
    ),
    "a column that is gone": ("ALTER TABLE probes DROP COLUMN relation", "schema", "probes lacks relation", False),
}  # fmt: skip


@pytest.mark.parametrize("new_log_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_mended_where_that_is_certain(
    log: MemoryLog, log_url: str, doctor: LogDoctor, kind: str
) -> None:
    statement, check, words, can_be_mended = DAMAGE[kind]
    busy_log(log)
    damage(log_url, statement)
    found = [one for one in doctor.findings() if one.severity != "note" and one.check not in ("database", "rows")]
    matching = [one for one in found if one.check == check and words in one.what]
    assert len(matching) == 1, found
    assert (matching[0].mend == MEND) == can_be_mended
    done = doctor.mend()
    left = [one for one in doctor.findings() if one.check == check and words in one.what]
    assert bool(done) >= can_be_mended
    assert bool(left) != can_be_mended, (done, left)


def test_much_at_once_is_found_and_mended_whole(log: MemoryLog, log_url: str, doctor: LogDoctor) -> None:
    busy_log(log)
    kinds = [
        "an open batch without its lease", "a candidate of an ended batch", "a target of nobody",
        "superseded, but not said", "not drawn", "facts of a forgotten one", "an index that is gone",
        "put off for years",
    ]  # fmt: skip
    damage(log_url, *(DAMAGE[kind][0] for kind in kinds), without_search(log_url))
    found = [one for one in doctor.findings() if one.severity != "note"]
    for kind in kinds:
        assert any(one.check == DAMAGE[kind][1] and DAMAGE[kind][2] in one.what for one in found), kind
    assert "search" in {one.check for one in found}
    done = doctor.mend()
    assert len(done) >= len(kinds)
    assert [one for one in doctor.findings() if one.severity != "note" and one.check != "database"] == []
    assert doctor.mend() == []
    assert [one.id for one in log.experiences_mentioning("default", ["red mug"], limit=9)] == [6, 5, 3, 2, 1]
    assert log.get(6).attempts == 1  # its update died


def without_search(url: str) -> str:
    if url.startswith("sqlite"):
        return "INSERT INTO experience_words(experience_words) VALUES ('delete-all')"
    return "DROP INDEX experience_words"


@pytest.mark.parametrize("new_log_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("statement", ["DROP TRIGGER experience_words_update", "DROP TABLE experience_words"])
def test_an_index_of_words_that_is_not_kept_is_made_anew(
    log: MemoryLog, log_url: str, doctor: LogDoctor, statement: str
) -> None:
    busy_log(log)
    damage(log_url, statement)
    assert [one.what for one in doctor.findings(is_quick=True) if one.check == "search"]
    assert doctor.mend() == ["made the index of words anew"]
    assert faults(doctor) == [] and len(log.experiences_mentioning("default", ["red mug"], limit=9)) == 5


def test_what_cannot_be_mended_for_certain_is_named_and_left(log: MemoryLog, log_url: str, doctor: LogDoctor) -> None:
    busy_log(log)
    kinds = ["a batch that was opened on another parent", "learned in another version than its own", "learned twice"]
    damage(log_url, *(DAMAGE[kind][0] for kind in kinds))
    before = faults(doctor)
    for kind in kinds:
        assert any(one.check == DAMAGE[kind][1] and DAMAGE[kind][2] in one.what for one in before), kind
    assert doctor.mend() == [] and faults(doctor) == before


def test_a_lease_that_expired_is_ended_and_the_death_counts(
    log: MemoryLog, doctor: LogDoctor, clock: HandClock
) -> None:
    told = log.append(mug("hall"))
    log.open_batch(lease_of(log, seconds=60), limit=1)
    assert list(doctor.findings()) == [] or doctor.mend() == []
    clock.advance(61)
    (finding,) = [one for one in doctor.findings() if one.check == "leases"]
    assert finding.severity == "warning" and "it holds 1 experience" in finding.what
    assert "1 experience that it held put back" in doctor.mend()[0]
    assert (log.get(told.id).state.value, log.get(told.id).attempts) == ("pending", 1)
    assert log.updater_lease("default") is None


def test_a_lease_from_before_the_clock_was_set_back_is_stuck(
    log: MemoryLog, doctor: LogDoctor, clock: HandClock
) -> None:
    lease_of(log, seconds=3600)
    clock.advance(-86400)
    (finding,) = [one for one in doctor.findings() if one.check == "leases"]
    assert finding.severity == "note" and "the clock was set back" in finding.what
    assert "ended the lease of 'worker'" in doctor.mend()[0]
    lease_of(log)


def test_a_pause_and_what_was_set_aside_are_notes_with_the_way_out(log: MemoryLog, doctor: LogDoctor) -> None:
    busy_log(log)
    log.pause("default", by="mira@desk", reason="exam week")
    notes = [one for one in doctor.findings() if one.severity == "note"]
    assert ["paused" in notes[0].what, "resume --lineage default" in notes[0].mend] == [True, True]
    assert "1 refused experience" in notes[1].what and "--state refused" in notes[1].mend


@pytest.mark.parametrize("new_log_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("statement", [
    "UPDATE experiences SET time = 'noon' WHERE id = 2",
    "UPDATE experiences SET metadata = '{' WHERE id = 2",
    "UPDATE experiences SET text = CAST(x'ff' AS TEXT) WHERE id = 2",
])  # fmt: skip
def test_a_row_that_cannot_be_read_is_named_among_hundreds(
    log: MemoryLog, log_url: str, doctor: LogDoctor, statement: str
) -> None:
    log.append_many([mug(f"box {number}") for number in range(1200)])
    damage(log_url, statement)
    assert [one.what.endswith(": 2") for one in doctor.findings() if one.check == "rows"] == [True]


def test_a_version_line_that_is_broken_keeps_replay_from_being_mended(
    log: MemoryLog, log_url: str, doctor: LogDoctor
) -> None:
    busy_log(log)
    damage(log_url, DAMAGE["a parent that is rejected"][0], DAMAGE["not drawn"][0])
    assert doctor.mend() == []


def test_a_worker_goes_on_beside_the_mending(log: MemoryLog, log_url: str, doctor: LogDoctor) -> None:
    busy_log(log)
    damage(log_url, DAMAGE["not drawn"][0])
    lease = log.updater_lease("default")
    assert lease is not None
    assert doctor.mend() == ["filled the slots of lineage 'default' anew: 5 targets can be drawn"]
    candidate = log.add_candidate(lease, 5, delta=delta(5), weights_hash="hash", metrics={})
    assert log.admit(lease, candidate.number).number == 5
    assert faults(doctor) == []
