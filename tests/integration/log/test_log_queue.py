"""The queue as its writers and its updaters meet it: bounds, many writers, orders, back-off, requeue and history."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from memory_log.errors import BadInput, IdempotencyConflict, NothingPending, QueueFull, UnknownExperience
from memory_log.log import MemoryLog
from memory_log.records import Bound, ClaimOrder, HappeningKind
from tests.log_fixtures import HandClock, experience, learn, lease_of, mug


def states(log: MemoryLog) -> list[str]:
    return [one.state.value for one in log.experiences("default")]


def claim(log: MemoryLog, limit: int, order: ClaimOrder = "oldest") -> tuple[int, ...]:
    lease = lease_of(log)
    ids = log.open_batch(lease, limit=limit, order=order).experience_ids
    log.release_updater_lease(lease)
    return ids


def test_writers_at_once_each_get_their_own_in_order_and_with_their_own_verdict(log: MemoryLog) -> None:
    log.append(experience("First.", key="taken"))

    def write(writer: int) -> list[int]:
        ids = []
        for index in range(20):
            news = [experience(f"Writer {writer}, {index}, {part}.", key=f"{writer}/{index}/{part}") for part in "ab"]
            appended = log.append_many(news)
            assert [one.text for one in appended] == [new.text for new in news]
            ids += [one.id for one in appended]
            with pytest.raises(IdempotencyConflict, match="taken"):
                log.append_many([experience(f"Not kept {writer}."), experience("Other.", key="taken")])
        return ids

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(write, range(6)))
    assert all(ids == sorted(ids) for ids in told)
    stored = log.experiences("default", limit=1000)
    assert len(stored) == 1 + 6 * 40 and not [one for one in stored if one.text.startswith("Not kept")]


def test_the_same_key_from_several_writers_at_once_is_one_experience(log: MemoryLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: log.append(experience("It rained.", key="rain")).id, range(40)))
    assert len(set(ids)) == 1 == len(log.experiences("default"))


def test_a_full_queue_refuses_the_whole_call(log: MemoryLog) -> None:
    bound = Bound(most_pending=3, when_full="refuse")
    log.append_many([experience("A."), experience("B.")], bound=bound)
    with pytest.raises(QueueFull, match="3 experiences pending"):
        log.append_many([experience("C."), experience("D.")], bound=bound)
    log.append(experience("C."), bound=bound)
    log.append(experience("Elsewhere.", lineage="other"), bound=bound)
    assert [one.text for one in log.experiences("default")] == ["A.", "B.", "C."]


def test_a_key_that_is_there_needs_no_room(log: MemoryLog) -> None:
    bound = Bound(most_pending=1, when_full="refuse")
    first = log.append(experience("A.", key="a"), bound=bound)
    assert log.append(experience("A.", key="a"), bound=bound) == first


@pytest.mark.parametrize("when_full", ["refuse", "block"])
def test_a_call_that_can_never_fit_says_so(log: MemoryLog, when_full: str) -> None:
    with pytest.raises(BadInput, match="append fewer at once"):
        log.append_many([experience("A."), experience("B.")], bound=Bound(most_pending=1, when_full=when_full))


def test_a_blocked_writer_goes_on_when_an_update_has_made_room(log: MemoryLog) -> None:
    bound = Bound(most_pending=2, when_full="block", timeout_seconds=60)
    log.append_many([experience("A."), experience("B.")], bound=bound)
    told: list[str] = []
    writer = threading.Thread(target=lambda: told.append(log.append(experience("C."), bound=bound).text))
    writer.start()
    lease = lease_of(log)
    assert not told
    log.open_batch(lease, limit=1)
    writer.join(timeout=30)
    assert told == ["C."] and states(log) == ["leased", "pending", "pending"]


def test_a_blocked_writer_gives_up_in_time(log: MemoryLog) -> None:
    bound = Bound(most_pending=1, when_full="block", timeout_seconds=0.1)
    log.append(experience("A."), bound=bound)
    with pytest.raises(QueueFull):
        log.append(experience("B."), bound=bound)
    assert states(log) == ["pending"]


def test_what_spills_waits_in_line_and_is_claimed_in_order(log: MemoryLog) -> None:
    spill = Bound(most_pending=2, when_full="spill")
    ids = [one.id for one in log.append_many([experience(f"Event {index}.") for index in range(5)], bound=spill)]
    assert states(log) == ["pending", "pending", "spilled", "spilled", "spilled"]
    lease = lease_of(log)
    assert log.open_batch(lease, limit=1).experience_ids == (ids[0],)
    assert states(log) == ["leased", "pending", "pending", "spilled", "spilled"]
    # There is room by now, but those that came before have not had it yet.
    log.release_updater_lease(lease)
    assert log.append(experience("Late."), bound=Bound(most_pending=9, when_full="spill")).state.value == "spilled"
    assert claim(log, 9) == (*ids, ids[-1] + 1)


def test_claims_come_in_the_order_asked_for_and_the_rest_by_age(log: MemoryLog) -> None:
    told = log.append_many([
        experience("Plain."), experience("Low.", priority=1), experience("High.", priority=9),
        experience("Odd.", surprise=3.5), experience("Odder.", surprise=4.0), experience("Expected.", surprise=-1.0),
    ])  # fmt: skip
    plain, low, high, odd, odder, expected = [one.id for one in told]
    assert claim(log, 2) == (plain, low)
    assert claim(log, 1, "priority") == (high,) and claim(log, 3, "priority") == (plain, low, high)
    assert claim(log, 1, "surprise") == (odder,) and claim(log, 2, "surprise") == (odd, odder)
    assert claim(log, 4, "surprise") == (plain, odd, odder, expected)
    with pytest.raises(BadInput, match="oldest, priority, surprise"):
        claim(log, 1, "newest")  # type: ignore[arg-type]


def test_after_two_deaths_an_experience_is_put_off_and_a_requeue_ends_that(log: MemoryLog, clock: HandClock) -> None:
    lived = log.append(experience("Event."))
    for _ in range(2):
        log.open_batch(lease_of(log, seconds=10), limit=1)
        clock.advance(11)
    lease = lease_of(log)
    with pytest.raises(NothingPending, match=r"put off.*2026-01-01 00:00:23"):
        log.open_batch(lease, limit=1)
    assert log.num_waiting("default", at_most=9) == 0
    log.requeue([lived.id])
    assert (log.get(lived.id).attempts, log.get(lived.id).not_before) == (0, None)
    assert log.open_batch(lease, limit=1).experience_ids == (lived.id,)


def test_what_was_refused_gets_another_chance_all_or_none(log: MemoryLog) -> None:
    _, (learned,) = learn(log, mug("drawer"))
    refused = log.append(experience("Nonsense."))
    lease = lease_of(log)
    log.reject_batch(lease, log.open_batch(lease, limit=1).id, reason="no gain", refuse_experiences=True)
    with pytest.raises(BadInput, match=f"experience {learned.id} is learned"):
        log.requeue([refused.id, learned.id])
    with pytest.raises(UnknownExperience):
        log.requeue([refused.id, 999])
    assert log.get(refused.id).state.value == "refused"
    (again,) = log.requeue([refused.id])
    assert (again.state.value, again.reason, again.attempts) == ("pending", None, 0)
    assert log.open_batch(lease, limit=1).experience_ids == (refused.id,)


def test_a_history_tells_everything_in_order(log: MemoryLog, clock: HandClock) -> None:
    lived = log.append(experience("Event."))
    clock.advance(1)
    lease = lease_of(log, "first")
    log.reject_batch(lease, log.open_batch(lease, limit=1).id, reason="no gain", refuse_experiences=True)
    log.release_updater_lease(lease)
    clock.advance(1)
    log.requeue([lived.id])
    clock.advance(1)
    version, _ = learn(log, mug("drawer"))
    log.rollback("default", 0)
    clock.advance(1)
    log.forget(lived.id)
    clock.advance(1)
    log.rollback("default", version.number)
    told = [(one.kind.value, one.detail) for one in log.history(lived.id)]
    assert told == [
        ("appended", None), ("claimed", "alone"), ("returned", "no gain"), ("refused", "no gain"),
        ("requeued", "no gain"), ("forgotten", None),
    ]  # fmt: skip
    mug_story = log.history(lived.id + 1)
    assert [one.kind for one in mug_story[-3:]] == [
        HappeningKind.LEARNED, HappeningKind.UNLEARNED, HappeningKind.LEARNED
    ]  # fmt: skip
    assert [one.version for one in mug_story[-3:]] == [version.number, None, version.number]


def test_which_versions_still_know_is_answerable_after_forgetting(log: MemoryLog) -> None:
    one, (lived,) = learn(log, mug("drawer"))
    two, _ = learn(log, mug("sink"))
    log.rollback("default", 0)
    other, _ = learn(log, experience("It rained."))
    log.forget(lived.id)
    assert log.versions_knowing(lived.id) == [one.number, two.number]
    assert other.number not in log.versions_knowing(lived.id)


def test_search_finds_words_phrases_and_beginnings(log: MemoryLog) -> None:
    drawer, garage, red = (
        one.id
        for one in log.append_many(
            [experience("A mug is in the kitchen drawer."), experience("Mugs, in the GARAGE!"), experience("Red mug.")]
        )
    )

    def found(query: str, **options: int) -> list[int]:
        return [one.id for one in log.search("default", query, **options)]

    assert found("mug") == [red, drawer] and found("mug*") == [red, garage, drawer]
    assert found('"kitchen drawer"') == [drawer] and found('"drawer kitchen"') == []
    assert found("IN the") == [garage, drawer] and found("mug*", limit=1, before_id=red) == [garage]
    assert found("gar*  mug*") == [garage] and found("nothing") == []
    log.forget(drawer)
    assert found("kitchen") == []
    for empty in ("", " ", '""', "!?", "*"):
        with pytest.raises(BadInput, match="to search for"):
            found(empty)


def test_lineages_are_named(log: MemoryLog) -> None:
    log.append_many([experience("A.", lineage="b"), experience("B.", lineage="a")])
    log.ensure_lineage("c", base_fingerprint="x")
    assert log.lineages() == ["a", "b", "c"]


def test_metadata_comes_back_and_goes_with_the_text(log: MemoryLog) -> None:
    lived = log.append(experience("A.", metadata={"room": "attic", "floor": 2, "warm": True, "é": 0.5}))
    assert log.get(lived.id).metadata == {"room": "attic", "floor": 2, "warm": True, "é": 0.5}
    assert log.forget(lived.id).metadata == {}
