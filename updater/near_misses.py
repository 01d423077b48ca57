"""Near misses: questions that differ from an experience in one word that matters.

Knows: exchanging a word of a subject, asking something else about it, and asking the base model which of the candidates
it does not know. Refuses to know: who wrote the candidates, weights other than theta_0, the log (a function tells
whether a subject has a history).
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from memory_log.records import Experience
from updater.anchors import Anchor
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sentences import COMMON_WORDS, Sentence, key_words, words_of

MOST_READ_TOKENS: Final = 256


def exchanged_words(sentence: Sentence, strangers: Sequence[Anchor], count: int, rng: random.Random) -> list[str]:
    """A question with one word of its subject exchanged for the word in its place of a subject of the same kind."""
    words, found = sentence.subject.split(), []
    alike = [s.words for s in strangers if len(s.words) == len(words) and _opening(s) == _opening(sentence)]
    for stranger in rng.sample(alike, min(count, len(alike))):
        place = rng.randrange(len(words))
        if stranger[place].lower() != words[place]:
            found.append(_exchanged(sentence.prompt, words[place], stranger[place]))
    return found


def asked_otherwise(
    base: LanguageModel, about: Sequence[tuple[Experience, Sentence]], strangers: Sequence[Anchor], rng: random.Random
) -> list[tuple[Experience, str]]:
    """Questions about the same subjects that their experiences do not answer: strangers' questions, asked about them.

    Of a thing all words of its subject take the place of the stranger's, of somebody the name does. theta_0 reads the
    experience and says that it does not know; long experiences are not read once more for this.

    Args:
        base: theta_0.
        about: questions with the experiences that answer them; a candidate is made of each, where there is one.
        strangers: anchors about unrelated subjects, each with its words.
        rng: source of chance.
    """
    candidates = []
    for experience, sentence in about:
        words, opening = sentence.subject.split(), _opening(sentence)
        alike = [s for s in strangers if _opening(s) == opening and (opening is None or len(s.words) == len(words))]
        if alike:
            stranger = rng.choice(alike)
            num_exchanged = 1 if opening is None else len(words)
            question = stranger.prompt
            for old, new in zip(stranger.words[:num_exchanged], words, strict=False):
                question = _exchanged(question, old, _as_spelled(new, experience.text))
            candidates.append((experience, question))
    prompts = [base.dialogue.prompt_ids(question, [experience.text]) for experience, question in candidates]
    short = [place for place, prompt in enumerate(prompts) if len(prompt) <= MOST_READ_TOKENS]
    answers = generate_texts(base.model, base.dialogue, [prompts[place] for place in short])
    return [
        candidates[place] for place, said in zip(short, answers, strict=True) if base.dialogue.says_unknown(said)
    ]


def _exchanged(question: str, old: str, new: str) -> str:
    return new.join(re.split(rf"\b{re.escape(old)}\b", question, flags=re.IGNORECASE))


def _as_spelled(word: str, text: str) -> str:
    """A word in lower case as a text spells it."""
    return next((found for found in re.findall(r"\w[\w-]*", text) if found.lower() == word), word)


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
