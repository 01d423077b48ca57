"""An agent living in an environment: policies, episodes, probes from what was lived, and `selfparam run`."""

import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.spaces import Text

import agent.environments  # noqa: F401  # registers the household
from agent.cli import main
from agent.environments.living import find_describer, live, make_environment
from agent.environments.model_policy import ModelPolicy, mean_logprobs
from agent.environments.policies import ExplorerPolicy, RandomPolicy, check_policy, fitting_policies
from agent.environments.probing import probes_of
from agent.environments.recorder import ExperienceRecorder
from agent.home import Home
from agent.household import ENVIRONMENT_ID
from agent.memory import AgentMemory
from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.records import Fact, NewExperience
from tests.environment_fixtures import Corridor, opened_log, recorded, told, where
from tests.model_fixtures import tiny_llama

LEVEL = "BabyAI-GoToLocal-v0"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MemoryLog]:
    with opened_log(tmp_path) as opened:
        yield opened


def corridor_recorder(log: MemoryLog, session: str = "s") -> ExperienceRecorder:
    return ExperienceRecorder(Corridor("text"), log, where, session=session)


def test_a_life_has_its_episodes_and_is_the_same_for_the_same_seed(log: MemoryLog) -> None:
    lives = []
    for _ in range(2):
        recorder = corridor_recorder(log)
        policy = RandomPolicy(recorder.action_space, 7)
        lives.append(list(live(recorder, policy, num_episodes=5, seed=3)))
    assert [one.number for one in lives[0]] == [1, 2, 3, 4, 5]
    assert {one.ended for one in lives[0]} == {"terminated", "truncated"}
    assert all(one.num_experiences == one.num_steps + 1 and one.num_known == 0 for one in lives[0])
    assert lives[1] == [one._replace(num_known=one.num_experiences) for one in lives[0]]
    assert len(told(log)) == sum(one.num_experiences for one in lives[0])


def test_in_the_same_world_every_episode_begins_alike_and_else_in_another(log: MemoryLog) -> None:
    def beginnings(session: str, is_same_world: bool) -> set[str]:
        recorder = corridor_recorder(log, session)
        policy = RandomPolicy(recorder.action_space, 7)
        list(live(recorder, policy, num_episodes=5, seed=3, is_same_world=is_same_world))
        return {text for name, step, text in told(log) if step == 0 and name.startswith(session)}

    assert len(beginnings("same", True)) == 1 < len(beginnings("other", False))


def test_what_watches_a_life_sees_every_step(log: MemoryLog) -> None:
    seen: list[tuple[int, int]] = []
    recorder = corridor_recorder(log)
    policy = RandomPolicy(recorder.action_space, 0)
    first, second = live(recorder, policy, num_episodes=2, seed=0, watch=lambda *place: seen.append(place))
    steps = [(1, step + 1) for step in range(first.num_steps)] + [(2, step + 1) for step in range(second.num_steps)]
    assert seen == steps


def test_chance_chooses_among_commands_where_they_are_named() -> None:
    space = Text(10)
    policy, again = RandomPolicy(space, 1), RandomPolicy(Text(10), 1)
    info = {"admissible_commands": ("go", "stay", "sing")}
    chosen = [policy.choose("", info) for _ in range(50)]
    assert set(chosen) == set(info["admissible_commands"])
    assert chosen == [again.choose("", info) for _ in range(50)]
    assert space.contains(policy.choose("", {}))


def test_policies_that_cannot_act_are_refused_with_those_that_can() -> None:
    house, level, corridor = gymnasium.make(ENVIRONMENT_ID), make(LEVEL), Corridor()
    assert fitting_policies(house) == ["explorer", "random", "model"]
    assert fitting_policies(level) == ["random", "model"] and fitting_policies(corridor) == ["random"]
    with pytest.raises(BadInput, match="household only; in GoToLocal these can act: random, model"):
        check_policy(level, "explorer")
    with pytest.raises(BadInput, match=r"in words.*in Corridor these can act: random"):
        check_policy(corridor, "model")
    assert ExplorerPolicy(0).choose("", house.reset(seed=0)[1]) in house.reset(seed=0)[1]["admissible_commands"]


def make(env_id: str, **arguments: object) -> gymnasium.Env[Any, Any]:
    return make_environment(env_id, arguments=arguments, max_steps=None, video=None)


