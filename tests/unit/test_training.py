"""Training one update: factors that fold to what the adapted model says, and numbers that hold."""

import copy
import dataclasses
import random
import warnings
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tests.model_fixtures import QUESTIONS, household_dialogue, tiny_base, tiny_llama, tokenized
from updater.adapters import adapted_layers, attach_lora, learned_factors
from updater.delta import LowRank, is_finite
from updater.fold import add_delta, load_weights, rounded
from updater.language_model import weights_hash, weights_of
from updater.sequences import collate, completion_logits
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, compute_targets, sentence_kl
from updater.training import (
    CHECK_EVERY,
    COOL_DOWN_STEPS,
    Sampler,
    TrainingResult,
    TrainingSet,
    rate_at,
    train,
)

SETTINGS = UpdateSettings(num_steps=10, least_passes=0, rank=4, batch_about=3, batch_anchors=4, batch_replay=2)
NOTE = "I put the red mug in the kitchen drawer."


def targets(model: PreTrainedModel, notes: list[str]) -> list[TeacherTargets]:
    contexts = [household_dialogue().prompt_ids(question, notes) for question in QUESTIONS]
    return compute_targets(model, tokenized(), contexts, k=16, pad_token_id=0)


def sentences(model: PreTrainedModel | None = None) -> TrainingSet:
    model = model or tiny_base().model
    about = targets(model, [NOTE])
    unmoved = targets(model, [])
    return TrainingSet(
        questions=about[:2],
        near_misses=about[2:3],
        held_out=about[3:],
        anchors=unmoved[:2],
        reading_anchors=unmoved[2:],
        replay_questions=[],
        replay_near_misses=[],
    )


def trained(
    settings: UpdateSettings = SETTINGS, *, seed: int = 0, material: TrainingSet | None = None
) -> TrainingResult:
    made = material or sentences()
    return train(tiny_base().model, made, settings, seed=seed, pad_token_id=0, progress=lambda done, total: None)


def folded(model: PreTrainedModel, factors: dict[str, LowRank]) -> PreTrainedModel:
    weights = weights_of(model)
    sums = add_delta({name: weight.double() for name, weight in weights.items()}, factors)
    adapted = copy.deepcopy(model)
    load_weights(adapted, rounded(sums, weights))
    return adapted


