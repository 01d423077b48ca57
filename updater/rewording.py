"""The same question in other words: what a model learns behind it should hang on its subject, not on a phrasing.

Knows: exchanging and leaving out the words that a question is not about (docs/adr/0028). Refuses to know: who wrote the
question, what is trained.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from updater.dialogue import Dialogue
from updater.sentences import words_of
from updater.targets import TeacherTargets

EXCHANGED_SHARE: Final = 0.4
LEFT_OUT_SHARE: Final = 0.15


def reworded(question: str, subject: str, fillers: Sequence[str], rng: random.Random) -> str:
    """A question with its subject in which other words are left out or exchanged, such as `about is the red mug who`.

    Words are exchanged for those of unrelated questions, so that no single one comes to mean anything.

    Args:
        question: as it was written.
        subject: the words that stay.
        fillers: what words are exchanged for; without any they are left out instead.
        rng: source of chance.
    """
    about, words = set(subject.split()), list[str]()
    for word in question.split():
        roll = 1.0 if about & set(words_of(word)) else rng.random()
        if roll >= EXCHANGED_SHARE + LEFT_OUT_SHARE:
            words.append(word)
        elif roll < EXCHANGED_SHARE and fillers:
            words.append(rng.choice(fillers))
    return " ".join(words)


def fillers_of(questions: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """The words of questions that they are not about, as often as they stand there.

    Args:
        questions: each with the words that it is about, in lower case.
    """
    return [word for text, about in questions for word in text.split() if not set(about) & set(words_of(word))]


def reworded_target(
    dialogue: Dialogue,
    target: TeacherTargets,
    prompt: str,
    subject: str,
    fillers: Sequence[str],
    rng: random.Random,
) -> TeacherTargets:
    """The same targets behind their prompt in other words."""
    prompt_ids = tuple(dialogue.prompt_ids(reworded(prompt, subject, fillers, rng)))
    return replace(target, sentence=target.sentence._replace(prompt_ids=prompt_ids))
