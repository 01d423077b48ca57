"""The records: what they take, what they refuse, and how they say so."""

import pickle
from datetime import datetime

import pytest

from memory_log.errors import BadInput
from memory_log.fields import MAX_TEXT_BYTES
from memory_log.records import Fact, NewExperience, NewProbe, NewTarget


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"text": ""}, "text is empty"),
        ({"text": " \n\t"}, "text is empty"),
        ({"text": "a" * 1_000_000}, f"text has 1000000 bytes of UTF-8, the limit is {MAX_TEXT_BYTES}; split"),
        ({"text": "\u00e9" * (MAX_TEXT_BYTES // 2 + 1)}, f"text has {MAX_TEXT_BYTES + 2} bytes"),
        ({"text": b"caf\xe9".decode("utf-8", "surrogateescape")}, "text is not UTF-8"),
        ({"text": b"caf\xe9"}, "text"),
        ({"text": "a\0b"}, "NUL"),
        ({}, "text field required"),
        ({"text": "x", "reward": float("nan")}, "reward"),
        ({"text": "x", "reward": float("inf")}, "reward"),
        ({"text": "x", "step": 2**63}, "step"),
        ({"text": "x", "time": datetime(2026, 1, 1)}, "time"),  # noqa: DTZ001 - the naive time is the point
        ({"text": "x", "lineage": ""}, "lineage is empty"),
        ({"text": "x", "key": "k" * 300}, "key has 300 bytes"),
        ({"text": "x", "observation": "o" * 20000}, "observation has 20000 bytes"),
        ({"text": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        NewExperience(**fields)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_text_of_exactly_the_limit_is_taken() -> None:
    assert len(NewExperience(text="a" * MAX_TEXT_BYTES).text) == MAX_TEXT_BYTES


def test_facts_targets_and_probes_are_checked_too() -> None:
    with pytest.raises(BadInput, match="subject"):
        Fact(subject="", relation="location", value="drawer")
    with pytest.raises(BadInput, match="kind"):
        NewTarget(experience_id=1, kind="poem", prompt="p", completion="c", payload=b"")
    with pytest.raises(BadInput, match="answer"):
        NewProbe(experience_id=1, kind="question", question="q", answer=" ")


def test_records_are_frozen_and_travel() -> None:
    given = NewExperience(text="x", facts=(Fact(subject="a", relation="b", value="c"),))
    with pytest.raises(ValueError, match="frozen"):
        given.text = "y"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(given)) == given
    assert NewExperience.model_validate_json(given.model_dump_json()) == given
