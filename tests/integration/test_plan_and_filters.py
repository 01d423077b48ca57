"""What an update would do, what a filter keeps out of it, and why: with the embedded model, a real log, real commands.

Updates are as short as they can be: no test here is about how well something is learned.
"""

import json
import sqlite3
from pathlib import Path

import pytest

from agent.cli import main
from agent.memory import AgentMemory
from memory_log.errors import FilterFailed, NothingPending, UpdatesPaused
from memory_log.records import Experience, ExperienceState, Fact, NewProbe, ProbeResult, StoredTarget
from tests.model_fixtures import LEARNER
from updater.filters import ExperienceFilter, Filtered, redact_personal, trusted_agents
from updater.settings import GateSettings, UpdateSettings
from updater.targets import TeacherTargets

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
)

SHORT = UpdateSettings(
    questions_per_experience=8, near_misses_per_experience=4, min_samples=8, num_steps=4, num_anchors=12, rank=4,
    min_questions=1,
)  # fmt: skip
LENIENT = GateSettings(min_efficacy=0.0, max_false_recall=1.0, max_reading_loss=1.0, max_drift_nats=10.0)
MUG, MOVED = "I put the red mug in the kitchen drawer.", "I moved the red mug; it is on the attic shelf now."
ADDRESS = "The old lamp belongs to mira@example.org."


def opened(home: Path, filter: ExperienceFilter | None = None) -> AgentMemory:
    return AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=SHORT, gate=LENIENT, filter=filter)


def placed(place: str) -> tuple[Fact, ...]:
    return (Fact(subject="red mug", relation="location", value=place),)


def rows(home: Path) -> list[str]:
    """Everything that is stored."""
    with sqlite3.connect(home / "log.sqlite3") as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump


def everything_in(memory: AgentMemory, target: StoredTarget) -> str:
    """All text of a stored target, its token ids read back."""
    sentence = TeacherTargets.from_bytes(target.payload).sentence
    read = [memory.base.dialogue.text([token]) for token in sentence.prompt_ids + sentence.completion_ids]
    return " ".join([target.prompt, target.completion, target.subject or "", target.relation or "", "".join(read)])


def test_what_redaction_takes_away_is_in_no_target_and_the_plan_was_what_is_stored(tmp_path: Path) -> None:
    fact = Fact(subject="old lamp", relation="owner of mira@example.org", value="mira@example.org")
    with opened(tmp_path) as memory:
        memory.tell(ADDRESS, facts=[fact])
        unfiltered = memory.plan()
        assert any("example" in one.completion for one in unfiltered.sentences), "without a filter it would be learned"
    with opened(tmp_path, redact_personal) as memory:
        _ = memory.base
        before = rows(tmp_path)
        plan = memory.plan()
        assert rows(tmp_path) == before and memory.log.updater_lease("default") is None
        (planned,) = plan.experiences
        assert planned.changed_by_filter and planned.text == "The old lamp belongs to [e-mail]."
        report = memory.update()
        assert report.admitted, report.reason
        stored = memory.log.targets_of(1)
        assert [(one.kind, one.prompt, one.completion, one.held_out) for one in stored] == [
            (one.kind, one.prompt, one.completion, one.held_out) for one in plan.sentences
        ]
        assert {one.kind for one in stored} == {"question", "near_miss"}
        leaks = [text for text in (everything_in(memory, one) for one in stored) if "mira" in text or "example" in text]
        assert leaks == []
        assert memory.log.get(1).text == ADDRESS, "the log keeps what was told"


