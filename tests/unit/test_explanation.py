"""Explaining an experience from the log alone: its batches, what its sentences count for, and what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.explanation import advice, explain
from memory_log.errors import BadInput, UnknownExperience
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewProbe, ProbeResult
from tests.log_fixtures import learn, lease_of, mug, target
from tests.model_fixtures import experience
from updater.report import NO_CONTEXT_GAIN, NOT_FINITE


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}") as opened:
        yield opened


def states(log: MemoryLog, experience_id: int) -> list[str]:
    return [one.state for one in explain(log, "default", experience_id)[0].sentences]


def test_a_sentence_is_live_superseded_rolled_back_or_not_admitted(log: MemoryLog) -> None:
    _, (drawer,) = learn(log, mug("drawer"))
    assert states(log, drawer.id) == ["live", "live"]
    old = log.targets_of(drawer.id)[0]
    _, (sink,) = learn(log, mug("sink"), superseded={old.id: 2})
    found, targets = explain(log, "default", drawer.id)
    assert [(one.state, one.superseded_by) for one in found.sentences] == [("superseded", sink.id), ("live", None)]
    assert [one.held_out for one in found.sentences] == [False, True] and [one.id for one in targets] == [1, 2]
    log.rollback("default", 1)
    assert states(log, sink.id) == ["rolled back"] * 2 and states(log, drawer.id) == ["live", "live"]
    lease = lease_of(log)
    batch = log.open_batch(lease, limit=1)
    log.store_targets(lease, batch.id, [target(sink.id)])
    assert states(log, sink.id) == ["rolled back"] * 2 + ["not admitted"]


def test_batches_and_probes_over_versions_are_told(log: MemoryLog) -> None:
    _, (drawer,) = learn(log, mug("drawer"))
    asked = log.add_probes([NewProbe(experience_id=drawer.id, kind="question", question="Where?", answer="drawer")])
    results = [
        ProbeResult(probe_id=asked[0], version=0, answer="unknown", correct=False),
        ProbeResult(probe_id=asked[0], version=1, answer="drawer", correct=True),
    ]
    log.record_probe_results(results)
    found, _ = explain(log, "default", drawer.id)
    assert [one.state for one in found.batches] == ["committed"] and found.batches[0].version == 1
    assert found.probes[0].results == tuple(results)
    _, (sink,) = learn(log, mug("sink"))
    assert explain(log, "default", sink.id)[0].probes == ()


def test_an_experience_of_another_lineage_names_its_own_and_an_unknown_one_is_unknown(log: MemoryLog) -> None:
    lived = log.append(mug("drawer").model_copy(update={"lineage": "hers"}))
    with pytest.raises(BadInput, match="--lineage hers"):
        explain(log, "default", lived.id)
    assert explain(log, "hers", lived.id)[0].experience == lived
    with pytest.raises(UnknownExperience):
        explain(log, "default", 99)


def test_of_a_forgotten_experience_only_the_tombstone_is_told(log: MemoryLog) -> None:
    _, (drawer,) = learn(log, mug("drawer"))
    log.forget(drawer.id)
    found, targets = explain(log, "default", drawer.id)
    assert (found.experience.text, found.sentences, found.probes, targets) == ("", (), (), [])
    assert found.experience.learned_in == 1


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("refused", "filter: agent 'guest' is not trusted", "selfparam filter show"),
        ("refused", NO_CONTEXT_GAIN, "plainer words"),
        ("refused", NOT_FINITE, "learning rate"),
        ("refused", "drift on anchors 0.3 nats is above 0.25", "the gate"),
        ("dead", "5 updates died while holding it", "killed those updates"),
    ],
)
def test_what_was_set_aside_comes_with_what_to_do(state: str, reason: str, words: str) -> None:
    told = experience(1, "Hello.").model_copy(update={"state": ExperienceState(state), "reason": reason})
    assert words in (advice(told) or "")


def test_what_waits_or_is_learned_needs_no_advice() -> None:
    assert advice(experience(1, "Hello.")) is None
