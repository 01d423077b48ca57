"""Whether an answer came from one version alone: the version is asked the same thing again, by itself.

Knows: comparing answers token by token with what a version's weights give. Refuses to know: how answers
were served.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import torch
from transformers import PreTrainedModel

from agent.demo_client import Reply

NEAR_TIE: Final = 1e-4
MOST_AT_ONCE: Final = 32


class Verdict(NamedTuple):
    """How many answers were compared, and how many differ from their version's own."""

    num_checked: int
    num_mixed: int
    num_near_ties: int


def check_version(model: PreTrainedModel, replies: Sequence[Reply], *, eos_token_ids: Collection[int]) -> Verdict:
    """Compare answers with those of the version that they name.

    A greedy answer is that version's own exactly when, after the prompt and any part of the answer, the version's best
    token is the answer's next one; so one reading of prompt and answer checks all its tokens. Answers of equal length
    are read together, which needs no padding; what differs there is read once more, alone.

    Args:
        model: with the version's weights.
        replies: all of this version.
        eos_token_ids: tokens that end an answer.

    Returns:
        The counts. A difference counts as a near tie where the two best logits of some step lay closer than 1e-4.
    """
    by_length: defaultdict[int, list[Reply]] = defaultdict(list)
    for reply in replies:
        by_length[len(reply.prompt_ids) + len(reply.generation.token_ids)].append(reply)
    differing: list[Reply] = []
    for equally_long in by_length.values():
        for start in range(0, len(equally_long), MOST_AT_ONCE):
            differing += _differing(model, equally_long[start : start + MOST_AT_ONCE], eos_token_ids)
    differing = [reply for reply in differing if _differing(model, [reply], eos_token_ids)]
    num_near_ties = sum(reply.generation.min_top2_gap < NEAR_TIE for reply in differing)
    return Verdict(len(replies), len(differing) - num_near_ties, num_near_ties)


@torch.inference_mode()
def _differing(model: PreTrainedModel, replies: Sequence[Reply], eos_token_ids: Collection[int]) -> list[Reply]:
    rows = [[*reply.prompt_ids, *reply.generation.token_ids] for reply in replies]
    best_BS = model(input_ids=torch.tensor(rows, device=model.device)).logits.argmax(-1).tolist()
    return [reply for reply, best in zip(replies, best_BS, strict=True) if not _agrees(reply, best, eos_token_ids)]


def _agrees(reply: Reply, best: Sequence[int], eos_token_ids: Collection[int]) -> bool:
    answer = list(reply.generation.token_ids)
    after_prompt = best[len(reply.prompt_ids) - 1 :]
    ended_itself = reply.generation.finish_reason == "stop"
    return after_prompt[: len(answer)] == answer and (not ended_itself or after_prompt[len(answer)] in eos_token_ids)
