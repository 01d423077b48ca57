"""Padding and positions: what a model sees in a batch is what it sees alone."""

import pytest
import torch

from memory_log.errors import EmptyMask
from tests.model_fixtures import greedy_ids, logits_alone, tiny_base, tiny_llama, tokenized
from updater.generation import generate_texts
from updater.sequences import TokenizedSentence, collate, completion_logits, exact_completions, length_buckets

CPU = torch.device("cpu")


def test_completion_logits_equal_those_of_the_whole_unpadded_sequence() -> None:
    model, sentences = tiny_llama(), tokenized()
    assert len({len(s.prompt_ids) for s in sentences}) > 2 and len({len(s.completion_ids) for s in sentences}) > 2
    with torch.inference_mode():
        logits_BTV = completion_logits(model, collate(sentences, 0, CPU))
    for row, sentence in enumerate(sentences):
        num_tokens = len(sentence.completion_ids)
        torch.testing.assert_close(logits_BTV[row, -num_tokens:], logits_alone(model, sentence), rtol=0, atol=1e-4)


@pytest.mark.parametrize("pad", [0, 5, 700])
def test_what_stands_in_the_padding_changes_nothing(pad: int) -> None:
    model, sentences = tiny_llama(), tokenized()
    batch, padded_otherwise = collate(sentences, 0, CPU), collate(sentences, pad, CPU)
    with torch.inference_mode():
        here, there = completion_logits(model, batch), completion_logits(model, padded_otherwise)
    torch.testing.assert_close(here[batch.mask_BT], there[batch.mask_BT], rtol=0, atol=1e-5)


def test_the_mask_covers_the_completions_and_nothing_else() -> None:
    sentences = tokenized()
    batch = collate(sentences, 0, CPU)
    for row, sentence in enumerate(sentences):
        assert batch.completion_ids_BT[row][batch.mask_BT[row]].tolist() == list(sentence.completion_ids)
        whole = batch.input_ids_BS[row][batch.attention_mask_BS[row].bool()].tolist()
        assert whole == [*sentence.prompt_ids, *sentence.completion_ids]


def test_a_sentence_whose_completion_is_as_long_as_the_whole_batch_is_wide_is_read_from_its_prompt_on() -> None:
    model = tiny_llama()
    sentences = [TokenizedSentence((1,), tuple(range(20, 40))), TokenizedSentence((1, 2, 3), (4,))]
    with torch.inference_mode():
        logits_BTV = completion_logits(model, collate(sentences, 0, CPU))
    torch.testing.assert_close(logits_BTV[0], logits_alone(model, sentences[0]), rtol=0, atol=1e-4)
    assert torch.isfinite(logits_BTV).all()


@pytest.mark.parametrize("sentences", [[], [TokenizedSentence((1, 2), (3,)), TokenizedSentence((1, 2), ())]])
def test_sentences_without_a_completion_are_refused(sentences: list[TokenizedSentence]) -> None:
    with pytest.raises(EmptyMask, match="completion"):
        collate(sentences, 0, CPU)


def test_exact_means_what_greedy_decoding_would_say() -> None:
    model = tiny_llama()
    prompts = [sentence.prompt_ids for sentence in tokenized()]
    greedy = [greedy_ids(model, prompt, 5) for prompt in prompts]
    wrong = [(*said[:-1], (said[-1] + 1) % 1000) for said in greedy]
    shorter = [said[: 2 + row] for row, said in enumerate(greedy)]
    for completions, expected in ((greedy, True), (wrong, False), (shorter, True)):
        pairs = zip(prompts, completions, strict=True)
        batch = collate([TokenizedSentence(prompt, said) for prompt, said in pairs], 0, CPU)
        with torch.inference_mode():
            assert exact_completions(completion_logits(model, batch), batch).tolist() == [expected] * len(prompts)


def test_batched_generation_gives_what_each_prompt_alone_would_get() -> None:
    base = tiny_base()
    prompts = [sentence.prompt_ids for sentence in tokenized()]
    together = generate_texts(base.model, base.dialogue, prompts, max_new_tokens=8)
    assert together == [generate_texts(base.model, base.dialogue, [one], max_new_tokens=8)[0] for one in prompts]


def test_samples_are_the_same_for_the_same_seed_and_leave_the_callers_chance_alone() -> None:
    base = tiny_base()
    prompts = [tokenized()[0].prompt_ids] * 4
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=1, max_new_tokens=8)
    assert torch.rand(1) == expected
    assert first == generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=1, max_new_tokens=8)
    assert first != generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=2, max_new_tokens=8)
    assert len(set(first)) == 4


def test_sequences_of_like_length_share_a_bucket_and_none_is_larger_than_allowed() -> None:
    lengths = [200, 10, 12, 210, 11, 205] + [500] * 5
    buckets = length_buckets(lengths, most=3)
    assert sorted(place for bucket in buckets for place in bucket) == list(range(len(lengths)))
    assert [sorted(bucket) for bucket in buckets[:2]] == [[1, 2, 4], [0, 3, 5]]
    assert all(len(bucket) <= 3 and {lengths[place] for place in bucket} == {500} for bucket in buckets[2:])
    assert length_buckets([], most=3) == []
    assert length_buckets([5, 6, 7], most=8) == [[0, 1, 2]]
