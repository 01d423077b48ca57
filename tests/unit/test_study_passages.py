"""Contexts and questions from files: three formats, and what is said of a line that is no good."""

import json
from pathlib import Path

import pytest

from agent.study.passages import Format, read_passages, stream_of
from memory_log.errors import BadInput

GOOD = {"context": "Mira is in the garden.", "probes": [{"question": "Where is Mira?", "answer": "the garden"}]}


def lines(path: Path, *content: object) -> Path:
    path.write_text("".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in content), "utf-8")
    return path


def test_json_lines_may_give_several_answers_and_facts(tmp_path: Path) -> None:
    more = {
        "context": "It moved.",
        "probes": [{"question": "Where?", "answers": ["there", "over there"]}],
        "facts": [{"subject": "mug", "relation": "place", "value": "there"}],
    }
    first, second = read_passages(lines(tmp_path / "a.jsonl", GOOD, "\n", more), "jsonl")
    assert first.probes[0].all_answers == ("the garden",) and not first.facts
    assert second.probes[0].all_answers == ("there", "over there") and second.facts[0].value == "there"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops\n", "line 2 is not JSON"),
        ({"probes": GOOD["probes"]}, "line 2: context"),
        ({"context": "x", "probes": []}, "line 2: probes"),
        ({"context": "x", "probes": [{"question": "Where?"}]}, "line 2: probes.0: Value error, has no answer"),
        ({**GOOD, "contxt": "y"}, "line 2: contxt"),
        ({**GOOD, "context": "x" * 20_000}, "line 2: the context has 20000 bytes, the limit is 16384"),
        ([1], "line 2"),
    ],
)
def test_a_line_that_is_no_good_is_named_with_its_number(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        read_passages(lines(tmp_path / "a.jsonl", GOOD, line), "jsonl")
    assert said in str(raised.value)


@pytest.mark.parametrize(("form", "content"), [("jsonl", ""), ("squad", "{}"), ("squad", "oops"), ("pwc", "{}\n")])
def test_files_of_another_kind_are_refused(tmp_path: Path, form: Format, content: str) -> None:
    with pytest.raises(BadInput):
        read_passages(lines(tmp_path / "a", content), form)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_passages(tmp_path / "none.jsonl", "jsonl")


def test_prompts_on_one_pwc_input_belong_together(tmp_path: Path) -> None:
    items = [{"input": text, "prompt": f"{text}?", "answer": "yes", "more": 1} for text in ("a", "b", "a")]
    passages = read_passages(lines(tmp_path / "pwc.jsonl", *items), "pwc")
    assert [(one.context, len(one.probes)) for one in passages] == [("a", 2), ("b", 1)]


def test_squad_passages_begin_with_their_title(tmp_path: Path) -> None:
    passage = {"title": "Mugs", "context": "They are red.", "questions": [{"question": "Which?", "answer": "red"}]}
    [found] = read_passages(lines(tmp_path / "squad.json", json.dumps([passage])), "squad")
    assert found.context == "Mugs: They are red." and found.probes[0].all_answers == ("red",)


def test_a_stream_draws_passages_by_seed_and_keeps_their_order(tmp_path: Path) -> None:
    many = [{**GOOD, "context": f"Passage {number:02d}."} for number in range(30)]
    passages = read_passages(lines(tmp_path / "a.jsonl", *many), "jsonl")
    first, again, other = (stream_of(passages, 5, seed=seed) for seed in (0, 0, 1))
    texts = [one.text for one in first.told]
    assert first == again and first != other and texts == sorted(texts)
    assert [one.told for one in first.asked] == [0, 1, 2, 3, 4]
    with pytest.raises(BadInput, match="has 30 passages, and 31 are needed"):
        stream_of(passages, 31, seed=0)


BABI = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary went back to the office.
5 Where is Mary? \toffice\t4
6 Where is John? \thallway\t2
1 Sandra is in the garden.
2 Where is Sandra?\tgarden\t1
"""


def test_a_babi_story_is_asked_what_is_true_at_its_end_and_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "qa1.txt"
    path.write_text(BABI)
    first, second = read_passages(path, "babi")
    told = "Mary moved to the bathroom. John went to the hallway. Mary went back to the office."
    assert first.context == f"Story 1. {told}"
    assert [(one.question, one.all_answers) for one in first.probes] == [
        ("In story 1, where is Mary?", ("office",)), ("In story 1, where is John?", ("hallway",)),
    ]  # fmt: skip
    assert second.probes[0].question == "In story 2, where is Sandra?"


def test_what_is_no_babi_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "qa1.txt"
    path.write_text("1 Mary moved.\nWhere is Mary?\n")
    with pytest.raises(BadInput, match="line 2: needed is a number"):
        read_passages(path, "babi")
