"""Chats as lines of JSON: what becomes an experience, and what is wrong with a line."""

import json
from datetime import UTC, datetime

import pytest

from agent.sessions.chat import read_chat
from agent.sessions.turns import MOST_TURN_BYTES, TurnShape
from memory_log.jsonl import Fault, ReadExperience
from memory_log.records import NewExperience

TURNS, TRANSCRIPT = TurnShape("turns"), TurnShape("transcript")
DIALOGUE = {
    "session": "monday", "time": "2026-03-02T18:00:00+01:00",
    "messages": [
        {"role": "system", "content": "You are kind. " * 2000},
        {"role": "user", "name": "Ann", "content": "I put the red mug in the kitchen drawer."},
        {"role": "assistant", "content": "Good to know."},
        {"role": "user", "content": [{"type": "text", "text": "Mira is"}, {"type": "text", "text": "in the garden."}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ],
}  # fmt: skip


def lines(*objects: object) -> list[bytes]:
    return [json.dumps(one).encode() for one in objects]


def experiences(shape: TurnShape, *objects: object) -> list[NewExperience]:
    found = list(read_chat(lines(*objects), shape))
    assert all(isinstance(one, ReadExperience) for one in found), found
    return [one.experience for one in found if isinstance(one, ReadExperience)]


def fault(line: bytes) -> Fault:
    (found,) = read_chat([b"", line], TURNS)
    assert isinstance(found, Fault) and found.line_number == 2 and found.content == line
    return found


def test_each_turn_of_the_users_is_an_experience_in_its_own_words() -> None:
    first, second = experiences(TURNS, DIALOGUE)
    assert (first.text, second.text) == ("I put the red mug in the kitchen drawer.", "Mira is\nin the garden.")
    assert first.session == second.session == "monday" and (first.step, second.step) == (1, 3)
    assert first.time == second.time == datetime(2026, 3, 2, 17, tzinfo=UTC)
    assert (first.metadata, second.metadata) == ({"speakers": "Ann"}, {"speakers": "user"})


def test_a_transcript_says_when_and_who_and_leaves_out_system_and_tools() -> None:
    (one,) = experiences(TRANSCRIPT, DIALOGUE)
    assert one.text == (
        "2 March 2026, 17:00.\nAnn: I put the red mug in the kitchen drawer.\nassistant: Good to know.\n"
        "user: Mira is\nin the garden."
    )
    assert one.metadata == {"speakers": "Ann, assistant, user"}


def test_lines_of_one_turn_are_a_conversation_while_their_session_stays_the_same() -> None:
    told = [
        {"role": "user", "content": "One.", "session": "a", "time": 1772474400},
        {"role": "assistant", "content": "Two.", "session": "a"},
        {"role": "user", "content": "Three.", "session": "b"},
        {"role": "user", "content": "Four.", "session": "a"},
    ]
    assert [(one.session, one.step, one.text) for one in experiences(TURNS, *told)] == [
        ("a", 1, "One."), ("b", 1, "Three."), ("a", 3, "Four."),
    ]  # fmt: skip
    assert [one.text for one in experiences(TRANSCRIPT, *told)] == [
        "2 March 2026, 18:00.\nuser: One.", "assistant: Two.", "user: Three.", "user: Four.",
    ]  # fmt: skip


def test_a_transcript_ends_where_it_would_be_too_long_or_another_day_begins() -> None:
    def said(number: int, time: str) -> dict[str, str]:
        return {"role": "user", "content": f"Number {number}.", "session": "a", "time": time}

    times = ["2026-03-02T10:00", "2026-03-02T10:01", "2026-03-02T10:02", "2026-03-03"]
    told = [said(number, time) for number, time in enumerate(times, 1)]
    found = experiences(TurnShape("transcript", 54), *told)
    assert [one.text.count("Number") for one in found] == [2, 1, 1]
    assert found[0].text == "2 March 2026, 10:00.\nuser: Number 1.\nuser: Number 2."
    whole = experiences(TurnShape("transcript", 1), {"role": "user", "content": "A long turn stays whole."})
    assert [one.text for one in whole] == ["user: A long turn stays whole."]


def test_the_same_turn_has_the_same_content_for_its_key_wherever_it_stands() -> None:
    def contents(*objects: object) -> set[bytes]:
        return {one.content for one in read_chat(lines(*objects), TURNS)}

    turn = {"role": "user", "content": "Hello.", "time": "2026-03-02"}
    assert contents(turn) == contents({"messages": [turn]}) == contents(turn | {"time": "2026-03-02T00:00Z"})
    assert contents(turn) != contents(turn | {"time": "2026-03-03"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "robot", "content": "a"}]}', "messages.0.role"),
        (b'{"messages": [{"role": "user", "content": 3}]}', "messages.0.content"),
        (b'{"messages": [{"role": "user", "content": "a", "tmie": 3}]}', "messages.0.tmie"),
        (b'{"content": "a"}', "has no role"),
        (b'{"role": "user", "content": "a", "time": "yesterday"}', "is no time"),
        (b'{"role": "user", "content": "a", "time": 1772474400000}', "milliseconds"),
        (b'{"role": "user", "content": "a", "time": true}', "is no time"),
        (b'{"role": "user", "content": "a", "session": " "}', "session is empty"),
        (b'[{"role": "user"}]', "is a list"),
        (b'{"role": "user", "content": "a"', "not a whole JSON object"),
        (b"\xff\xfe", "UTF-16"),
        (json.dumps({"role": "user", "content": "a" * (MOST_TURN_BYTES + 1)}).encode(), "split it into several"),
        (b'{"role": "user", "content": "a\\u0000b"}', "NUL"),
        (b'{"role": "user", "content": "a\\ud800"}', "cannot be read"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_chat_is_named_with_its_number_and_the_reason(line: bytes, reason: str) -> None:
    assert reason in fault(line).reason


def test_an_experience_that_the_log_would_refuse_is_a_fault_of_its_first_line() -> None:
    told = [{"role": "user", "name": f"{number:0250}", "content": "Hi.", "session": "a"} for number in range(20)]
    (found,) = read_chat(lines(*told), TurnShape("transcript", 9000))
    assert isinstance(found, Fault) and found.line_number == 1 and "metadata" in found.reason


def test_bad_lines_come_before_the_transcript_that_goes_on_behind_them() -> None:
    good = json.dumps({"role": "user", "content": "Good.", "session": "a"}).encode()
    found = list(read_chat([good, b"bad", good], TRANSCRIPT))
    assert isinstance(found[0], Fault) and found[0].line_number == 2
    assert isinstance(found[1], ReadExperience) and found[1].experience.text == "user: Good.\nuser: Good."
    assert [type(one) for one in read_chat([good, b"bad", good], TURNS)] == [ReadExperience, Fault, ReadExperience]
