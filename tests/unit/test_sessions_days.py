"""What was read, by lineage and day."""

import json
from datetime import UTC, date, datetime

import pytest

from agent.sessions.chat import read_chat
from agent.sessions.days import Day, days_of
from agent.sessions.files import FileForm, check_form
from agent.sessions.turns import TurnShape
from memory_log.errors import BadInput
from memory_log.jsonl import Fault, ReadExperience, read_experiences


def said(text: str, time: str | None) -> bytes:
    return json.dumps({"role": "user", "content": text} | ({} if time is None else {"time": time})).encode()


def read(*lines: bytes) -> list[ReadExperience | Fault]:
    return list(read_chat(lines, TurnShape("turns")))


def texts(day: Day) -> list[str]:
    return [item.experience.text for item in day.items]


def test_days_are_utc_and_in_order_and_so_is_what_happened_on_each() -> None:
    items = read(
        said("late", "2026-03-03T22:00Z"), said("early", "2026-03-03T01:00Z"), said("before", "2026-03-03T00:30+01:00"),
        said("as early", "2026-03-03T01:00Z"),
    )  # fmt: skip
    before, day = days_of(items)
    assert (before.date, texts(before)) == (date(2026, 3, 2), ["before"])
    assert (day.date, texts(day)) == (date(2026, 3, 3), ["early", "as early", "late"])
    assert [each.date for each in days_of(items, until=datetime(2026, 3, 3, tzinfo=UTC))] == [date(2026, 3, 2)]


def test_lineages_follow_one_another_unless_all_goes_to_one() -> None:
    lines = [
        b'{"text": "a", "time": "2026-03-03T00:00:00Z", "lineage": "z"}',
        b'{"text": "b", "time": "2026-03-02T00:00:00Z", "lineage": "z"}',
        b'{"text": "c", "time": "2026-03-03T00:00:00Z", "lineage": "a"}',
    ]
    found = [(day.lineage, day.date.day, texts(day)) for day in days_of(read_experiences(lines))]
    assert found == [("a", 3, ["c"]), ("z", 2, ["b"]), ("z", 3, ["a"])]
    found = [(day.lineage, day.date.day, texts(day)) for day in days_of(read_experiences(lines), lineage="mine")]
    assert found == [("mine", 2, ["b"]), ("mine", 3, ["a", "c"])]


@pytest.mark.parametrize(
    ("line", "reason"), [(said("a", None), "line 2 has no time"), (b"nonsense", "line 2: is not a whole JSON object")]
)
def test_a_line_without_a_day_is_named(line: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        days_of(read(said("first", "2026-03-02"), line))


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (FileForm("experiences", shape="turns"), "--format chat"),
        (FileForm("locomo", shape="turns"), "need their speakers"),
        (FileForm("chat", only="conv-1"), "--format locomo"),
        (FileForm("chat", group_bytes=20_000), "holds 16000 bytes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(form: FileForm, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        check_form(form)
