"""How the next token is chosen from logits: the best one, or drawn with a temperature from the most likely ones.

Knows logits, chance and log-probabilities. Refuses to know models, batches and text.
"""

# V = vocabulary

import math
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

MOST_ALTERNATIVES: Final = 20


class Sampling(BaseModel):
    """How each token of an answer is chosen.

    Example: Sampling(temperature=0.7, top_p=0.9, seed=1)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = Field(
        default=0.0, ge=0, le=2, description="0 takes the best token; 1 draws as the model says."
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Tokens are drawn from the fewest whose probabilities reach this sum."
    )
    seed: int | None = Field(default=None, description="Makes draws repeatable; None draws anew every time.")
    num_logprobs: int | None = Field(
        default=None, ge=0, le=MOST_ALTERNATIVES,
        description="Keep each token's log-probability and so many of the most likely tokens'; None keeps none.",
    )  # fmt: skip

    @property
    def is_plain(self) -> bool:
        """Whether the best token is all that is wanted."""
        return self.temperature == 0 and self.num_logprobs is None

    def generator(self) -> torch.Generator:
        """The source of chance of one answer."""
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed % 2**63)
        return generator


GREEDY: Final = Sampling()


class TokenLogprobs(BaseModel):
    """A chosen token's log-probability in nats, at temperature 1, and the most likely tokens in its place.

    Example: TokenLogprobs(token_id=17, logprob=-0.1, most_likely=((17, -0.1), (4, -2.9)))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_id: int
    logprob: float
    most_likely: tuple[tuple[int, float], ...] = ()


def draw(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token drawn from softmax(logits / temperature), restricted to its top-p nucleus (arXiv 1904.09751).

    Drawn on the CPU in float32, so that a seed means the same wherever the logits were computed.

    Args:
        logits_V: finite logits of one position.
        sampling: with a temperature above 0.
        generator: on the CPU.
    """
    probs_V = (logits_V.float().cpu() / max(sampling.temperature, 1e-3)).softmax(-1)
    if sampling.top_p < 1:
        ordered_V, ids_V = probs_V.sort(descending=True, stable=True)
        before_V = ordered_V.cumsum(-1) - ordered_V
        ordered_V = ordered_V.masked_fill(before_V >= sampling.top_p, 0.0)  # never the first: nothing is before it
        return int(ids_V[torch.multinomial(ordered_V, 1, generator=generator)])
    return int(torch.multinomial(probs_V, 1, generator=generator))


def token_logprobs(logits_V: Tensor, token_id: int, num_alternatives: int) -> TokenLogprobs:
    """The log-probabilities of one position, in nats."""
    logprobs_V = logits_V.float().log_softmax(-1)
    top = logprobs_V.topk(min(num_alternatives, len(logprobs_V)))
    most_likely = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return TokenLogprobs(
        token_id=token_id,
        logprob=_finite(float(logprobs_V[token_id])),
        most_likely=tuple((alternative, _finite(value)) for alternative, value in most_likely),
    )


def _finite(logprob: float) -> float:
    """JSON has no infinity; the OpenAI interface writes -9999 for a token of probability zero."""
    return logprob if math.isfinite(logprob) else -9999.0
