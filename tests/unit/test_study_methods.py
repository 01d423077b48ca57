"""The methods of the injection benchmark: scores of retrieval, and what each baseline changes of a training set."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.study.baselines import (
    as_cross_entropy,
    baseline_settings,
    one_hot,
    open_gate,
    raw_text,
    without_anchors,
    without_replay,
)
from agent.study.contestants import METHODS
from agent.study.records import Asked, Stream, Told
from agent.study.retrieval import Bm25, Dense, bm25_scores
from benchmarks.injection import main, methods_of
from benchmarks.injection_plan import Plan, parsed_settings
from memory_log.errors import BadInput
from tests.model_fixtures import tiny_base, tiny_llama, tokenized
from updater.gate import verdict
from updater.sequences import collate, completion_logits
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, compute_targets, sentence_kl
from updater.training import TrainingSet

TEXTS = ("the red mug is in the den", "the tin box is in the loft", "mira sings")
PLAN = Plan(
    protocol="sequential", updates=2, per_update=2, batches=(3,), changed_share=0.15, top=4, model="m", device="cpu",
    data=None, form="jsonl", settings={}, quick=False,
)  # fmt: skip


def streamed(texts: tuple[str, ...]) -> Stream:
    return Stream(told=tuple(Told(number=n, text=text) for n, text in enumerate(texts)), asked=())


def question(text: str) -> Asked:
    return Asked(number=0, told=0, kind="paraphrase", question=text, answers=("x",))


def test_bm25_on_one_word_in_one_of_two_texts() -> None:
    # Both texts have two words, so length cancels: idf = log(1 + (2 - 1 + 0.5) / (1 + 0.5)), tf part = 2.5 / 2.5.
    assert bm25_scores("mug?", ["red mug", "tin box"]) == [pytest.approx(math.log(2.0)), 0.0]
    assert bm25_scores("mug", []) == []


def test_bm25_prefers_rare_words_and_short_texts() -> None:
    rare, common, _ = bm25_scores("is mug", ["mug", "is", "is"])
    assert rare > common
    short, long = bm25_scores("mug", ["mug", "mug on the very old shelf"])
    assert short > long


def test_retrieval_reads_the_best_in_order_of_time() -> None:
    found = Bm25(tiny_base(), streamed(TEXTS), top=2)
    found.learn(streamed(TEXTS).told)
    assert found.notes(question("Is the tin box or the red mug there?")) == [TEXTS[0], TEXTS[1]]
    assert found.notes(question("Who sings?")) == [TEXTS[2]]
    assert found.notes(question("Xyzzy?")) == []


def test_dense_retrieval_goes_by_the_encoder() -> None:
    def by_length(texts: object) -> object:
        assert isinstance(texts, list)
        return np.array([[1.0, 0.0] if len(text) > 12 else [0.0, 1.0] for text in texts])

    found = Dense(tiny_base(), streamed(TEXTS), top=1, encode=by_length)  # type: ignore[arg-type]
    assert found.notes(question("anything")) == []
    found.learn(streamed(TEXTS).told)
    assert found.notes(question("a long question this is")) == [TEXTS[1]]
    assert found.notes(question("short")) == [TEXTS[2]]


def targets() -> list[TeacherTargets]:
    sentences = tokenized()
    return compute_targets(tiny_llama(1), sentences, [s.prompt_ids for s in sentences], k=8, pad_token_id=0)


def test_the_kl_to_a_one_hot_target_is_the_cross_entropy_of_its_own_tokens() -> None:
    base, hot = tiny_base(), [one_hot(target) for target in targets()]
    for target, found in zip(hot, sentence_kl(base.model, hot, 0), strict=True):
        logits_BTV = completion_logits(base.model, collate([target.sentence], 0, base.device))
        wanted = torch.nn.functional.cross_entropy(logits_BTV[0], torch.tensor(target.sentence.completion_ids))
        assert found == pytest.approx(float(wanted), rel=1e-5)


def training_set() -> TrainingSet:
    one = targets()[:1]
    return TrainingSet(*([*one] for _ in TrainingSet._fields))


def test_each_baseline_leaves_out_what_it_is_named_after() -> None:
    given = training_set()
    assert without_anchors(given) == given._replace(anchors=[], reading_anchors=[])
    assert without_replay(given) == given._replace(replay_questions=[], replay_near_misses=[])
    for before, after in zip(given, as_cross_entropy(given), strict=True):
        assert [one.sentence for one in after] == [one.sentence for one in before]
        assert all(one.top_ids_TK.shape[1] == 1 for one in after)


def test_raw_text_learns_every_token_of_it() -> None:
    base = tiny_base()
    target = raw_text(base, "the red mug is here")
    assert base.dialogue.text(target.sentence.completion_ids) == "the red mug is here"
    assert len(target.sentence.prompt_ids) == 1
    assert target.top_ids_TK.squeeze(-1).tolist() == list(target.sentence.completion_ids)


def test_baselines_see_as_many_sentences_a_step_as_ours() -> None:
    ours = UpdateSettings()
    most = ours.batch_about + ours.batch_anchors + ours.batch_replay
    anchors, replay = (
        baseline_settings("kl_no_anchors", ours, num_updates=1),
        baseline_settings("kl_no_replay", ours, num_updates=1),
    )
    assert anchors.batch_about + anchors.batch_replay == most == replay.batch_about + replay.batch_anchors
    assert baseline_settings("ce_raw", ours, num_updates=1).batch_about == most
    assert baseline_settings("ce_sentences", ours, num_updates=1) == ours
    assert baseline_settings("fresh_lora", ours, num_updates=7).num_steps == 7 * ours.num_steps


def test_the_open_gate_admits_what_is_wrong_and_refuses_what_is_not_finite() -> None:
    bad = dict.fromkeys(
        ("efficacy", "retention", "reading_kept", "retention_before", "reading_kept_before", "kl_before_nats"), 0.0
    ) | {"false_recall": 1.0, "num_held_out_near_misses": 50.0, "drift_nats": 900.0, "kl_nats": 9.0}
    assert not verdict(bad, open_gate())
    assert verdict({**bad, "drift_nats": float("nan")}, open_gate())


def test_settings_come_from_key_value_words() -> None:
    assert parsed_settings(["num_steps=60", "learning_rate=4e-3"]) == {"num_steps": 60, "learning_rate": 0.004}
    for wrong, said in (
        ("num_steps", "needed KEY=VALUE"),
        ("steps=3", "settings are"),
        ("num_steps=x", "num_steps"),
        ("seed=1", "first-seed"),
    ):
        with pytest.raises(BadInput, match=said):
            parsed_settings([wrong])


def test_all_methods_are_those_that_differ_from_ours_in_the_protocol() -> None:
    assert methods_of(None, PLAN) == list(METHODS)
    single = PLAN.model_copy(update={"protocol": "single"})
    assert set(METHODS) - set(methods_of("all", single)) == {"fresh_lora", "kl_no_replay"}
    with pytest.raises(BadInput, match="'magic'; there are: all, ours"):
        methods_of("ours,magic", PLAN)
    with pytest.raises(BadInput, match="the same as ours"):
        methods_of("fresh_lora", single)


def test_a_folder_holds_one_plan(tmp_path: Path) -> None:
    PLAN.settle_in(tmp_path)
    PLAN.settle_in(tmp_path)
    with pytest.raises(BadInput, match="updates is 2 there, 3 here"):
        PLAN.model_copy(update={"updates": 3}).settle_in(tmp_path)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "few.jsonl"
    data.write_text('{"context": "x", "probes": [{"question": "y", "answer": "z"}]}\n')
    for words, said in (
        (["--data", str(data)], "has 1 passages, and 100 are needed"),
        (["--set", "rank=0"], "--set rank"),
        (["--methods", "best"], "'best'"),
    ):
        assert main(["--protocol", "sequential", *words]) == 2
        assert said in capsys.readouterr().err
