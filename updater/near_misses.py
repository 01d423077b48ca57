"""Near misses: questions that differ from an experience in one word that matters.

Knows: exchanging a word of a subject, and asking the base model which of the candidates it does not know. Refuses to
know: who wrote the candidates, weights other than theta_0, the log (a function tells whether a subject has a history).
"""

import random
import re
from collections.abc import Callable, Sequence

from memory_log.records import Experience
from updater.anchors import Anchor
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sentences import COMMON_WORDS, Sentence, key_words, words_of


def exchanged_words(sentence: Sentence, strangers: Sequence[Anchor], count: int, rng: random.Random) -> list[str]:
    """A question with one word of its subject exchanged for the word in its place of a subject of the same kind."""
    words, found = sentence.subject.split(), []
    alike = [s.words for s in strangers if len(s.words) == len(words) and _opening(s) == _opening(sentence)]
    for stranger in rng.sample(alike, min(count, len(alike))):
        place = rng.randrange(len(words))
        if stranger[place].lower() != words[place]:
            pattern = re.compile(rf"\b{re.escape(words[place])}\b", re.IGNORECASE)
            found.append(stranger[place].join(pattern.split(sentence.prompt)))
    return found


def _opening(said: Sentence | Anchor) -> str | None:
    """The common word that a completion begins with, such as the article of a thing; None before a name."""
    first = words_of(said.completion)[:1]
    return first[0] if first and first[0] in COMMON_WORDS else None


def unknown_to_base(
    base: LanguageModel,
    experiences: Sequence[Experience],
    candidates: Sequence[tuple[Experience, str]],
    has_history: Callable[[Sequence[str], int], bool],
) -> list[Sentence]:
    """Candidates that the base model does not know, about nothing that the batch or the lineage's log names."""
    told = [set(words_of(experience.text)) for experience in experiences]
    answers = generate_texts(base.model, base.dialogue, [base.dialogue.prompt_ids(q) for _, q in candidates])
    found = []
    for (experience, question), answer in zip(candidates, answers, strict=True):
        words = key_words(question, answer)
        is_known = any(set(words) <= text for text in told) or not base.dialogue.says_unknown(answer)
        if words and not is_known and not has_history(words, experience.id):
            found.append(Sentence(experience.id, "near_miss", (), question, answer, " ".join(words)))
    return found