@pytest.mark.parametrize(
    ("env_id", "arguments", "complaint"),
    [
        ("Nowhere-v0", {}, "'Nowhere-v0' cannot be made"),
        ("nowhere:Nowhere-v0", {}, "No module named 'nowhere'"),
        (ENVIRONMENT_ID, {"foo": 3}, "with foo=3"),
        (ENVIRONMENT_ID, {"max_steps": 0}, "max_steps=0"),
    ],
)
def test_environments_that_cannot_be_made_are_named(env_id: str, arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        make(env_id, **arguments)


@pytest.mark.skipif(importlib.util.find_spec("moviepy") is not None, reason="films can be written here")
def test_without_moviepy_films_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pip install 'selfparam\[video\]'"):
        make_environment(LEVEL, arguments={}, max_steps=3, video=tmp_path / "films")


def test_environments_without_pictures_make_no_films(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="render_mode='rgb_array'"):
        make_environment(ENVIRONMENT_ID, arguments={}, max_steps=3, video=tmp_path / "films")


def test_films_are_made_of_every_episode(tmp_path: Path, log: MemoryLog) -> None:
    pytest.importorskip("moviepy", reason="needs selfparam[video]")
    env = make_environment(LEVEL, arguments={}, max_steps=3, video=tmp_path / "films")
    with ExperienceRecorder(env, log) as recorder:
        list(live(recorder, RandomPolicy(recorder.action_space, 0), num_episodes=2, seed=0))
    assert len(list((tmp_path / "films").glob("life-episode-*.mp4"))) == 2
    with pytest.raises(BadInput, match="there already"):
        make_environment(LEVEL, arguments={}, max_steps=3, video=tmp_path / "films")


@pytest.mark.parametrize("name", ["words", "nowhere:words", "json:nothing", "json:", ":dumps"])
def test_describers_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(BadInput, match=r"nothing|nowhere|module:function"):
        find_describer(name)


# ------------------------------------------------------------------------------------------------ the model as an agent


def test_a_commands_score_is_its_tokens_mean_log_probability_whatever_is_read_beside_it() -> None:
    model = tiny_llama()
    prompt, answers = [5, 6, 7, 8], [[9, 10], [11], [12, 13, 14]]
    scores = mean_logprobs(model, prompt, answers, 0)
    for answer, score in zip(answers, scores, strict=True):
        logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        alone = [float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate(answer)]
        assert score == pytest.approx(sum(alone) / len(alone), abs=1e-4)
    assert mean_logprobs(model, [5], answers, 0) != scores


def test_the_model_takes_the_likeliest_command_or_draws(tmp_path: Path) -> None:
    with AgentMemory.open(tmp_path / "home", device="cpu") as memory:
        commands = ("go to the kitchen", "look", "ask anna about the red mug")
        info = {"admissible_commands": commands}
        scores = ModelPolicy(memory).scores("You are in the hall.", commands)
        assert all(math.isfinite(score) and score < 0 for score in scores)
        best = commands[scores.index(max(scores))]
        assert {ModelPolicy(memory).choose("You are in the hall.", info) for _ in range(2)} == {best}
        drawing = ModelPolicy(memory, temperature=50.0, seed=1)
        assert {drawing.choose("You are in the hall.", info) for _ in range(40)} == set(commands)
        with pytest.raises(BadInput, match="the model reads"):
            ModelPolicy(memory).choose("word " * 20_000, info)
        with pytest.raises(BadInput, match="0 commands"):
            ModelPolicy(memory).choose("You are in the hall.", {})
        with pytest.raises(BadInput, match="temperature"):
            ModelPolicy(memory, temperature=-1.0)


# ------------------------------------------------------------------------------------------------------------- probes


def test_facts_give_probes_about_their_latest_values(log: MemoryLog) -> None:
    env = ExperienceRecorder(gymnasium.make(ENVIRONMENT_ID, max_steps=100), log)
    list(live(env, ExplorerPolicy(1), num_episodes=1, seed=1))
    stored = recorded(log)
    probes = probes_of(stored, seed=0)
    latest = {(fact.subject, fact.relation): (one.id, fact.value) for one in stored for fact in one.facts}
    assert len(probes) == len(latest) > 50 and probes == probes_of(stored, seed=0)
    for probe in probes:
        assert probe.subject is not None and probe.relation is not None
        number, value = latest[probe.subject, probe.relation]
        assert probe.experience_id == number and probe.answer.endswith(value)
        assert probe.subject in probe.question.lower() and value not in probe.question.lower().split()
    assert len(log.add_probes(probes)) == len(probes)


def test_a_relation_that_the_household_does_not_know_is_asked_about_plainly(log: MemoryLog) -> None:
    fact = Fact(subject="red door", relation="state", value="locked")
    one = log.append(NewExperience(text="The red door is locked.", facts=(fact,)))
    (probe,) = probes_of([one], seed=0)
    assert (probe.question, probe.answer) == (
        "What is the state of the red door?", "the state of the red door is locked",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ selfparam run


def said(capsys: pytest.CaptureFixture[str], home: Path, *words: str, code: int = 0) -> tuple[str, str]:
    assert main(["--home", str(home), "run", *words]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_run_tells_of_each_episode_and_records_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--env", ENVIRONMENT_ID, "--episodes", "2", "--steps", "20", "--session", "monday", "--lineage", "house")
    out, err = said(capsys, tmp_path, *words)
    first, second, total = out.splitlines()
    assert first.startswith("episode 1: 20 steps, truncated, reward ") and second.startswith("episode 2: ")
    assert total.startswith("2 episodes, 40 steps: ") and total.endswith("in lineage 'house', session 'monday'")
    assert err == "living (steps) 40/40\n"
    with Home.open(tmp_path).open_log() as log:
        stored = recorded(log, "house")
    assert {one.session for one in stored} == {"monday/episode-1", "monday/episode-2"}
    assert f"{len(stored)} experiences recorded" in total
    summary = json.loads(said(capsys, tmp_path, *words, "--json")[0])
    assert summary["known"] == summary["experiences"] == len(stored)
    assert (summary["policy"], [one["number"] for one in summary["episodes"]]) == ("explorer", [1, 2])


def test_run_goes_on_where_a_run_that_died_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--env", LEVEL, "--steps", "15", "--session", "s", "--seed", "4")
    said(capsys, tmp_path, *words, "--episodes", "2")
    out, _ = said(capsys, tmp_path, *words, "--episodes", "3")
    assert "of them known" in out.splitlines()[1] and "known" not in out.splitlines()[2]
    said(capsys, tmp_path / "other", *words, "--episodes", "3")
    with Home.open(tmp_path).open_log() as log, Home.open(tmp_path / "other").open_log() as other:
        assert told(log) == told(other) != []


def test_run_takes_environments_and_describers_from_the_working_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corridors_of_mine.py").write_text(
        "import gymnasium\n"
        "from tests.environment_fixtures import where as describe\n"
        "gymnasium.register(id='Corridor-v0', entry_point='tests.environment_fixtures:Corridor')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path[:])
    ways = (("--env", "corridors_of_mine:Corridor-v0"), ("--import", "corridors_of_mine", "--env", "Corridor-v0"))
    words = ("--describe", "corridors_of_mine:describe", "--env-arg", "kind=text", "--json")
    for way in ways:
        summary = json.loads(said(capsys, tmp_path / "home", *way, *words)[0])
        assert summary["experiences"] == summary["steps"] + 1 > 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--env", "CartPole-v1"], "nobody knows how to put the observations of CartPoleEnv into words"),
        (["--env", "Nowhere-v0"], "cannot be made"),
        (["--env", LEVEL, "--policy", "explorer"], "these can act: random, model"),
        (["--env", ENVIRONMENT_ID, "--option", "num_thing=3"], "num_thing"),
        (["--env", ENVIRONMENT_ID, "--import", "nowhere"], "'nowhere' cannot be imported"),
        (["--env", ENVIRONMENT_ID, "--describe", "words"], "module:function"),
        (["--env", ENVIRONMENT_ID, "--describe", "math:sqrt"], "the describer failed on step 0 of episode 1"),
    ],
)
def test_what_run_cannot_do_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    is_describer = "math:sqrt" in words
    out, err = said(capsys, tmp_path, *words, code=1 if is_describer else 2)
    assert out == "" and complaint in err and err.splitlines()[-1].startswith("selfparam: ")




def test_run_learns_after_every_few_episodes_unless_updates_are_paused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), "pause", "--reason", "exam week"]) == 0
    words = ("--env", ENVIRONMENT_ID, "--steps", "3", "--episodes", "3", "--learn-every", "2", "--device", "cpu")
    out, err = said(capsys, tmp_path, *words, code=1)
    assert [line[:9] for line in out.splitlines()[-2:]] == ["episode 1", "episode 2"]
    assert "exam week" in err
    with Home.open(tmp_path).open_log() as log:
        assert len({one.session for one in recorded(log)}) == 2, "what was lived is there"
