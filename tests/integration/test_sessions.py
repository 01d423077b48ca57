"""Conversations through the command line: imported once, and learned day by day."""

import json
import os
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands_learn import only_learner
from agent.home import Home
from agent.memory import AgentMemory
from memory_log.records import ExperienceState
from tests.cli_fixtures import REPOSITORY

LOCOMO = Path(os.environ.get("SELFPARAM_SHARED_DATA", REPOSITORY.parent / "shared/data")) / "locomo/locomo10.json"
CHATS = [
    {"messages": [
        {"role": "user", "content": "I put the red mug in the kitchen drawer."},
        {"role": "assistant", "content": "I see."},
    ], "session": "monday", "time": "2026-03-02T18:00:00Z"},
    {"role": "user", "content": "Mira is in the garden.", "session": "tuesday", "time": "2026-03-03T09:00:00Z"},
]  # fmt: skip
# Few steps and an open gate: what is learned is not looked at.
SLIGHTLY = [
    word
    for setting in (
        "update.num_steps=3", "update.least_passes=0", "update.num_anchors=24", "update.num_fresh_near_misses=0",
        "update.num_contradictions=0", "update.retry.num_retries=0", "gate.min_efficacy=0", "gate.max_false_recall=1",
        "gate.max_retention_loss=1", "gate.max_reading_loss=1", "gate.max_drift_nats=1000",
    )
    for word in ("--set", setting)
]  # fmt: skip


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in CHATS))
    return file


def test_chats_are_imported_once_and_a_bad_line_is_named(
    tmp_path: Path, chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path / "home"), "log", "import", str(chats), "--format", "chat"]
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out == "2 experiences could be stored, 0 lines could not; nothing was stored\n"
    assert main(words) == 0 and capsys.readouterr().out == "2 experiences stored, pending\n"
    with chats.open("a") as file:
        file.write('{"role": "user", "content": "The key is under the mat."}\n{"role": "user", "tmie": 1}\n')
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == "1 experience stored, pending\n  2 here already\n"
    assert "line 4: unknown field 'tmie'" in told.err and "What comes before this line is stored" in told.err
    assert main([*words, "--as", "transcript"]) == 2, "another shape makes other experiences"
    with Home.open(tmp_path / "home").open_log() as log:
        assert [log.get(number).session for number in (1, 2, 3)] == ["monday", "tuesday", "default"]
        assert log.get(1).text == "I put the red mug in the kitchen drawer."


def test_a_conversation_is_learned_day_by_day_and_goes_on_where_it_was_stopped(
    tmp_path: Path, chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    words = ["--home", str(home), "live", str(chats), "--plain", *SLIGHTLY]
    first = "2026-03-02  1 experience, 1 learned   version 1\n"
    assert main([*words, "--until", "2026-03-03"]) == 0
    assert capsys.readouterr().out == first
    assert main(["--home", str(home), "log", "import", str(chats), "--format", "chat"]) == 0
    assert "1 here already" in capsys.readouterr().out, "both make the same keys"
    with only_learner(home, "default") as owner, Home.open(home).open_log() as log:  # and is killed
        log.open_batch(log.acquire_updater_lease("default", owner=owner, lease_seconds=3600), limit=8)
        assert main(words) == 1 and "another process learns lineage" in capsys.readouterr().err
    assert main(words) == 0
    assert capsys.readouterr().out == first + "2026-03-03  1 experience, 1 learned   version 2\n"
    assert main([*words, "--json"]) == 0
    told = capsys.readouterr()
    assert [json.loads(line)["version"] for line in told.out.splitlines()] == [1, 2] and "training" not in told.err
    with AgentMemory.open(home) as memory:
        assert [version.number for version in memory.versions()] == [0, 1, 2]
        assert memory.log.count_by_state("default")[ExperienceState.LEARNED] == 2


@pytest.mark.skipif(not LOCOMO.is_file(), reason=f"LoCoMo's licence keeps it out of the project; it is not in {LOCOMO}")
def test_locomos_conversations_become_lineages_and_its_questions_probes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path / "home"), "log", "import", str(LOCOMO), "--format", "locomo"]
    assert main([*words, "--dry-run"]) == 0
    assert "282 multi_hop, 321 temporal, 96 open_domain, 841 single_hop, 446 adversarial" in capsys.readouterr().out
    assert main([*words, "--conversation", "conv-26"]) == 0
    told = capsys.readouterr().out
    assert "of 1 lineage: conv-26\n  197 questions stored as probes" in told and "2 questions that name no turn" in told
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "of 10 lineages" in told and "208 questions here already, or asked twice" in told
    with Home.open(tmp_path / "home").open_log() as log:
        probes = log.probes("conv-26")
        when = next(probe for probe in probes if probe.question == "When did Caroline go to the LGBTQ support group?")
        assert (when.kind, when.answer) == ("temporal", "7 May 2023")
        about = log.get(when.experience_id)
        assert about.text.startswith("8 May 2023, 13:56.\nCaroline: ")
        assert "Caroline: I went to a LGBTQ support group yesterday" in about.text
        assert len(log.lineages()) == 10
