"""Appending, reading, searching and forgetting experiences, over both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy

from memory_log.errors import BadInput, IdempotencyConflict, LeaseLost, SchemaTooNew, UnknownExperience
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, Fact, NewProbe, ProbeResult
from tests.log_fixtures import HandClock, delta, experience, learn, lease_of, mug, target


def test_an_appended_experience_reads_back_as_it_was_given(log: MemoryLog) -> None:
    facts = (
        Fact(subject="red mug", relation="location", value="drawer"),
        Fact(subject="Ana", relation="likes", value="t\u00e9"),
    )
    noon_in_tokyo = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    given = experience(
        "Ana put the red mug in the drawer \u2603 \U0001f600", agent="robot", session="s1", step=3, time=noon_in_tokyo,
        observation="You see a mug.", action="put mug", reward=0.1, facts=facts, key="k1",
    )  # fmt: skip
    stored = log.append(given)
    assert log.get(stored.id) == stored
    assert stored.model_dump(include=set(type(given).model_fields)) == given.model_dump()
    assert stored.time == noon_in_tokyo and stored.time.tzinfo is UTC
    assert (stored.state, stored.learned_in, stored.reason, stored.attempts) == (ExperienceState.PENDING, None, None, 0)


def test_an_experience_without_a_time_gets_the_clocks(log: MemoryLog, clock: HandClock) -> None:
    clock.advance(90)
    assert log.append(experience("Something happened.")).time == clock.now


def test_many_experiences_come_back_in_the_order_given(log: MemoryLog) -> None:
    stored = log.append_many([experience(f"Event {index}.") for index in range(1200)])
    assert [one.text for one in stored] == [f"Event {index}." for index in range(1200)]
    assert [one.id for one in stored] == sorted(one.id for one in stored)


def test_an_append_of_nothing_stores_nothing(log: MemoryLog) -> None:
    assert log.append_many([]) == []


def test_one_bad_item_keeps_the_whole_call_out(log: MemoryLog) -> None:
    log.append(experience("First.", key="a"))
    with pytest.raises(IdempotencyConflict):
        log.append_many([experience("Second.", key="b"), experience("Not first.", key="a")])
    assert [one.text for one in log.experiences("default")] == ["First."]


def test_a_key_given_again_with_the_same_content_gives_the_same_experience(log: MemoryLog, clock: HandClock) -> None:
    first = log.append(experience("It rained.", key="a"))
    clock.advance(5)
    again = log.append_many([experience("It rained.", key="a"), experience("New."), experience("It rained.", key="a")])
    assert [one.id == first.id for one in again] == [True, False, True]
    assert len(log.experiences("default")) == 2


def test_a_key_given_again_with_another_content_is_a_conflict_that_names_the_owner(log: MemoryLog) -> None:
    first = log.append(experience("It rained.", key="a"))
    with pytest.raises(IdempotencyConflict, match=f"experience {first.id} "):
        log.append(experience("It snowed.", key="a"))
    with pytest.raises(IdempotencyConflict, match="earlier item of this call"):
        log.append_many([experience("One.", key="b"), experience("Two.", key="b")])


def test_the_same_key_in_another_lineage_is_another_experience(log: MemoryLog) -> None:
    one, other = log.append_many([experience("A.", key="k", lineage="x"), experience("B.", key="k", lineage="y")])
    assert one.id != other.id


def test_an_unknown_id_is_a_clear_error(log: MemoryLog) -> None:
    for number in (1, 0, -1, 10**30):
        with pytest.raises(UnknownExperience, match=str(number)):
            log.get(number)


def test_experiences_are_listed_in_pages_by_lineage_and_state(log: MemoryLog) -> None:
    ids = [one.id for one in log.append_many([experience(f"Event {index}.") for index in range(5)])]
    log.append(experience("Elsewhere.", lineage="other"))
    assert [one.id for one in log.experiences("default", limit=2)] == ids[:2]
    assert [one.id for one in log.experiences("default", after_id=ids[1])] == ids[2:]
    assert log.experiences("default", state=ExperienceState.LEARNED) == []


def test_counts_name_every_state(log: MemoryLog) -> None:
    log.append_many([experience("A."), experience("B.")])
    counts = log.count_by_state("default")
    assert set(counts) == set(ExperienceState)
    assert counts[ExperienceState.PENDING] == 2 and sum(counts.values()) == 2


def test_search_finds_whole_words_in_any_case_newest_first(log: MemoryLog) -> None:
    old, smuggler, new = log.append_many(
        [experience("The RED mug is here."), experience("A tired smuggler left."), experience("My mug, the red one!")]
    )
    assert [one.id for one in log.experiences_mentioning("default", ["Red", "mug"], limit=9)] == [new.id, old.id]
    assert [one.id for one in log.experiences_mentioning("default", ["red mug"], limit=9)] == [old.id]
    assert [one.id for one in log.experiences_mentioning("default", ["mug"], limit=1)] == [new.id]
    assert log.experiences_mentioning("other", ["mug"], limit=9) == []
    assert smuggler.id not in [one.id for one in log.experiences_mentioning("default", ["mug"], limit=9)]


@pytest.mark.parametrize("words", [["%"], ["_"], ["a%c"], ["'"], [""], [], ["x", "..."]])
def test_search_takes_wildcards_and_quotes_as_plain_text(log: MemoryLog, words: list[str]) -> None:
    log.append(experience("abc x 'y' 100% a_c"))
    assert log.experiences_mentioning("default", words, limit=9) == []


def test_search_finds_words_beyond_ascii_in_any_case(log: MemoryLog) -> None:
    stored = log.append(experience("\u00c9LODIE left the STRASSE."))
    assert log.experiences_mentioning("default", ["\u00e9lodie", "stra\u00dfe"], limit=9) == [stored]


def test_a_subject_is_known_from_facts_or_from_texts(log: MemoryLog) -> None:
    log.append(experience("It is done.", facts=(Fact(subject="Blue  Vase", relation="location", value="attic"),)))
    log.append(experience("Then the green bowl broke."))
    assert log.knows_subject("default", "blue vase") and log.knows_subject("default", "Green bowl")
    assert not log.knows_subject("default", "green vase")
    assert not log.knows_subject("other", "blue vase")


def test_forgetting_leaves_a_tombstone_without_a_word_of_it(log: MemoryLog, log_url: str) -> None:
    version, (kept, gone) = learn(log, mug("drawer"), experience("The secret word is zanzibar.", observation="zanzibar",
        facts=(Fact(subject="secret", relation="is", value="zanzibar"),), key="s"))  # fmt: skip
    log.add_probes([NewProbe(experience_id=gone.id, kind="question", question="Which word?", answer="zanzibar")])
    log.record_probe_results([ProbeResult(probe_id=1, version=1, answer="zanzibar", correct=True)])
    tombstone = log.forget(gone.id)
    assert (tombstone.state, tombstone.text, tombstone.learned_in) == (ExperienceState.FORGOTTEN, "", version.number)
    assert tombstone.facts == () and tombstone.observation is None
    assert log.targets_of(gone.id) == [] and log.probes("default") == [] and log.probe_results("default") == []
    drawn = log.replay_targets("default", limit=9, seed=0) + log.held_out_targets("default", limit=9, seed=0)
    assert {one.experience_id for one in drawn} == {kept.id}
    assert not log.knows_subject("default", "secret")
    assert log.forget(gone.id) == tombstone
    assert _rows_holding(log_url, "zanzibar") == 0


def _rows_holding(url: str, word: str) -> int:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    tables = sqlalchemy.MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        rows = [row for table in tables.sorted_tables for row in connection.execute(sqlalchemy.select(table))]
    engine.dispose()
    return sum(word in str(row) for row in rows)


def test_a_late_retry_of_a_forgotten_experience_does_not_bring_it_back(log: MemoryLog) -> None:
    stored = log.append(experience("Secret.", key="a"))
    log.forget(stored.id)
    assert log.append(experience("Secret.", key="a")).state is ExperienceState.FORGOTTEN
    assert log.experiences_mentioning("default", ["secret"], limit=9) == []


def test_forgetting_what_is_being_learned_ends_that_update_only(log: MemoryLog) -> None:
    one, other = log.append_many([experience("A."), experience("B.")])
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=9)
    log.store_targets(lease, batch.id, [target(one), target(other)])
    candidate = log.add_candidate(lease, batch.id, delta=delta(), weights_hash="h", metrics={})
    log.forget(one.id)
    with pytest.raises(LeaseLost, match="forgotten"):
        log.store_targets(lease, batch.id, [target(other)])
    with pytest.raises(BadInput, match="forgotten"):
        log.admit(lease, candidate.number)
    assert log.head("default").number == 0
    assert log.open_batch(lease, limit=9).experience_ids == (other.id,)


def test_the_log_survives_closing(log: MemoryLog, log_url: str) -> None:
    stored = log.append(mug("drawer"))
    log.close()
    with MemoryLog(log_url) as again:
        assert again.get(stored.id) == stored


def test_a_log_of_a_newer_release_is_refused(log: MemoryLog, log_url: str) -> None:
    engine = sqlalchemy.create_engine(log_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(SchemaTooNew, match="99"):
        MemoryLog(log_url)
