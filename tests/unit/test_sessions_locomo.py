"""LoCoMo's format, on a small conversation of our own."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.sessions.locomo import NOT_MENTIONED, LocomoConversation, count_categories, read_locomo
from agent.sessions.questions import store_questions
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.transfer import import_lines


def turn(speaker: str, dia_id: str, text: str, **more: str) -> dict[str, str]:
    return {"speaker": speaker, "dia_id": dia_id, "text": text, **more}


def asked(question: str, category: int, *evidence: str, **more: object) -> dict[str, object]:
    return {"question": question, "category": category, "evidence": list(evidence), **more}


SAMPLE: dict[str, Any] = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ann", "speaker_b": "Bea",
        "session_10_date_time": "12:05 am on 9 June, 2023",
        "session_10": [turn("Ann", "D10:1", "Look!", img_url=["x"], blip_caption="a photo of a dog")],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            turn("Ann", "D2:1", "I moved to Lima."), turn("Bea", "D2:2", "When?"), turn("Ann", "D2:3", "In 2022."),
        ],
        "session_11_date_time": "1:00 pm on 10 June, 2023",
    },
    "qa": [
        asked("Where does Ann live?", 4, "D2:1", answer="Lima"),
        asked("When did Ann move?", 2, "D2:3", answer=2022),
        asked("What has Ann shown since she moved?", 1, "D10:1; D2:1", "D9:99", answer="a dog"),
        asked("Is Ann kind?", 3, answer="Likely yes"),
        asked("Where does Bea live?", 5, "D:2:01", adversarial_answer="Lima"),
        asked("When did Bea leave Rome?", 4, "D99:1", answer="never"),
    ],
}  # fmt: skip


def read(sample: dict[str, Any] = SAMPLE, group_bytes: int = 60) -> LocomoConversation:
    (found,) = read_locomo(json.dumps([sample]).encode(), group_bytes=group_bytes)
    return found


def test_sessions_in_order_become_dated_transcripts_of_bounded_size() -> None:
    news = [one.experience for one in read().experiences]
    assert [new.text for new in news] == [
        "8 May 2023, 13:56.\nAnn: I moved to Lima.\nBea: When?",
        "8 May 2023, 13:56.\nAnn: In 2022.",
        "9 June 2023, 00:05.\nAnn: Look! [shares a photo: a photo of a dog]",
    ]
    assert [new.key for new in news] == ["locomo:conv-1:D2:1-D2:2", "locomo:conv-1:D2:3", "locomo:conv-1:D10:1"]
    assert [new.session for new in news] == ["conv-1/session_2", "conv-1/session_2", "conv-1/session_10"]
    assert {new.lineage for new in news} == {"conv-1"} and news[0].time == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert news[0].metadata == {"speakers": "Ann, Bea", "dia_ids": "D2:1 D2:2"}


def test_questions_keep_their_category_and_name_the_experiences_that_answer_them() -> None:
    lives, moved, shown, kind, bea, rome = read().questions
    assert (lives.category, lives.answer, lives.evidence) == ("single_hop", "Lima", ("locomo:conv-1:D2:1-D2:2",))
    assert (moved.category, moved.answer) == ("temporal", "2022")
    assert shown.category == "multi_hop" and shown.missing == ("D9:99",)
    assert shown.evidence == ("locomo:conv-1:D2:1-D2:2", "locomo:conv-1:D10:1"), "in the order of the conversation"
    assert (kind.category, kind.evidence) == ("open_domain", ())
    assert (bea.category, bea.answer, bea.tempting_answer) == ("adversarial", NOT_MENTIONED, "Lima")
    assert bea.evidence == ("locomo:conv-1:D2:1-D2:2",) and (rome.evidence, rome.missing) == ((), ("D99:1",))
    assert count_categories(read().questions) == "1 multi_hop, 1 temporal, 1 open_domain, 2 single_hop, 1 adversarial"


def test_questions_become_probes_once_their_experiences_are_there(tmp_path: Path) -> None:
    found = read()
    with MemoryLog(f"sqlite:///{tmp_path}/log.db") as log:
        import_lines(log, found.experiences[:2], source="x", lineage="mine")
        assert store_questions(log, "mine", found.questions) == (3, 0, 1, 2)
        import_lines(log, found.experiences, source="x", lineage="mine")
        assert store_questions(log, "mine", found.questions) == (1, 3, 0, 2)
        assert store_questions(log, "mine", found.questions) == (0, 4, 0, 2)
        about = {probe.question: log.get(probe.experience_id).key for probe in log.probes("mine")}
        assert about["What has Ann shown since she moved?"] == "locomo:conv-1:D10:1", "the last that it needs"
        assert {probe.kind for probe in log.probes("mine")} == {"single_hop", "temporal", "multi_hop", "adversarial"}
        log.forget(1)
        assert store_questions(log, "mine", found.questions).num_waiting == 3, "what was forgotten is not asked about"


def change(of: Callable[[dict[str, Any]], object]) -> bytes:
    sample = copy.deepcopy(SAMPLE)
    of(sample)
    return json.dumps([sample]).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", "needs a list"),
        (b"[{", "no file of LoCoMo's"),
        (change(lambda one: one.pop("sample_id")), "has no 0.sample_id"),
        (change(lambda one: one.update(sample_id="a/b")), "names a conversation 'a/b'"),
        (change(lambda one: one["conversation"]["session_2"][1].pop("text")), "conv-1, session_2: has no 1.text"),
        (change(lambda one: one["conversation"].pop("session_2_date_time")), "session_2_date_time is None"),
        (change(lambda one: one["qa"][0].update(category=9)), "0.qa.0.category"),
        (change(lambda one: one["qa"][0].pop("answer")), "without an answer"),
    ],
)
def test_a_file_that_is_none_of_locomos_says_where(content: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_locomo(content)
    assert reason in str(caught.value)


def test_one_conversation_can_be_taken_alone() -> None:
    content = json.dumps([SAMPLE, SAMPLE | {"sample_id": "conv-2"}]).encode()
    assert [one.name for one in read_locomo(content)] == ["conv-1", "conv-2"]
    assert [one.name for one in read_locomo(content, only="conv-2")] == ["conv-2"]
    with pytest.raises(BadInput, match="it has conv-1, conv-2"):
        read_locomo(content, only="conv-3")
