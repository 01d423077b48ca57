"""Teacher targets: what theta_0, with the experience in its prompt, expects at every completion token.

Knows: computing, storing and batching them. Refuses to know: where sentences come from, how a student is trained.

Shapes: B = sentences, T = completion positions, N = completion tokens of all sentences, K = kept teacher tokens,
X = whatever a position is known by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from updater.caches import can_share_prefixes, read_prefix
from updater.heads import plain_head
from updater.memory import in_pieces, naming_out_of_memory
from updater.objective import CHUNK, forward_kl, kl_of_states, sentence_means, top_k_targets
from updater.prefixes import PrefixGroup, prefix_groups
from updater.products import product_type
from updater.sequences import (
    CompletionBatch,
    TokenizedSentence,
    collate,
    completion_logits,
    completion_states,
    length_buckets,
)

TEACHER_BATCH: Final = 64


@dataclass(frozen=True)
class TeacherTargets:
    """One sentence without its context, and the teacher's expectations with it.

    `sentence.prompt_ids` is what the student sees. `top_ids_TK` (int32) and `top_logprobs_TK` (float16) are the
    teacher's.
    """

    sentence: TokenizedSentence
    top_ids_TK: Tensor
    top_logprobs_TK: Tensor

    def to_bytes(self) -> bytes:
        """Safetensors, as the log stores it."""
        stored: bytes = save_tensors(
            {
                "prompt_ids": torch.tensor(self.sentence.prompt_ids, dtype=torch.int32),
                "completion_ids": torch.tensor(self.sentence.completion_ids, dtype=torch.int32),
                "top_ids": self.top_ids_TK.contiguous(),
                "top_logprobs": self.top_logprobs_TK.contiguous(),
            }
        )
        return stored

    @classmethod
    def from_bytes(cls, payload: bytes) -> "TeacherTargets":
        """Read what `to_bytes` wrote."""
        tensors = load_tensors(payload)
        sentence = TokenizedSentence(tuple(tensors["prompt_ids"].tolist()), tuple(tensors["completion_ids"].tolist()))
        return cls(sentence, tensors["top_ids"], tensors["top_logprobs"])


@torch.inference_mode()
def compute_targets(
    teacher: PreTrainedModel,
    sentences: Sequence[TokenizedSentence],
    contexts: Sequence[Sequence[int]],
    *,
    k: int,
    pad_token_id: int,
) -> list[TeacherTargets]:
    """Run the teacher once over every sentence, with its context, and keep the k most likely tokens at each completion
    position.

    What several contexts begin with, such as an experience that many sentences are about, is read once for all of them
    where the teacher's cache allows it (`updater.caches.can_share_prefixes`); elsewhere each is read in full.

    Args:
        teacher: theta_0, frozen.
        sentences: what the student will see.
        contexts: for each sentence the token ids of the prompt *with* the experience; the same completion follows.
        k: kept tokens.
        pad_token_id: any valid id.

    Raises:
        OutOfMemory: not even one sentence fits into memory.
    """
    found: list[TeacherTargets | None] = [None] * len(sentences)
    whole = [TokenizedSentence(tuple(c), s.completion_ids) for c, s in zip(contexts, sentences, strict=True)]
    for group in prefix_groups(contexts, most=TEACHER_BATCH, sharing=can_share_prefixes(teacher)):
        for row, ids_TK, logprobs_TK in _expected_of(teacher, whole, group, k, pad_token_id):
            found[row] = TeacherTargets(sentences[row], ids_TK, logprobs_TK)
    return [targets for targets in found if targets is not None]


def _expected_of(
    teacher: PreTrainedModel, whole: Sequence[TokenizedSentence], group: PrefixGroup, k: int, pad_token_id: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """What the teacher expects of each sentence of a group: its row, top_ids_TK and top_logprobs_TK."""
    prefix: DynamicCache | None = None
    if group.num_shared:
        with naming_out_of_memory("teacher targets"):
            prefix = read_prefix(teacher, whole[group.rows[0]].prompt_ids[: group.num_shared])
    rest = {row: whole[row]._replace(prompt_ids=whole[row].prompt_ids[group.num_shared :]) for row in group.rows}

    def expected(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        return _expected(teacher, collate([rest[row] for row in rows], pad_token_id, teacher.device), prefix, k)

    lengths = [len(sentence.prompt_ids) + len(sentence.completion_ids) for sentence in rest.values()]
    for places in length_buckets(lengths, most=TEACHER_BATCH):
        bucket = [group.rows[place] for place in places]
        pieces = in_pieces(bucket, expected, most=TEACHER_BATCH, model=teacher, work="teacher targets")
        for rows, (logprobs_NK, ids_NK) in pieces:
            sizes = [len(rest[row].completion_ids) for row in rows]
            parts = zip(rows, torch.split(ids_NK, sizes), torch.split(logprobs_NK, sizes), strict=True)
            yield from ((row, ids_TK.clone(), logprobs_TK.clone()) for row, ids_TK, logprobs_TK in parts)


def _expected(
    teacher: PreTrainedModel, batch: CompletionBatch, prefix: DynamicCache | None, k: int
) -> tuple[Tensor, Tensor]:
    """teacher_logprobs_NK (float16) and teacher_ids_NK (int32) at every completion token, sentence by sentence."""
    parts = plain_head(teacher)
    if parts is None:
        read_NX = completion_logits(teacher, batch, prefix)[batch.mask_BT]
    else:
        read_NX = completion_states(parts, batch, prefix)
    found = []
    for part in torch.split(read_NX, CHUNK):  # the logits of a chunk, and not of all, are held at once
        logits_NV = part if parts is None else torch.nn.functional.linear(part, parts.weight_VH, parts.bias_V)
        logprobs_NK, ids_NK = top_k_targets(logits_NV, k)
        found.append((logprobs_NK.to(torch.float16).cpu(), ids_NK.to(torch.int32).cpu()))
    return torch.cat([logprobs for logprobs, _ in found]), torch.cat([ids for _, ids in found])


def collate_targets(
    targets: Sequence[TeacherTargets], pad_token_id: int, device: torch.device
) -> tuple[CompletionBatch, Tensor, Tensor]:
    """A batch of sentences with teacher_logprobs_BTK and teacher_ids_BTK, right-aligned; zeros where masked."""
    batch = collate([target.sentence for target in targets], pad_token_id, device)
    B, T = batch.mask_BT.shape
    K = min(target.top_ids_TK.shape[1] for target in targets)
    ids_BTK = torch.zeros((B, T, K), dtype=torch.long)
    logprobs_BTK = torch.zeros((B, T, K))
    for row, target in enumerate(targets):
        length = len(target.sentence.completion_ids)
        ids_BTK[row, T - length :] = target.top_ids_TK[:, :K].long()
        logprobs_BTK[row, T - length :] = target.top_logprobs_TK[:, :K].float()
    return batch, logprobs_BTK.to(device), ids_BTK.to(device)


def kl_per_position(
    student: PreTrainedModel, targets: Sequence[TeacherTargets], pad_token_id: int
) -> tuple[Tensor, CompletionBatch, Tensor]:
    """The student's kl_BT in nats against stored targets, with the batch and its logits_BTV."""
    batch, logprobs_BTK, ids_BTK = collate_targets(targets, pad_token_id, student.device)
    logits_BTV = completion_logits(student, batch)
    return forward_kl(logits_BTV, logprobs_BTK, ids_BTK), batch, logits_BTV


