"""Teacher targets: what is stored is what the teacher said, and padding adds nothing to it."""

import pytest
import torch

from tests.model_fixtures import QUESTIONS, household_dialogue, logits_alone, tiny_base, tiny_llama, tokenized
from updater.sequences import TokenizedSentence
from updater.targets import TeacherTargets, collate_targets, compute_targets, kl_per_position, sentence_kl

CPU = torch.device("cpu")
NOTE = "I put the red mug in the kitchen drawer."


def targets(k: int = 16, *, with_notes: bool = False) -> list[TeacherTargets]:
    sentences, notes = tokenized(), [NOTE] if with_notes else []
    contexts = [household_dialogue().prompt_ids(question, notes) for question in QUESTIONS]
    return compute_targets(tiny_base().model, sentences, contexts, k=k, pad_token_id=0)


def test_they_are_what_the_teacher_expects_with_the_note_in_its_prompt() -> None:
    for question, target in zip(QUESTIONS, targets(with_notes=True), strict=True):
        context = tuple(household_dialogue().prompt_ids(question, [NOTE]))
        assert len(context) > len(target.sentence.prompt_ids)
        seen = TokenizedSentence(context, target.sentence.completion_ids)
        logprobs_TV = logits_alone(tiny_base().model, seen).log_softmax(-1)
        values, ids = logprobs_TV.topk(16)
        torch.testing.assert_close(target.top_logprobs_TK.float(), values, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(logprobs_TV.gather(-1, target.top_ids_TK.long()), values, rtol=0, atol=1e-3)
        assert ids.shape == target.top_ids_TK.shape


def test_they_round_trip_through_bytes() -> None:
    for target in targets():
        back = TeacherTargets.from_bytes(target.to_bytes())
        assert back.sentence == target.sentence
        assert torch.equal(back.top_ids_TK, target.top_ids_TK) and back.top_ids_TK.dtype == torch.int32
        assert torch.equal(back.top_logprobs_TK, target.top_logprobs_TK) and back.top_logprobs_TK.dtype == torch.float16


def test_the_teacher_itself_without_the_note_is_almost_no_distance_away() -> None:
    assert max(sentence_kl(tiny_base().model, targets(k=1024), 0)) < 2e-3
    assert min(sentence_kl(tiny_llama(seed=1), targets(k=1024), 0)) > 0.1


@pytest.mark.parametrize("k", [4, 1024])
def test_padded_positions_contribute_nothing(k: int) -> None:
    student, made = tiny_llama(seed=1), targets(k)
    together = sentence_kl(student, made, 0)
    assert together == pytest.approx([sentence_kl(student, [one], 0)[0] for one in made], abs=1e-4)


def test_padded_positions_pass_no_gradient_and_no_nan() -> None:
    student, made = tiny_llama(seed=1).requires_grad_(), targets(k=4)
    kl_BT, batch, _ = kl_per_position(student, made, 0)
    assert not batch.mask_BT.all()
    torch.where(batch.mask_BT, kl_BT, 0.0).sum().backward()
    together = student.model.layers[0].mlp.down_proj.weight.grad
    assert together is not None and torch.isfinite(together).all()
    summed = torch.zeros_like(together)
    for one in made:
        alone = tiny_llama(seed=1).requires_grad_()
        kl_per_position(alone, [one], 0)[0].sum().backward()
        gradient = alone.model.layers[0].mlp.down_proj.weight.grad
        assert gradient is not None
        summed += gradient
    torch.testing.assert_close(together, summed, rtol=1e-3, atol=1e-4)


def test_targets_with_fewer_kept_tokens_can_share_a_batch_with_others() -> None:
    mixed = [targets(k=4)[0], targets(k=16)[1]]
    _, logprobs_BTK, ids_BTK = collate_targets(mixed, 0, CPU)
    assert logprobs_BTK.shape == ids_BTK.shape and ids_BTK.shape[-1] == 4
    assert all(value > 0 for value in sentence_kl(tiny_llama(seed=1), mixed, 0))


def test_the_order_is_kept_although_batches_are_sorted_by_length() -> None:
    student, made = tiny_llama(seed=1), targets()
    forward, backward = sentence_kl(student, made, 0), sentence_kl(student, made[::-1], 0)
    assert forward == pytest.approx(backward[::-1], abs=1e-4) and len(set(forward)) == len(forward)
    assert [one.sentence for one in made] == tokenized()
