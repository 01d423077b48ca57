"""Lines of JSON: what is written is read back, and what is wrong with a line is said."""

import gzip
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_log.errors import BadInput, SchemaTooNew
from memory_log.fields import MAX_FACTS
from memory_log.jsonl import (
    MAX_LINE_BYTES,
    Fault,
    Header,
    ReadExperience,
    bounded_lines,
    read_experiences,
    unpacked,
    written_lines,
)
from memory_log.records import Experience, Fact, NewExperience

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = Header(release="0.2.0", exported_at=NOW, source="here")
SEVEN = Experience(
    id=7, text="a", time=NOW, appended_at=NOW, state="pending", learned_in=None, reason=None, attempts=0,
    not_before=None,
)  # fmt: skip
TEXT = b'{"text": "Anna likes pears."}'


def read(*lines: bytes) -> list[ReadExperience | Fault]:
    return list(read_experiences(lines))


def fault(line: bytes) -> Fault:
    (item,) = read(line)
    assert isinstance(item, Fault) and item.line_number == 1 and item.content == line
    return item


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40)
filled = texts.filter(lambda text: text.strip() != "")
figures = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(0, 2**63 - 1)
ANY = {
    "step": st.none() | whole,
    "observation": st.none() | texts,
    "action": st.none() | texts,
    "reward": st.none() | figures,
    "facts": st.lists(st.builds(Fact, subject=filled, relation=filled, value=filled), max_size=3).map(tuple),
    "key": st.none() | filled,
    "time": st.datetimes(timezones=st.just(UTC)),
    "priority": st.integers(0, 1_000_000), "surprise": st.none() | figures,
    "metadata": st.dictionaries(
        filled, st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | figures | texts, max_size=3
    ),
    "lineage": filled, "agent": filled, "session": filled, "text": filled,
}  # fmt: skip
stored = st.builds(
    Experience, **ANY, id=whole, state=st.sampled_from(["pending", "learned", "refused"]), learned_in=st.none(),
    reason=st.none() | texts, attempts=st.integers(0, 9), appended_at=st.just(NOW), not_before=st.none(),
)  # fmt: skip


def test_the_round_trip_below_tries_every_field() -> None:
    assert set(ANY) == set(NewExperience.model_fields)


@settings(max_examples=50)
@given(st.lists(stored, max_size=4))
def test_what_is_written_is_read_back_field_by_field(experiences: list[Experience]) -> None:
    content = b"".join(written_lines(experiences, HEADER))
    items = list(read_experiences(bounded_lines(io.BytesIO(content))))
    good = [item for item in items if isinstance(item, ReadExperience)]
    assert len(good) == len(items)
    assert [(item.experience.model_dump(), item.logged_id, item.source) for item in good] == [
        (one.model_dump(include=set(NewExperience.model_fields)), one.id, "here") for one in experiences
    ]


def test_a_line_leaves_out_what_says_nothing_and_puts_the_text_first() -> None:
    one = SEVEN.model_copy(update={"text": "Größe", "state": "learned", "learned_in": 3})
    header, line = written_lines([one], HEADER)
    assert json.loads(header) == {
        "format": "selfparam-experiences", "schema_version": 1, "release": "0.2.0",
        "exported_at": "2026-01-01T00:00:00Z", "source": "here",
    }  # fmt: skip
    assert line == (
        '{"text":"Größe","time":"2026-01-01T00:00:00Z","log":{"id":7,"state":"learned","learned_in":3}}\n'.encode()
    )


