"""Choosing the next token."""

import pytest
import torch
from pydantic import ValidationError

from agent.sampling import Sampling, draw, token_logprobs


def test_draws_follow_the_models_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw(logits, Sampling(temperature=1.0), generator) for _ in range(4000)])
    shares = drawn.bincount(minlength=4) / len(drawn)
    assert torch.allclose(shares, logits.softmax(-1), atol=0.03)


def test_a_low_temperature_takes_the_best() -> None:
    logits = torch.tensor([0.0, 1.0, 1.1])
    generator = torch.Generator().manual_seed(0)
    assert {draw(logits, Sampling(temperature=0.001), generator) for _ in range(50)} == {2}


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(0)
    for top_p, expected in ((0.4, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
        sampling = Sampling(temperature=1.0, top_p=top_p)
        assert {draw(logits, sampling, generator) for _ in range(300)} == expected


def test_a_seed_repeats_draws_and_no_seed_does_not() -> None:
    logits = torch.zeros(1000)

    def drawn(seed: int | None) -> list[int]:
        sampling = Sampling(temperature=1.0, seed=seed)
        generator = sampling.generator()
        return [draw(logits, sampling, generator) for _ in range(8)]

    assert drawn(5) == drawn(5) != drawn(6)
    assert drawn(None) != drawn(None)


def test_logprobs_name_the_token_and_the_most_likely_ones() -> None:
    logits = torch.tensor([0.1, 2.0, -float("inf"), 1.0])
    kept = token_logprobs(logits, 3, 2)
    expected = logits.log_softmax(-1)
    assert kept.logprob == pytest.approx(float(expected[3]))
    assert [token for token, _ in kept.most_likely] == [1, 3]
    assert token_logprobs(logits, 2, 9).logprob == -9999.0
    assert len(token_logprobs(logits, 2, 9).most_likely) == 4


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"temperature": 3}, {"top_p": 0}, {"num_logprobs": 21}])
def test_what_cannot_be_sampled_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Sampling(**wrong)  # type: ignore[arg-type]