def kl_of_targets(
    student: PreTrainedModel, targets: Sequence[TeacherTargets], pad_token_id: int
) -> tuple[Tensor, Tensor]:
    """The student's kl_BT in nats against stored targets and mask_BT, without ever holding all logits.

    A model whose logits are not its head's alone makes all of them (`updater.heads.plain_head`).
    """
    parts = plain_head(student)
    if parts is None:
        kl_BT, batch, _ = kl_per_position(student, targets, pad_token_id)
        return kl_BT, batch.mask_BT
    batch, logprobs_BTK, ids_BTK = collate_targets(targets, pad_token_id, student.device)
    dtype, mask_BT = product_type(parts.weight_VH), batch.mask_BT
    bias_V = None if parts.bias_V is None else parts.bias_V.to(dtype)
    states_NH = completion_states(parts, batch)
    kl_N = kl_of_states(states_NH, parts.weight_VH.to(dtype), bias_V, logprobs_BTK[mask_BT], ids_BTK[mask_BT])
    return torch.zeros(mask_BT.shape, device=kl_N.device).masked_scatter(mask_BT, kl_N), mask_BT


@torch.inference_mode()
def sentence_kl(model: PreTrainedModel, targets: Sequence[TeacherTargets], pad_token_id: int) -> list[float]:
    """Every sentence's mean KL in nats a token against its targets, in order."""
    values = [0.0] * len(targets)
    order = sorted(range(len(targets)), key=lambda index: len(targets[index].sentence.prompt_ids))

    def means(rows: Sequence[int]) -> list[float]:
        return list(sentence_means(*kl_of_targets(model, [targets[row] for row in rows], pad_token_id)).tolist())

    for rows, found in in_pieces(order, means, most=TEACHER_BATCH, model=model, work="measuring sentences"):
        for row, mean in zip(rows, found, strict=True):
            values[row] = mean
    return values