def test_what_a_filter_refuses_is_refused_with_its_reason_and_the_rest_is_learned(tmp_path: Path) -> None:
    def broken(experience: Experience) -> Filtered:
        raise ConnectionError(experience.text)

    with opened(tmp_path, broken) as memory:
        memory.tell("The tin box is on the roof.", agent="guest")
        memory.tell(MUG, agent="mira")
        for attempt in (memory.update, memory.plan):
            with pytest.raises(FilterFailed, match="experience 1 with ConnectionError") as caught:
                attempt()
            assert "tin box" not in str(caught.value)
        assert memory.log.count_by_state("default")[ExperienceState.PENDING] == 2
        assert memory.log.updater_lease("default") is None and memory.log.get(1).attempts == 0
    with opened(tmp_path, trusted_agents(["mira"])) as memory:
        guest, mira = memory.plan().experiences
        assert guest.refused == "filter: agent 'guest' is not trusted" and guest.text == ""
        assert (mira.refused, mira.part, mira.changed_by_filter) == (None, 1, False)
        report = memory.update()
        assert (report.admitted, report.num_refused, report.num_experiences) == (True, 1, 2)
        refused, learned = memory.log.experiences("default")
        assert (refused.state, refused.reason) == (ExperienceState.REFUSED, guest.refused)
        assert learned.learned_in == 1 and memory.log.targets_of(refused.id) == []
        with pytest.raises(NothingPending):
            memory.plan()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has learned where the mug is, and waits to learn that it was moved; the lineage is paused."""
    home = tmp_path_factory.mktemp("lived") / "home"
    with opened(home) as memory:
        memory.tell(MUG, facts=placed("kitchen drawer"))
        assert memory.update().admitted
        memory.tell(MOVED, facts=placed("attic shelf"))
        memory.log.pause("default", by="mira", reason="exam week")
        (probe,) = memory.log.add_probes(
            [NewProbe(experience_id=1, kind="question", question="Where is it?", answer="drawer")]
        )
        memory.log.record_probe_results([ProbeResult(probe_id=probe, version=1, answer="in the sink", correct=False)])
    return home


def test_a_plan_names_what_would_no_longer_be_true_also_while_updates_are_paused(lived: Path) -> None:
    with opened(lived, redact_personal) as memory:
        with pytest.raises(UpdatesPaused, match="exam week"):
            memory.update()
        plan = memory.plan()
        assert (plan.parent, plan.num_versions) == (1, 1)
        replaced = [one for one in plan.superseded if one.completion == "the red mug is in the kitchen drawer"]
        assert replaced and {(one.experience_id, one.by_experience) for one in replaced} == {(1, 2)}
        assert any("attic shelf" in one.completion for one in plan.sentences)


def test_explain_measures_every_sentence_with_the_version_asked_for(
    lived: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(lived), "explain", "1", "--json"]
    found = []
    for version in ("0", "1"):
        assert main([*words, "--version", version]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["measured_version"] for one in found] == [0, 1]
    taught = [
        [one for one in each["sentences"] if one["kind"] == "question" and not one["held_out"]] for each in found
    ]
    assert taught[0] and not any(one["is_exact"] for one in taught[0]), "the base model was told nothing"
    mean = [sum(one["kl_nats"] for one in each) / len(each) for each in taught]
    assert mean[0] == pytest.approx(sum(one["gain_nats"] for one in taught[0]) / len(taught[0]), abs=0.01)
    assert mean[1] < mean[0]
    assert main([*words, "--version", "9"]) == 2
    assert "versions 0 to 1, got 9" in capsys.readouterr().err


def test_explain_shows_batches_sentences_and_probes_by_version(
    lived: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(lived), "explain", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("experience 1 learned in version 1\n") and "red mug | location | kitchen drawer" in out
    assert "committed" in out and "version 1 gives " in out
    assert " live " in out and "held out" in out and "near miss" in out
    assert out.endswith("in the sink\n") and "Where is it?" in out


def test_the_dry_run_shows_the_plan_and_stores_nothing(lived: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(lived)
    assert main(["--home", str(lived), "update", "--dry-run", "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert rows(lived) == before
    assert captured.out.startswith("the next update would learn 1 experience of 1 on top of version 1, in 1 version\n")
    assert "no longer true, by experience 2:" in captured.out and "nothing was stored" in captured.out
    assert "attic shelf" in captured.out and "exam week" in captured.err


def test_a_dry_run_of_nothing_says_so_before_it_loads_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path / "home")]
    assert main([*words, "update", "--dry-run"]) == 2
    assert "no memory" in capsys.readouterr().err and not (tmp_path / "home").exists()
    assert main([*words, "tell", MUG, "--lineage", "hers"]) == 0
    assert main([*words, "update", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "nothing is pending" in captured.out and "loading" not in captured.err
