"""The gate: which figures let a version serve."""

import pytest

from tests.model_fixtures import greedy_ids, tiny_base, tiny_llama, tokenized
from updater.gate import exactness, sentence_fits, verdict
from updater.report import RefusalKind, in_words
from updater.sequences import TokenizedSentence
from updater.settings import GateSettings
from updater.targets import compute_targets, sentence_kl

SOUND = {
    "efficacy": 0.9,
    "kl_nats": 0.05,
    "kl_before_nats": 2.0,
    "num_held_out_questions": 4.0,
    "false_recall": 0.1,
    "num_held_out_near_misses": 10.0,
    "retention": 0.9,
    "retention_before": 0.95,
    "drift_nats": 0.05,
    "reading_kept": 0.9,
    "reading_kept_before": 1.0,
}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"efficacy": 0.6}, None),
        ({"efficacy": 0.59}, "efficacy 0.59"),
        ({"efficacy": 1.0, "num_held_out_questions": 0.0}, "no held-out question"),
        ({"false_recall": 0.39}, None),
        ({"false_recall": 0.5}, "false recall 0.50"),
        ({"false_recall": 1.0, "num_held_out_near_misses": 1.0}, None),
        ({"false_recall": 1.0, "num_held_out_near_misses": 2.0}, "false recall"),
        ({"false_recall": 0.0, "num_held_out_near_misses": 0.0}, None),
        ({"retention": 0.75}, None),
        ({"retention": 0.7}, "from 0.95 to 0.70"),
        ({"retention": 1.0, "retention_before": 0.0}, None),
        ({"reading_kept": 0.75}, None),
        ({"reading_kept": 0.7}, "from 1.00 to 0.70"),
        ({"drift_nats": 0.25}, None),
        ({"drift_nats": 0.26}, "drift"),
        ({"kl_nats": NAN}, "not finite"),
        ({"drift_nats": INF}, "not finite"),
        ({"efficacy": NAN}, "not finite"),
    ],
)
def test_verdicts(changes: dict[str, float], reason: str | None) -> None:
    said = in_words(verdict(SOUND | changes, GateSettings()))
    assert not said if reason is None else reason in said


def test_every_reason_is_named_with_its_kind() -> None:
    said = verdict(SOUND | {"efficacy": 0.0, "drift_nats": 9.0, "retention": 0.0}, GateSettings())
    assert {one.kind for one in said} == {RefusalKind.EFFICACY, RefusalKind.DRIFT, RefusalKind.RETENTION}
    assert all(one.kind.value in one.words for one in said)


def test_sentences_further_from_the_teacher_than_before_are_told_from_those_not_learned_yet() -> None:
    (said,) = verdict(SOUND | {"efficacy": 0.0, "kl_nats": 2.5}, GateSettings())
    assert said.kind is RefusalKind.DIVERGED and "went from 2.00 to 2.50" in said.words
    assert verdict(SOUND | {"efficacy": 0.7, "kl_nats": 2.5}, GateSettings()) == ()


@pytest.mark.parametrize(("kl_nats", "kind"), [(0.9, RefusalKind.EFFICACY), (1.1, RefusalKind.DIVERGED)])
def test_what_has_hardly_learned_and_done_harm_went_astray(kl_nats: float, kind: RefusalKind) -> None:
    metrics = SOUND | {"efficacy": 0.0, "kl_nats": kl_nats}
    assert [one.kind for one in verdict(metrics | {"drift_nats": 4.7}, GateSettings())] == [kind, RefusalKind.DRIFT]
    assert [one.kind for one in verdict(metrics, GateSettings())] == [RefusalKind.EFFICACY]


def test_the_bounds_are_the_settings() -> None:
    strict = GateSettings(min_efficacy=0.95, max_false_recall=0.0, max_retention_loss=0.0, max_drift_nats=0.01)
    assert len(verdict(SOUND, strict)) == 3
    lenient = GateSettings(min_efficacy=0.0)
    assert verdict(SOUND | {"efficacy": 0.0, "num_held_out_questions": 0.0}, lenient) == ()


def test_nothing_to_measure_is_nothing_wrong() -> None:
    assert exactness(tiny_base().model, [], 0) == (1.0, 0.0)


def test_exactness_counts_what_the_model_would_say_and_averages_its_distance() -> None:
    base = tiny_base()
    own = [
        TokenizedSentence(sentence.prompt_ids, greedy_ids(base.model, sentence.prompt_ids, 4))
        for sentence in tokenized()
    ]
    sentences = own[:2] + tokenized()[2:]
    targets = compute_targets(base.model, sentences, [s.prompt_ids for s in sentences], k=16, pad_token_id=0)
    share, _ = exactness(base.model, targets, 0)
    assert share == 0.5
    other = tiny_llama(seed=1)
    share, kl_nats = exactness(other, targets, 0)
    assert share == 0.0 and kl_nats == pytest.approx(sum(sentence_kl(other, targets, 0)) / 4, abs=1e-4)


def test_each_sentence_has_its_own_figures_in_the_order_given() -> None:
    base = tiny_base()
    first, *others = tokenized()
    own = TokenizedSentence(first.prompt_ids, greedy_ids(base.model, first.prompt_ids, 4))
    sentences = [others[0], own, *others[1:]]
    targets = compute_targets(base.model, sentences, [s.prompt_ids for s in sentences], k=16, pad_token_id=0)
    fits = sentence_fits(base.model, targets, 0)
    assert [fit.is_exact for fit in fits] == [False, True, False, False]
    other = tiny_llama(seed=1)
    alone = [sentence_fits(other, [target], 0)[0].kl_nats for target in targets]
    assert [fit.kl_nats for fit in sentence_fits(other, targets, 0)] == pytest.approx(alone, abs=1e-4)
    assert sentence_fits(base.model, [], 0) == []


def test_an_answer_may_end_as_the_teacher_would_end_it_but_not_otherwise() -> None:
    base = tiny_base()
    prompt = tokenized()[0].prompt_ids
    said = greedy_ids(base.model, prompt, 5)
    another = (said[-1] + 1) % 100
    ends_otherwise = TokenizedSentence(prompt, (*said[:-1], another))
    wrong_before = TokenizedSentence(prompt, (*said[:-2], another, said[-1]))
    for sentence, expected in ((ends_otherwise, 1.0), (wrong_before, 0.0)):
        targets = compute_targets(base.model, [sentence], [prompt], k=16, pad_token_id=0)
        assert exactness(base.model, targets, 0)[0] == expected
