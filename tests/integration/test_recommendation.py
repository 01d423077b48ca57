"""The recommendation benchmark on a file of a few dialogues: everything is ranked, with and without learning."""

import json
from pathlib import Path

import pytest

from benchmarks.recommendation import main
from benchmarks.results_file import ResultsFile
from tests.model_fixtures import LEARNER

SHORT = (
    "num_steps=2", "batch_about=4", "batch_anchors=2", "questions_per_experience=6", "min_samples=6", "num_anchors=12",
)  # fmt: skip


def dialogue(name: int, right: str) -> str:
    return json.dumps(
        {
            "conversationId": name, "initiatorWorkerId": 1, "respondentWorkerId": 2, "movieMentions": {"7": right},
            "messages": [{"senderWorkerId": 1, "text": "Hello."}, {"senderWorkerId": 2, "text": "Try @7."}],
        }
    )  # fmt: skip


def test_titles_are_ranked_before_and_after_dialogues_are_learned(tmp_path: Path) -> None:
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text("\n".join(dialogue(number, title) for number, title in enumerate(("Heat (1995)", "Alien (1979)"))))
    test.write_text("\n".join((dialogue(3, "Alien"), dialogue(4, "Nobody Knows It"))))
    words = ["--train", str(train), "--test", str(test), "--model", str(LEARNER), "--device", "cpu"]
    settings = [word for one in SHORT for word in ("--set", one)]
    assert main([*words, *settings, "--json", str(tmp_path / "found.json")]) == 0
    found = ResultsFile.read(tmp_path / "found.json").metrics
    assert found["num_titles"].mean == 2 and found["num_cases"].mean == 1, "what cannot be ranked is left out"
    assert found["none_recall@5"].mean == found["ours_recall@5"].mean == 1.0
    assert found["none_mrr@5"].mean in (1.0, 0.5)


def test_a_file_without_cases_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text(dialogue(1, "Heat"))
    test.write_text(dialogue(2, "Alien"))
    assert main(["--train", str(train), "--test", str(test)]) == 2
    assert "1 titles and 0 cases" in capsys.readouterr().err
