"""The text of an answer while its tokens come, cut at a stop string.

Knows tokenizers and stop strings. Refuses to know models, requests and HTTP.
"""

from collections.abc import Sequence
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

_HALF_A_LETTER: Final = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns tokens into text piece by piece; the pieces together are what decoding all tokens at once would give.

    A piece is held back while it may be half a letter, or the beginning of a stop string.

    Args:
        tokenizer: of the model.
        stop: the answer ends before the first of these.
        strip_start: whether white space before the first letter is dropped, as a chat's answers want it.

    Example:
        stream = TextStream(tokenizer, stop=["\\n"])
        shown = [stream.push(token_id) for token_id in token_ids] + [stream.finish()]
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = (), *, strip_start: bool = False
    ) -> None:
        self._tokenizer, self._stop, self._strip_start = tokenizer, tuple(stop), strip_start
        self._ids: list[int] = []
        self._shown_ids = 0  # tokens whose text is final
        self._context_ids = 0  # where decoding begins: some tokens earlier, since a token's text hangs on those before
        self._held = ""
        self.is_stopped = False

    def push(self, token_id: int) -> str:
        """Add a token; the text that may be shown now. Nothing more comes once `is_stopped`."""
        if self.is_stopped:
            return ""
        self._ids.append(token_id)
        known = self._decoded(self._ids[self._context_ids : self._shown_ids])
        text = self._decoded(self._ids[self._context_ids :])
        if text.endswith(_HALF_A_LETTER) or len(text) <= len(known):
            return ""
        self._context_ids, self._shown_ids = self._shown_ids, len(self._ids)
        return self._released(text[len(known) :], is_last=False)

    def finish(self) -> str:
        """The text that was still held back; call it once, when no token follows."""
        if self.is_stopped:
            return ""
        known = self._decoded(self._ids[self._context_ids : self._shown_ids])
        return self._released(self._decoded(self._ids[self._context_ids :])[len(known) :], is_last=True)

    def _decoded(self, ids: Sequence[int]) -> str:
        text: Any = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _released(self, text: str, *, is_last: bool) -> str:
        if self._strip_start:
            text = text.lstrip()
            self._strip_start = not text
        held = self._held + text
        ends = [place for stop in self._stop if (place := held.find(stop)) >= 0]
        if ends:
            self.is_stopped, self._held = True, ""
            return held[: min(ends)]
        num_kept = 0 if is_last else max((_overlap(held, stop) for stop in self._stop), default=0)
        self._held = held[len(held) - num_kept :]
        return held[: len(held) - num_kept]


def _overlap(text: str, stop: str) -> int:
    """How many of the last letters of a text may be the beginning of a stop string."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
