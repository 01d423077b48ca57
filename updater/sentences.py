"""Target sentences: a prompt about an experience with the teacher's completion, and what can be told of their wording.

Knows: the words of a text, what a question is about, which of several sentences to keep or hold out. Refuses to
know: who writes them, weights, the log.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from memory_log.records import TargetKind
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence

COMMON_WORDS = frozenset(
    """
    a an and are at belongs by does favourite for from has have he her his i in is it its me my of on or she somewhere
    someone the their they this to under was what where which who whose with you
    """.split()  # noqa: SIM905
)


class Sentence(NamedTuple):
    """A prompt about an experience and the teacher's completion."""

    experience_id: int
    kind: TargetKind
    notes: tuple[str, ...]
    prompt: str
    completion: str
    subject: str
    """What it is about: the words that question and answer share."""
    held_out: bool = False
    gain_nats: float = 0.0
    """Context gain: KL (nats a token) between the teacher with and without the experience."""
    diversity: float = 1.0
    """Share of its word pairs that no other sentence of its kind about the experience has."""

    @property
    def own_text(self) -> str:
        """What tells it from others of its kind: the question, or what a restatement says."""
        return self.completion if self.kind == "restatement" else self.prompt


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without possessive endings."""
    return [word.removesuffix("'s") for word in re.findall(r"[\w'-]+", text.lower())]


def key_words(question: str, answer: str) -> list[str]:
    """The words that question and answer share, without common ones: what the question is about.

    Example: key_words("Where is the blue mug?", "the blue mug is somewhere unknown") == ["blue", "mug"]
    """
    asked = set(words_of(question))
    return [word for word in dict.fromkeys(words_of(answer)) if word in asked and word not in COMMON_WORDS]


def consistent(questions: Sequence[Sentence]) -> list[Sentence]:
    """Where most phrasings of one question get the same answer, drop the others: they are misreadings."""
    answers: dict[tuple[int, str], Counter[str]] = {}
    for sentence in questions:
        answers.setdefault((sentence.experience_id, sentence.subject), Counter())[sentence.completion] += 1
    kept = []
    for sentence in questions:
        counts = answers[sentence.experience_id, sentence.subject]
        best, times = counts.most_common(1)[0]
        if sentence.completion == best or 2 * times <= counts.total():
            kept.append(sentence)
    return kept


def with_held_out(sentences: Sequence[Sentence], share: float, rng: random.Random) -> list[Sentence]:
    """Hold out a share of every experience's sentences of each kind; of two or more at least one, and never all.

    Restatements are never held out: what is held out is compared word for word, and one thing can be said in many ways.
    """
    groups: dict[tuple[int, str], list[Sentence]] = {}
    for sentence in sentences:
        groups.setdefault((sentence.experience_id, sentence.kind), []).append(sentence)
    split = []
    for group in groups.values():
        count = 0 if group[0].kind == "restatement" else min(len(group) - 1, max(1, round(share * len(group))))
        chosen = set(rng.sample(range(len(group)), count))
        split += [sentence._replace(held_out=index in chosen) for index, sentence in enumerate(group)]
    return split


def tokenize(base: LanguageModel, sentences: Sequence[Sentence]) -> tuple[list[TokenizedSentence], list[list[int]]]:
    """Every sentence as the student sees it (without notes), and the teacher's prompt (with notes) as token ids."""
    without = [
        TokenizedSentence(tuple(base.dialogue.prompt_ids(s.prompt)), tuple(base.dialogue.completion_ids(s.completion)))
        for s in sentences
    ]
    return without, [base.dialogue.prompt_ids(s.prompt, s.notes) for s in sentences]
