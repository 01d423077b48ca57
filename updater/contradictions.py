"""Contradictions: questions of a batch with a note that says something else than what the batch says.

Knows: making such notes by exchanging what was told for what was told about something else. Refuses to know: training;
the teacher's answers, which decide what is right.

After an update the weights know an answer, and a note in the prompt that says otherwise must still win. Training on
some of these keeps the model reading where it now remembers.
"""

import random
import re
from collections.abc import Sequence
from typing import Final

from updater.anchors import Anchor
from updater.sentences import COMMON_WORDS, Sentence, words_of

MOST_PER_EXPERIENCE: Final = 4


def contradictions(questions: Sequence[Sentence], others: Sequence[Anchor], rng: random.Random) -> list[Anchor]:
    """Questions with a changed note. The completion is what the note now says, for the teacher to agree with.

    Args:
        questions: about a batch, each with its experience as the only note.
        others: sentences that tell of other values of the same kind, besides the batch itself.
        rng: chooses questions and values.

    Returns:
        At most MOST_PER_EXPERIENCE of each experience; fewer where no other value has the same form.
    """
    told = [(sentence.prompt, sentence.completion) for sentence in questions]
    told += [(anchor.prompt, anchor.completion) for anchor in others]
    values = [(_frame(completion), told_value(prompt, completion)) for prompt, completion in told]
    counts: dict[int, int] = {}
    found = []
    for sentence in rng.sample(list(questions), len(questions)):
        value = told_value(sentence.prompt, sentence.completion)
        alike = [
            other
            for frame, other in values
            if frame == _frame(sentence.completion) and len(other) == len(value) and not set(other) & set(value)
        ]
        if counts.get(sentence.experience_id, 0) >= MOST_PER_EXPERIENCE or not value or not alike:
            continue
        exchanged = dict(zip(value, rng.choice(alike), strict=True))
        notes = tuple(_exchange(note, exchanged) for note in sentence.notes)
        if notes != sentence.notes:
            counts[sentence.experience_id] = counts.get(sentence.experience_id, 0) + 1
            said = _exchange(sentence.completion, exchanged)
            found.append(Anchor(notes, sentence.prompt, said, tuple(sentence.subject.split())))
    return found


def told_value(prompt: str, completion: str) -> list[str]:
    """The words that a completion adds to its prompt, common ones left out: what it tells.

    Example: told_value("Where is the red mug?", "the red mug is in the kitchen drawer") == ["kitchen", "drawer"]
    """
    asked = set(words_of(prompt))
    return [word for word in words_of(completion) if word not in asked and word not in COMMON_WORDS]


def _frame(completion: str) -> tuple[str, ...]:
    """The common words of a completion in order, by which places are told from owners and things from persons."""
    return tuple(word for word in words_of(completion) if word in COMMON_WORDS)


def _exchange(text: str, exchanged: dict[str, str]) -> str:
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, exchanged))})\b", re.IGNORECASE)
    return pattern.sub(lambda match: exchanged[match.group().lower()], text)
