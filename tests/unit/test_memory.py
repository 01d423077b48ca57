"""Work in smaller pieces where memory is short: the same results, remembered, and a clear end."""

import itertools
import weakref
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, LlamaModel

from memory_log.errors import OutOfMemory
from tests.model_fixtures import household_dialogue, tiny_base, tiny_llama, tokenized
from tests.unit.test_training import SETTINGS, sentences, targets
from updater.adapters import attach_lora
from updater.gate import exactness
from updater.generation import generate_texts
from updater.gradients import WeightedSentence, accumulate_gradients, freeing_a_failed_pass, weighted_sentences
from updater.memory import halving, in_pieces, is_out_of_memory, largest_piece, naming_out_of_memory
from updater.settings import UpdateSettings
from updater.targets import compute_targets, sentence_kl
from updater.training import train

MORE_THAN_THERE_IS = 2**60


class NarrowDecoder(LlamaModel):
    """Layers whose forward pass asks for more memory than there is once it sees more than `room` sentences at once."""

    room = 10**9

    def forward(self, input_ids: Any, **options: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
        if len(input_ids) > self.room:
            torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)
        return super().forward(input_ids=input_ids, **options)


class RefusedBackward(torch.autograd.Function):
    """The same values; a backward pass that asks for more memory than there is."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        return torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)


def narrow(room: int) -> LlamaForCausalLM:
    model = tiny_llama()
    decoder = NarrowDecoder(model.config).train(False).requires_grad_(False)
    decoder.load_state_dict(model.model.state_dict())
    decoder.room = room
    model.model = decoder
    model.tie_weights()
    return model


def step() -> list[WeightedSentence]:
    made = sentences()
    minibatches = [made.questions, made.near_misses, made.held_out, made.near_misses, made.anchors]
    return weighted_sentences(minibatches, made.reading_anchors, SETTINGS)


def test_what_the_allocator_really_says_is_known_and_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shapes do not match")) and not is_out_of_memory(ValueError())


def test_the_size_is_halved_until_it_fits_and_remembered_with_the_model() -> None:
    model, tried = tiny_llama(), []

    def attempt(size: int) -> int:
        tried.append(size)
        if size > 5:
            raise MemoryError
        return size

    assert [halving(attempt, most=40, model=model, work="a") for _ in range(2)] == [5, 5]
    assert tried == [40, 20, 10, 5, 5]
    assert (largest_piece(model, "a", 40), largest_piece(model, "a", 3), largest_piece(model, "b", 40)) == (5, 3, 40)
    assert largest_piece(tiny_llama(), "a", 40) == 40


def test_what_does_not_fit_alone_ends_with_the_work_the_cause_and_the_way_out() -> None:
    def attempt(size: int) -> None:
        torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)

    with pytest.raises(OutOfMemory, match=r"in training, even with one sentence.*allocate.*smaller model"):
        halving(attempt, most=4, model=tiny_llama(), work="training")


def test_other_errors_pass_through_at_once() -> None:
    def attempt(size: int) -> None:
        raise RuntimeError("shapes do not match")

    model = tiny_llama()
    with pytest.raises(RuntimeError, match="shapes"):
        halving(attempt, most=4, model=model, work="training")
    with pytest.raises(RuntimeError, match="shapes"), naming_out_of_memory("training"):
        attempt(1)
    assert largest_piece(model, "training", 4) == 4


def test_a_failed_attempt_is_freed_before_the_next_begins() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def attempt(size: int) -> int:
        assert all(tensor() is None for tensor in held)
        mine = torch.zeros(size)
        held.append(weakref.ref(mine))
        if size > 1:
            raise MemoryError
        return size

    assert halving(attempt, most=8, model=tiny_llama(), work="a") == 1 and len(held) == 4


def test_a_backward_pass_that_fails_leaves_nothing_behind() -> None:
    def attempt(parameter: torch.Tensor) -> "weakref.ref[torch.Tensor]":
        saved = parameter.exp()
        held = weakref.ref(saved)
        with pytest.raises(RuntimeError, match="allocate"), freeing_a_failed_pass():  # noqa: PT012
            loss = saved.square().sum() + RefusedBackward.apply(parameter).sum()  # type: ignore[no-untyped-call]
            del saved
            loss.backward()
        return held

    assert attempt(torch.ones(10, requires_grad=True))() is None


def test_pieces_hold_every_item_once_in_order_whatever_fits() -> None:
    def total(piece: list[int]) -> int:
        if len(piece) > 3:
            raise MemoryError
        return sum(piece)

    found = list(in_pieces(range(10), total, most=8, model=tiny_llama(), work="a"))  # type: ignore[arg-type]
    assert list(itertools.chain.from_iterable(piece for piece, _ in found)) == list(range(10))
    assert sum(result for _, result in found) == 45 and max(len(piece) for piece, _ in found) == 2
    assert list(in_pieces([], total, most=8, model=tiny_llama(), work="a")) == []


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_in_pieces_of_any_size_a_step_has_the_gradients_of_the_whole(size: int) -> None:
    student = attach_lora(tiny_base().model, SETTINGS)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))

    def gradients(size: int) -> tuple[list[float], list[torch.Tensor]]:
        kl_nats = accumulate_gradients(student, step(), 0, size)
        return kl_nats, [p.grad.clone() for p in student.parameters() if p.grad is not None]

    whole_kl, whole = gradients(100)
    kl_nats, pieces = gradients(size)
    assert len(whole) == len(pieces) > 0 and max(float(g.abs().max()) for g in whole) > 0.01
    assert kl_nats == pytest.approx(whole_kl, rel=5e-2)  # bfloat16, where the processor has units for it
    for one, other in zip(whole, pieces, strict=True):
        assert float((one - other).norm()) < 0.02 * float(one.norm())


def test_the_weighted_sum_over_a_step_is_the_objective() -> None:
    weights = UpdateSettings(replay_weight=3.0, anchor_weight=0.5)
    made = sentences()
    minibatches = [made.questions, made.near_misses, made.held_out, [], made.anchors]
    weighted = weighted_sentences(minibatches, made.reading_anchors, weights)
    assert [s.target for s in weighted] == [t for part in [*minibatches, made.reading_anchors] for t in part]
    assert [s.weight for s in weighted] == pytest.approx([1 / 3] * 3 + [3.0] + [0.5 / 4] * 4)


def test_gradients_of_an_attempt_that_failed_do_not_count() -> None:
    student = attach_lora(narrow(100), SETTINGS)
    accumulate_gradients(student, step(), 0, 100)
    once = [p.grad.clone() for p in student.parameters() if p.grad is not None]
    accumulate_gradients(student, step(), 0, 100)
    assert all(torch.equal(p.grad, g) for p, g in zip((p for p in student.parameters() if p.grad is not None), once))  # type: ignore[arg-type]  # noqa: B905


def test_a_model_with_room_for_two_sentences_learns_what_a_wide_one_learns() -> None:
    settings = UpdateSettings(num_steps=3, rank=4, batch_about=3, batch_anchors=4, batch_replay=2)
    model = narrow(2)
    found = [
        train(m, sentences(), settings, seed=0, pad_token_id=0, progress=lambda *step: None)
        for m in (narrow(100), model)
    ]
    for name in found[0].changes:
        wide, tight = (f.changes[name].B @ f.changes[name].A for f in found)
        # Adam's first steps have the size of the rate whatever the gradient, so rounding turns the smallest ones about;
        # another seed gives a difference of 1.3.
        assert float((wide - tight).norm()) < 0.7 * float(wide.norm())
    assert found[0].held_out_kl_nats == pytest.approx(found[1].held_out_kl_nats, rel=0.05)
    assert largest_piece(model, "training", 100) <= 2


def test_teacher_targets_measures_and_answers_are_the_same_in_pieces() -> None:
    wide, tight = narrow(100), narrow(1)
    about = targets(wide, ["I put the red mug in the kitchen drawer."])
    found = [
        compute_targets(m, tokenized(), [s.prompt_ids for s in tokenized()], k=8, pad_token_id=0) for m in (wide, tight)
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.top_logprobs_TK, other.top_logprobs_TK, rtol=0, atol=2e-3)
    assert exactness(tight, about, 0) == pytest.approx(exactness(wide, about, 0), rel=1e-4)
    assert sentence_kl(tight, about, 0) == pytest.approx(sentence_kl(wide, about, 0), rel=1e-4)
    prompts = [s.prompt_ids for s in tokenized()]
    texts = [generate_texts(m, household_dialogue(), prompts, max_new_tokens=4) for m in (wide, tight)]
    assert texts[0] == texts[1] and any(texts[0])


@pytest.mark.parametrize("work", ["training", "teacher targets", "the gate", "writing and answering"])
def test_without_room_for_one_sentence_every_part_of_an_update_stops_and_says_which(work: str) -> None:
    model, made = narrow(0), sentences()
    does = {
        "training": lambda: train(model, made, SETTINGS, seed=0, pad_token_id=0, progress=lambda *step: None),
        "teacher targets": lambda: compute_targets(model, tokenized(), [[1]] * 4, k=8, pad_token_id=0),
        "the gate": lambda: exactness(model, made.questions, 0),
        "writing and answering": lambda: generate_texts(model, household_dialogue(), [[1, 2]]),
    }
    with pytest.raises(OutOfMemory, match=f"in {work}, even with one"):
        does[work]()
