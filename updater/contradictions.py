"""Notes that say otherwise: prompts in which a note contradicts what the lineage has learned.

Knows: exchanging the value in a told text, and asking the base model whether it reads the changed text as meant.
Refuses to know: weights other than theta_0, the log, training.

An anchor without notes is never about a subject of the lineage: theta_0 knows nothing of it, and would erase what was
learned. Here theta_0 answers from the note that stands in the student's prompt as well, so what the weights hold
without a note is left alone (docs/adr/0025).
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from updater.anchors import Anchor
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sentences import COMMON_WORDS, key_words, words_of

MOST_VALUE_WORDS = 8
LINKING_WORDS = frozenset({"are", "belongs", "does", "has", "have", "is", "was", "were"})


class Known(NamedTuple):
    """What a lineage has learned, or learns now: a told text, a question about it and the answer."""

    text: str
    prompt: str
    completion: str


class Value(NamedTuple):
    """What an answer says of its subject, such as `in the kitchen drawer`, and the words of the answer around it."""

    phrase: str
    frame: frozenset[str]

    @property
    def opening(self) -> str | None:
        """Its first word where that is a common one, such as a preposition."""
        first = words_of(self.phrase)[0]
        return first if first in COMMON_WORDS else None


def value_of(known: Known) -> Value | None:
    """The end of the answer that stands in the text and names no subject; None where there is none.

    Example: value_of(Known("I put the red mug in the sink.", "Where is the red mug?", "the red mug is in the sink"))
        == Value("in the sink", frozenset({"the", "is"}))
    """
    subject = set(key_words(known.prompt, known.completion))
    if not subject:
        return None
    words = known.completion.strip(" .!").split()
    for start in range(max(0, len(words) - MOST_VALUE_WORDS), len(words)):
        phrase = " ".join(words[start:])
        said = words_of(phrase)
        is_whole = bool(said) and said[0] not in LINKING_WORDS and bool(set(said) - COMMON_WORDS)
        if is_whole and not set(said) & subject and _place_of(phrase).search(known.text):
            return Value(phrase, frozenset(words_of(" ".join(words[:start]))) - subject)
    return None


def _place_of(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def contradictions(
    base: LanguageModel, known: Sequence[Known], readings: Sequence[Anchor], *, count: int, rng: random.Random
) -> list[Anchor]:
    """Questions about what is known behind a note with another value, answered by theta_0 from that note.

    Args:
        base: theta_0.
        known: what may be contradicted.
        readings: unrelated questions with notes: where other values come from, beside those of `known`.
        count: most of them.
        rng: chooses.

    Returns:
        Those that theta_0 answers with the other value.
    """
    said = [Known(note, anchor.prompt, anchor.completion) for anchor in readings for note in anchor.notes]
    found = {value for one in [*known, *said] if (value := value_of(one)) is not None}
    values = sorted(found, key=lambda value: (value.phrase, sorted(value.frame)))
    changed: list[tuple[Known, str, str]] = []
    for one in rng.sample(known, len(known)):
        if len(changed) < count and (other := another_note(one, values, rng)) is not None:
            changed.append((one, *other))
    prompts = [base.dialogue.prompt_ids(one.prompt, [note]) for one, note, _ in changed]
    answers = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    return [
        Anchor((note,), one.prompt, answer)
        for (one, note, phrase), answer in zip(changed, answers, strict=True)
        if _place_of(phrase).search(answer)
    ]


def another_note(known: Known, values: Sequence[Value], rng: random.Random) -> tuple[str, str] | None:
    """The text with another value, capitalised as its own was, and that value; None where there is no fitting one.

    A value fits that is said with the same words around it; where there is none, one that opens alike.
    """
    value = value_of(known)
    if value is None:
        return None
    different = [other for other in values if words_of(other.phrase) != words_of(value.phrase)]
    fitting = [other for other in different if other.frame == value.frame]
    fitting = fitting or [other for other in different if other.opening == value.opening]
    if not fitting:
        return None
    other = rng.choice(fitting).phrase
    note = _place_of(value.phrase).sub(lambda match: other.title() if match[0].istitle() else other, known.text)
    return note, other