def stirred(student: Any) -> Any:  # noqa: ANN401 - peft's model has no useful static type
    """The student with factors that change something, as after many steps."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return student


def test_an_update_brings_the_student_closer_to_the_teacher_and_leaves_theta_n_alone() -> None:
    material = sentences()
    result = trained(UpdateSettings(num_steps=60, rank=8, stop_kl_nats=0.0, learning_rate=2e-2), material=material)
    before = sentence_kl(tiny_base().model, material.questions, 0)
    after = sentence_kl(folded(tiny_base().model, result.changes), material.questions, 0)
    assert sum(after) < 0.5 * sum(before)
    assert result.num_steps == 60
    assert weights_hash(weights_of(tiny_base().model)) == tiny_base().fingerprint


def test_extracted_factors_fold_to_the_logits_of_the_adapted_model() -> None:
    model = tiny_llama(seed=2)
    student = stirred(attach_lora(model, SETTINGS))
    batch = collate(tokenized(), 0, torch.device("cpu"))
    with torch.inference_mode():
        adapted = completion_logits(student, batch)[batch.mask_BT]
        served = completion_logits(folded(model, learned_factors(student)), batch)[batch.mask_BT]
        base = completion_logits(model, batch)[batch.mask_BT]
    assert (base - adapted).abs().max() > 0.1
    torch.testing.assert_close(served, adapted, rtol=0, atol=2e-4)


def test_the_lowest_blocks_are_left_alone() -> None:
    half = adapted_layers(tiny_llama(seed=2), 0.5)
    assert half and all(name.startswith("model.layers.1.") for name in half)


def test_weights_stored_the_other_way_round_fold_too() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=60,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = GPT2LMHeadModel(config).train(False).requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student = stirred(attach_lora(model, SETTINGS))
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    with torch.inference_mode():
        adapted, base = student(input_ids=ids).logits, model(input_ids=ids).logits
        served = folded(model, learned_factors(student))(input_ids=ids).logits
    assert (base - adapted).abs().max() > 0.1
    torch.testing.assert_close(served, adapted, rtol=0, atol=2e-4)


def test_an_update_with_zero_learning_rate_leaves_the_hash_of_the_folded_weights_as_it_was() -> None:
    # Not a setting that anybody may choose, hence past its check.
    still = SETTINGS.model_copy(update={"learning_rate": 0.0})
    model = folded(tiny_base().model, trained(still).changes)
    assert weights_hash(weights_of(model)) == tiny_base().fingerprint


def test_the_same_seed_gives_the_same_factors_and_another_one_others() -> None:
    first, again, other = trained(seed=1).changes, trained(seed=1).changes, trained(seed=2).changes
    assert first.keys() == again.keys() == other.keys()
    for name in first:
        assert torch.equal(first[name].A, again[name].A) and torch.equal(first[name].B, again[name].B)
    assert any(not torch.equal(first[name].A, other[name].A) for name in first)


def test_training_leaves_the_callers_chance_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_every_linear_layer_but_queries_and_keys_is_changed_and_nothing_else() -> None:
    names = trained().changes.keys()
    weights = weights_of(tiny_base().model)
    layers = [name for name in weights if name.endswith("_proj.weight") and ".q_" not in name and ".k_" not in name]
    assert sorted(names) == sorted(layers)


def test_it_cools_down_and_stops_when_the_held_out_sentences_are_close_enough() -> None:
    easy = sentences()._replace(held_out=targets(tiny_base().model, []))
    result = trained(UpdateSettings(num_steps=40, rank=4, stop_kl_nats=5.0, learning_rate=1e-5), material=easy)
    assert result.num_steps == CHECK_EVERY + COOL_DOWN_STEPS and result.held_out_kl_nats < 5.0
    assert result.ended_by == "kl"


def test_without_held_out_sentences_it_goes_to_the_end() -> None:
    result = trained(UpdateSettings(num_steps=20, rank=4), material=sentences()._replace(held_out=[]))
    assert result.num_steps == 20


def test_a_first_update_without_anchors_and_replay_trains_on_the_batch_alone() -> None:
    material = sentences()._replace(anchors=[], reading_anchors=[])
    result = trained(material=material)
    assert any(factor.B.abs().max() > 0 for factor in result.changes.values())


def test_progress_is_told_step_by_step() -> None:
    told: list[tuple[int, int]] = []
    train(tiny_base().model, sentences(), SETTINGS, seed=0, pad_token_id=0, progress=lambda *step: told.append(step))
    assert told == [(step, 10) for step in range(1, 11)]


@pytest.mark.parametrize("num_steps", [1, 4, 40, 200])
def test_the_learning_rate_warms_up_and_falls_and_never_exceeds_its_peak(num_steps: int) -> None:
    settings = UpdateSettings(num_steps=num_steps, learning_rate=1e-2)
    rates = [rate_at(step, step / num_steps, settings) for step in range(num_steps)]
    assert all(0 < rate <= 1e-2 for rate in rates)
    assert rates[0] == pytest.approx(2.5e-3)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_without_time_left_it_cools_down_at_once_and_says_so() -> None:
    spent = train(
        tiny_base().model, sentences(), UpdateSettings(num_steps=40, rank=4), seed=0, pad_token_id=0,
        progress=lambda done, total: None, seconds_left=lambda: 0.0,
    )  # fmt: skip
    assert (spent.num_steps, spent.ended_by) == (1 + COOL_DOWN_STEPS, "budget")
    assert trained(UpdateSettings(num_steps=10, rank=4)).ended_by == "steps"


def test_a_budget_that_ends_later_than_the_steps_changes_nothing() -> None:
    short = UpdateSettings(num_steps=COOL_DOWN_STEPS, rank=4)
    spent = train(
        tiny_base().model, sentences(), short, seed=0, pad_token_id=0, progress=lambda done, total: None,
        seconds_left=lambda: 0.0,
    )  # fmt: skip
    assert (spent.num_steps, spent.ended_by) == (COOL_DOWN_STEPS, "steps")


def test_gradients_that_are_not_finite_end_training_and_show_in_the_factors() -> None:
    made = sentences()
    spoiled = dataclasses.replace(made.questions[0], top_logprobs_TK=made.questions[0].top_logprobs_TK * float("nan"))
    result = trained(UpdateSettings(num_steps=40, rank=4), material=made._replace(questions=[spoiled]))
    assert (result.num_steps, result.ended_by) == (1, "not finite") and not is_finite(result.changes)


def test_half_of_a_minibatch_is_what_is_known_to_be_furthest_off() -> None:
    items = targets(tiny_base().model, [NOTE]) * 3
    sampler = Sampler(items, 4, random.Random(0), [0.1 * place for place in range(len(items))])
    first = sampler.take()
    assert first[:2] == [items[-1], items[-2]]
    sampler.note([0.0, 0.0, 0.0, 0.0])
    assert sampler.take()[0] not in first