def test_anybodys_file_of_texts_is_read_with_its_line_numbers() -> None:
    items = read(b"\xef\xbb\xbf" + TEXT, b"", b"  ", TEXT + b"\r", b"bad", TEXT)
    assert [item.line_number for item in items] == [1, 4, 5, 6] and isinstance(items[2], Fault)
    first = items[0]
    assert isinstance(first, ReadExperience) and first.experience == NewExperience(text="Anna likes pears.")
    assert (first.source, first.logged_id) == (None, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{}", "has no text"),
        (b'{"text": ""}', "text is empty"),
        (b'{"text": "a", "txet": 1}', "unknown field 'txet'"),
        (b'{"prompt": "a", "answer": "b"}', "jq -c '{text: .prompt}'"),
        (b'{"text": 5}', "text input should be a valid string"),
        (b'{"text": "a", "step": "3"}', "step input should be a valid integer"),
        (b'{"text": "a", "step": -1}', "step input should be greater"),
        (b'{"text": "a", "reward": true}', "reward input should be a valid number"),
        (b'{"text": "a", "reward": 1e999}', "reward input should be a finite number"),
        (b'{"text": "a", "reward": NaN}', "holds NaN"),
        (b'{"text": "a", "reward": -Infinity}', "holds -Infinity"),
        (b'{"text": "a", "step": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"text": "a", "time": "yesterday"}', "time input should be a valid datetime"),
        (b'{"text": "a", "time": "2026-01-01T00:00:00"}', "time input should have timezone info"),
        (b'{"text": "a", "facts": [{"subject": "", "relation": "is", "value": "b"}]}', "facts.0 fact not"),
        (b'{"text": "a", "facts": "b"}', "facts input should be a valid array"),
        (b'{"text": "a\\u0000"}', "NUL"),
        (b'{"text": "\\ud800"}', "cannot be read (Invalid JSON: unexpected end of hex escape"),
        (b'{"text": "a", "text": "b"}', "names 'text' twice"),
        (b'{"text": "a", "log": {"id": 1, "id": 2}}', "names 'id' twice"),
        (b'{"text": "a", "log": {"id": -1}}', "log.id input should be greater"),
        (b'{"text": "a", "log": {"state": "learned"}}', "has no log.id"),
        (b'{"text": "' + b"a" * 16385 + b'"}', "limit is 16384"),
        (b'{"text": "a"', "not a whole JSON object"),
        (b'{"text": "a"} {"text": "b"}', "not a whole JSON object"),
        (b"[]", "is a list"),
        (b"7", "is a single value"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"text": "caf\xe9"}', "not UTF-8 text (byte 14)"),
        (gzip.compress(TEXT, mtime=0), "looks compressed"),
        (TEXT.decode().encode("utf-16"), "looks like UTF-16"),
        (b" " * MAX_LINE_BYTES + b"7", "longer than 1048576 bytes"),
        (b'{"format": "their-chats"}', "format 'their-chats'"),
        (b'{"format": "selfparam-experiences", "schema_version": 1}', "has no exported_at; has no source"),
        (json.dumps({**HEADER.model_dump(mode="json"), "source": "a:b"}).encode(), "source string should match"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_said(line: bytes, complaint: str) -> None:
    reason = fault(line).reason
    assert complaint in reason and "\n" not in reason and len(reason) < 500


def test_a_newer_schema_is_refused_as_a_whole() -> None:
    with pytest.raises(SchemaTooNew, match=r"line 2 says schema version 2, this release reads up to 1.*\(9\.0\.0\)"):
        read(TEXT, b'{"format": "selfparam-experiences", "schema_version": 2, "release": "9.0.0", "new": []}')


def test_exports_can_be_concatenated_and_each_line_belongs_to_the_header_before_it() -> None:
    there = HEADER.model_copy(update={"source": "there"})
    lines = [*written_lines([SEVEN], HEADER), *written_lines([SEVEN], there)]
    assert [item.source for item in read(*lines) if isinstance(item, ReadExperience)] == ["here", "there"]


def test_what_an_export_adds_about_its_log_is_read_past() -> None:
    (item,) = read(b'{"text": "a", "log": {"id": 1, "attempts": 3, "of a later release": {}}}')
    assert isinstance(item, ReadExperience) and item.logged_id == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_is_whole_up_to_the_bound_and_cut_beyond_it(end: bytes) -> None:
    longest, too_long, endless = (b"a" * (MAX_LINE_BYTES + extra) for extra in (0, 1, 5_000_000))
    lines = list(bounded_lines(io.BytesIO(end.join([longest, too_long, endless, b"b", b"", b"c"]))))
    assert lines[0] == longest and lines[3:] == [b"b", b"", b"c"]
    assert all(MAX_LINE_BYTES < len(line) <= MAX_LINE_BYTES + 2 for line in lines[1:3])


def test_the_largest_experience_there_can_be_fits_a_line() -> None:
    name, text = "\x01" * 256, "\x01" * 16384  # each letter takes six as JSON
    largest = SEVEN.model_copy(
        update={
            "text": text, "observation": text, "action": text, "agent": name, "session": name, "lineage": name,
            "key": name, "facts": (Fact(subject=name, relation=name, value=name),) * MAX_FACTS,
            "metadata": {"a": "\x01" * 600},
        }
    )  # fmt: skip
    _, line = written_lines([largest], HEADER)
    (item,) = read_experiences(bounded_lines(io.BytesIO(line)))
    assert isinstance(item, ReadExperience) and item.experience.facts == largest.facts


def test_a_compressed_file_that_is_cut_off_is_named_after_what_it_holds_was_read() -> None:
    packed = gzip.compress(b"".join(b'{"text": "Guest %d is here."}\n' % number for number in range(20_000)))
    assert lines_of(packed, "a.jsonl.gz") == 20_000
    with pytest.raises(BadInput, match=r"a\.jsonl\.gz is cut off or damaged"):
        lines_of(packed[: len(packed) // 2], "folder/a.jsonl.gz")
    with pytest.raises(BadInput, match="cut off or damaged"):
        lines_of(TEXT, "a.jsonl.gz")
    assert lines_of(TEXT, "a.jsonl") == 1


def lines_of(content: bytes, name: str) -> int:
    with unpacked(io.BytesIO(content), name) as file:
        return sum(isinstance(item, ReadExperience) for item in read_experiences(bounded_lines(file)))
