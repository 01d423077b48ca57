"""Documents as fixed-shape training rows.

Knows: how documents become token ids, loss weights, positions and an attention mask in which exchanges share a context
and do not see one another. Refuses to know: what the documents say, models.

Shapes: B = rows, T = tokens of a row.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from agent.seed_model.documents import Document, draw_document
from agent.seed_model.tokenizer import AGENT, NOTE, USER

NOTE_WEIGHT = 0.05
REPEAT_WEIGHT = 1.0
MASKED = -1e9


class Rows(NamedTuple):
    """One batch of packed documents.

    token_ids_BT: input tokens. weights_BT: loss weight of predicting the token at t from what is before it; 0.0 where
    it is not predicted.
    positions_BT: position within the document. bias_B1TT: added to the attention scores; 0.0 where attention is
    allowed, a large negative number elsewhere.
    """

    token_ids_BT: Tensor
    weights_BT: Tensor
    positions_BT: Tensor
    bias_B1TT: Tensor


class RowPacker:
    """Packs endless documents into rows of `row_tokens` tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, row_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.row_tokens = row_tokens
        self._special = {name: tokenizer.convert_tokens_to_ids(name) for name in (NOTE, USER, AGENT)}
        # The library's own tokenizer: the wrapper's extras cost more than encoding a short text.
        self._pieces: Tokenizer = tokenizer.backend_tokenizer
        self._left_over: Document | None = None

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._pieces.encode(text, add_special_tokens=False).ids
        return ids

    def document_tokens(self, document: Document) -> tuple[list[int], list[float], list[int], list[int]]:
        """Token ids, loss weights, positions and segments (0 = context, 1.. = exchanges) of one document."""
        ids, weights = [self.tokenizer.bos_token_id], [0.0]
        for index, note in enumerate(document.notes):
            tokens = self._encode(note)
            weight = REPEAT_WEIGHT if document.repeats and index > 0 else NOTE_WEIGHT
            ids += [self._special[NOTE], *tokens]
            weights += [0.0, *([weight] * len(tokens))]
        positions, segments = list(range(len(ids))), [0] * len(ids)
        context_length = len(ids)
        for number, exchange in enumerate(document.exchanges, start=1):
            user = [self._special[USER], *self._encode(exchange.user), self._special[AGENT]]
            said, said_weights = list(user), [0.0] * len(user)
            for text, weight in exchange.pieces:
                tokens = self._encode(text)
                said += tokens
                said_weights += [weight] * len(tokens)
            said.append(self.tokenizer.eos_token_id)
            said_weights.append(said_weights[-1])
            ids += said
            weights += said_weights
            positions += range(context_length, context_length + len(said))
            segments += [number] * len(said)
        return ids, weights, positions, segments

    def rows(self, rng: random.Random, *, num_rows: int, progress: float) -> Rows:
        """Fill `num_rows` rows with documents at this point of the curriculum."""
        T = self.row_tokens
        ids = np.full((num_rows, T), self.tokenizer.pad_token_id, dtype=np.int64)
        weights = np.zeros((num_rows, T), dtype=np.float32)
        positions = np.zeros((num_rows, T), dtype=np.int64)
        owner = np.full((num_rows, T), -1, dtype=np.int64)
        segment = np.zeros((num_rows, T), dtype=np.int64)
        for row in range(num_rows):
            start = 0
            for number, tokens in enumerate(self._documents_of_row(rng, progress)):
                stop = start + len(tokens[0])
                ids[row, start:stop], weights[row, start:stop], positions[row, start:stop], segment[row, start:stop] = (
                    tokens
                )
                owner[row, start:stop] = number
                start = stop
        owner_t, segment_t = torch.from_numpy(owner), torch.from_numpy(segment)
        same_document = owner_t[:, :, None] == owner_t[:, None, :]
        visible = (segment_t[:, None, :] == 0) | (segment_t[:, :, None] == segment_t[:, None, :])
        mask = same_document & visible & torch.ones(T, T, dtype=torch.bool).tril()
        bias = torch.zeros(mask.shape).masked_fill(~mask, MASKED)
        return Rows(torch.from_numpy(ids), torch.from_numpy(weights), torch.from_numpy(positions), bias[:, None])

    def _documents_of_row(
        self, rng: random.Random, progress: float
    ) -> Iterator[tuple[list[int], list[float], list[int], list[int]]]:
        room = self.row_tokens
        while True:
            document = self._left_over or draw_document(rng, progress=progress)
            self._left_over = None
            tokens = self.document_tokens(document)
            while len(tokens[0]) > self.row_tokens and document.exchanges:
                document = document._replace(exchanges=document.exchanges[:-1])
                tokens = self.document_tokens(document)
            if len(tokens[0]) > self.row_tokens:
                continue  # its notes alone are longer than a row
            if len(tokens[0]) > room:
                self._left_over = document
                return
            room -= len(tokens[0])
            yield tokens
