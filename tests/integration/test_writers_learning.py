"""Other writers in whole updates, and statements judged, with the embedded model, a real log and a real HTTP server.

Updates are as short as they can be: no test here is about how well something is learned.
"""

import functools
from pathlib import Path

import pytest

from agent.chat_endpoint import EndpointSettings
from agent.cli import main
from agent.home_settings import SETTINGS_FILE, HomeSettings
from agent.memory import AgentMemory
from memory_log.errors import EndpointRefused
from memory_log.records import ExperienceState, Fact
from tests.endpoint_server import Answered, Received, completion, in_turn, refusal, serving
from tests.model_fixtures import LEARNER
from updater.filters import redact_personal
from updater.generation import generate_texts
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.report import NOTHING_WRITTEN
from updater.sentences import Sentence
from updater.settings import GateSettings, UpdateSettings
from updater.support import supported

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
)

SHORT = UpdateSettings(
    questions_per_experience=8, near_misses_per_experience=4, min_samples=8, num_steps=4, num_anchors=12, rank=4,
    min_questions=1,
)  # fmt: skip
LENIENT = GateSettings(min_efficacy=0.0, max_false_recall=1.0, max_reading_loss=1.0, max_drift_nats=10.0)
MUG, ADDRESS = "I put the red mug in the kitchen drawer.", "The old lamp belongs to mira@example.org."
PLACED = Fact(subject="red mug", relation="location", value="kitchen drawer")


@functools.cache
def base() -> LanguageModel:
    quiet_transformers()
    return load_language_model(LEARNER)


def model_behind_http(received: Received) -> Answered:
    """The embedded model as an endpoint: whatever the instruction, it writes questions about the text."""
    dialogue = base().dialogue
    prompt = dialogue.prompt_ids(dialogue.style.write_question, [received.messages[1]["content"]])
    return completion("\n".join(generate_texts(base().model, dialogue, [prompt] * 8, temperature=1.0, seed=1)))


def opened(home: Path, chosen: HomeSettings) -> AgentMemory:
    return AgentMemory.open(home, device="cpu", settings=SHORT, gate=LENIENT, chosen=chosen, filter=redact_personal)


@pytest.mark.parametrize(
    ("statement", "is_true"),
    [
        ("the red mug is in the kitchen drawer", True),
        ("you will find the red mug in the kitchen drawer.", True),
        ("the red mug is in the garden", False),
        ("the red mug belongs to tomas.", False),
    ],
)
def test_a_statement_is_supported_where_the_experience_says_so(statement: str, is_true: bool) -> None:
    stated = Sentence(1, "restatement", (MUG,), "what do you know about the red mug?", statement, "red mug")
    verdict = supported(base(), [stated], num_questions=3, min_support_nats=0.1, min_agreement=0.5, seed=0)
    assert verdict == [is_true]


def test_an_endpoint_writes_what_is_learned_and_is_sent_only_what_the_filter_leaves(tmp_path: Path) -> None:
    with serving(model_behind_http) as server:
        endpoint = EndpointSettings(url=server.url, model="household", requests_per_minute=1e6)
        with opened(tmp_path, HomeSettings(writers={"endpoint": 1.0}, endpoint=endpoint)) as memory:
            memory.tell(MUG, facts=[PLACED])
            memory.tell(ADDRESS)
            report = memory.update()
            stored = [target for number in (1, 2) for target in memory.log.targets_of(number)]
    assert report.admitted, report.reason
    sent = [received.messages[1]["content"] for received in server.received]
    assert set(sent) == {MUG, "The old lamp belongs to [e-mail]."}
    assert not any(b"example" in received.body for received in server.received)
    assert {target.kind for target in stored} == {"question", "near_miss"}
    assert any(target.completion == "the red mug is in the kitchen drawer" for target in stored)
    assert report.dropped and 0 < report.distinct_share <= 1


def test_where_the_endpoint_refuses_nothing_is_learned_and_everything_waits(tmp_path: Path) -> None:
    with serving(in_turn([refusal(401, "bad key")])) as server:
        endpoint = EndpointSettings(url=server.url, model="household")
        with opened(tmp_path, HomeSettings(writers={"endpoint": 1.0}, endpoint=endpoint)) as memory:
            memory.tell(MUG)
            with pytest.raises(EndpointRefused, match="bad key"):
                memory.update()
            assert memory.log.count_by_state("default")[ExperienceState.PENDING] == 1
            assert memory.log.get(1).attempts == 0 and memory.log.updater_lease("default") is None


def test_templates_ask_about_facts_and_an_experience_without_any_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    templates = {"location": ("Which place hides {subject}?",)}
    with opened(tmp_path, HomeSettings(writers={"templates": 1.0}, templates=templates)) as memory:
        memory.tell(MUG, facts=[PLACED])
        memory.tell("Mira is in the garden.")
        report = memory.update()
        assert (report.admitted, report.num_refused) == (True, 1)
        asked = {one.prompt for one in memory.log.targets_of(1) if one.kind == "question"}
        assert "Where is the red mug?" in asked and all("the red mug" in prompt for prompt in asked)
        assert memory.log.get(2).reason == NOTHING_WRITTEN
        metrics = memory.versions()[1].metrics
        assert {f"num_dropped_{name.replace(' ', '_')}": count for name, count in report.dropped.items()} == {
            name: count for name, count in metrics.items() if name.startswith("num_dropped_")
        }
    assert main(["--home", str(tmp_path), "explain", "2"]) == 0
    assert "let the model write too" in capsys.readouterr().out
    assert main(["--home", str(tmp_path), "explain", "1", "--no-model"]) == 0
    assert "dropped in the update of version 1, from all its experiences: " in capsys.readouterr().out


def test_the_dry_run_takes_writer_and_settings_from_file_and_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path)]
    assert main([*words, "tell", MUG, "--fact", "red mug", "location", "kitchen drawer"]) == 0
    file = "[update]\nnum_anchors = 12\nmin_questions = 1\n[templates]\nlocation = [\"Which place hides {subject}?\"]\n"
    (tmp_path / SETTINGS_FILE).write_text(file)
    assert main([*words, "update", "--dry-run", "--plain", "--writer", "templates"]) == 0
    out = capsys.readouterr().out
    assert "and 12 anchors" in out and "Where is the red mug?" in out and "dropped: " in out
    assert "not written: implications by the model and restatements" in out
    (tmp_path / SETTINGS_FILE).write_text("[update]\nnum_anchor = 12\n")
    assert main([*words, "update"]) == 2
    assert "there is no setting 'update.num_anchor'" in capsys.readouterr().err
