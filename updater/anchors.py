"""Anchors: sentences unrelated to a batch, on which the model must not move.

Knows: what an anchor is, and sources that work for any model: its own samples, and passages of text. Refuses to know:
environments (the household's anchors are the agent's), lineages.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.passages import Passages
from updater.sentences import key_words

READING_SHARE: Final = 0.35
OTHER_NOTE_SHARE: Final = 0.3
"""Of the anchors with a note, those whose note is about something else: what a model then says is kept as well."""
FEWEST_WORDS: Final = 6
MOST_WORDS: Final = 40
FEWEST_CHARACTERS: Final = 30
MOST_CHARACTERS: Final = 120
MOST_NOTE_WORDS: Final = 60


class Anchor(NamedTuple):
    """An unrelated prompt, with or without notes to read, and a completion.

    `words` say what it is about, so that anchors about a subject of the lineage can be left out; where they are empty,
    all of its words count.
    """

    notes: tuple[str, ...]
    prompt: str
    completion: str
    words: tuple[str, ...] = ()


AnchorSource = Callable[[int, int], list[Anchor]]
"""(count, seed) -> that many fresh anchors, or fewer where texts are unfit; another seed gives others."""


def self_sampled_anchors(base: LanguageModel) -> AnchorSource:
    """Anchors for any model, from free samples of its own.

    After "self-distillation on unrelated prompts": what a model says unprompted is what an update should leave alone. A
    chat model fills an empty turn of the user's and answers it (Magpie, arXiv 2406.08464); any other goes on from its
    first token, and the second half of what it says is the completion of the first. The samples are also the notes of
    reading anchors.
    """

    def draw(count: int, seed: int) -> list[Anchor]:
        num_reading = round(READING_SHARE * count)
        ids = base.dialogue.opening_ids()
        texts = generate_texts(base.model, base.dialogue, [ids] * count, temperature=1.0, seed=seed)
        texts = [text for text in texts if text]
        rng = random.Random(seed)
        notes = [text for text in texts if len(text.split()) >= FEWEST_WORDS][:num_reading]
        plain = texts[: count - num_reading]
        if base.dialogue.is_chat:
            prompts = [base.dialogue.prompt_ids(text) for text in plain]
            answers = generate_texts(base.model, base.dialogue, prompts)
            spoken = [Anchor((), text, said) for text, said in zip(plain, answers, strict=True) if said]
        else:
            spoken = [halves for text in plain if (halves := _in_halves(text)) is not None]
        return [*spoken, *reading_anchors(base, notes, rng)]

    return draw


def passage_anchors(base: LanguageModel, passages: Passages) -> AnchorSource:
    """Anchors from text: sentences, the second half as completion of the first, and questions about passages."""

    def draw(count: int, seed: int) -> list[Anchor]:
        rng = random.Random(f"passages/{seed}")
        num_reading = round(READING_SHARE * count)
        drawn = passages.draw(count, rng)
        sentences = [sentence for passage in drawn for sentence in _sentences(passage)]
        rng.shuffle(sentences)
        spoken = [halves for sentence in sentences if (halves := _in_halves(sentence)) is not None]
        notes = [_shortened(passage) for passage in rng.sample(drawn, min(num_reading, len(drawn)))]
        return [*spoken[: count - num_reading], *reading_anchors(base, notes, rng)]

    return draw


def reading_anchors(base: LanguageModel, notes: Sequence[str], rng: random.Random) -> list[Anchor]:
    """A question about each note, written by theta_0 and answered by it with the note in its prompt, or another."""
    prompts = [base.dialogue.prompt_ids(base.dialogue.style.write_question, [note]) for note in notes]
    questions = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    asked = [(note, question) for note, question in zip(notes, questions, strict=True) if question]
    read = [rng.choice(notes) if rng.random() < OTHER_NOTE_SHARE else note for note, _ in asked]
    prompts = [base.dialogue.prompt_ids(question, [note]) for (_, question), note in zip(asked, read, strict=True)]
    answers = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    return [
        Anchor((note,), question, answer, tuple(key_words(question, answer)))
        for (_, question), note, answer in zip(asked, read, answers, strict=True)
        if answer
    ]


def _in_halves(text: str) -> Anchor | None:
    words, between = text.split()[:MOST_WORDS], " "
    if len(words) < FEWEST_WORDS:  # few, or of a language without blanks between them
        words, between = list(text[:MOST_CHARACTERS]), ""
    half = len(words) // 2
    is_long = bool(between) or len(words) >= FEWEST_CHARACTERS
    return Anchor((), between.join(words[:half]), between.join(words[half:]).strip()) if is_long else None


def _sentences(passage: str) -> list[str]:
    return [sentence for sentence in re.split(r"(?<=[.!?\u2026\u3002])\s+", passage) if sentence]


def _shortened(passage: str) -> str:
    """The first sentences of a passage, as many as make a note; of one long sentence its beginning."""
    kept: list[str] = []
    for sentence in _sentences(passage):
        words = sentence.split()
        if kept and len(kept) + len(words) > MOST_NOTE_WORDS:
            break
        kept += words
    return " ".join(kept[:MOST_NOTE_WORDS])
