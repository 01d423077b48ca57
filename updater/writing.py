"""Writing target sentences: what the model asks about an experience that it is shown, and what it answers.

Knows: asking a model for questions and near misses, answering them with the experience in the prompt, and dropping what
is of no use. Refuses to know: weights other than theta_0, the log (a function tells whether a subject has a history).

All phrasings of a question lead the embedded model into the same restated words (docs/adr/0002), so a dozen questions
about an experience are enough, and near misses are what must be many: the red mug is not every mug.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memory_log.records import Experience
from updater.anchors import Anchor
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.near_misses import exchanged_words, unknown_to_base
from updater.sentences import Sentence, consistent, key_words, with_held_out, words_of
from updater.settings import UpdateSettings

MAX_QUESTION_WORDS = 40


@dataclass
class WrittenSentences:
    """What was written about a batch."""

    sentences: list[Sentence] = field(default_factory=list)
    num_sampled: int = 0
    num_candidates: int = 0
    """Near-miss candidates before duplicates, known ones and ones with a history went."""

    def of_kind(self, kind: str) -> list[Sentence]:
        """The sentences of one kind."""
        return [sentence for sentence in self.sentences if sentence.kind == kind]


def write_sentences(
    base: LanguageModel,
    experiences: Sequence[Experience],
    settings: UpdateSettings,
    *,
    seed: int,
    strangers: Sequence[Anchor],
    has_history: Callable[[Sequence[str], int], bool],
) -> WrittenSentences:
    """Write target sentences and near misses about a batch.

    Questions are sampled from the model and answered by it with the experience in its prompt. Near misses are questions
    about what the experience does not name: written by the model on request, or one of its questions with one word of
    the subject exchanged. They are answered without notes, because an experience says nothing about them, and a small
    model reads a near miss wrongly more often than it invents an answer to it.

    Args:
        base: theta_0, which writes and answers.
        experiences: the batch, one context each.
        settings: how many to sample, and the held-out share.
        seed: of sampling and of the held-out choice.
        strangers: anchors about unrelated subjects: where exchanged words come from.
        has_history: (words, experience id) -> whether the lineage holds another experience about all of these words;
            such near misses are dropped, because they would erase older knowledge.
    """
    style, written, rng = base.dialogue.style, WrittenSentences(), random.Random(seed)
    least = -(-settings.min_samples // max(1, len(experiences)))
    requests = [
        (e, style.write_question) for e in experiences for _ in range(max(least, settings.questions_per_experience))
    ]
    requests += [(e, style.write_near_miss) for e in experiences for _ in range(settings.near_misses_per_experience)]
    prompts = [base.dialogue.prompt_ids(instruction, [experience.text]) for experience, instruction in requests]
    texts = generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=seed)
    sampled = [(e, instruction, text) for (e, instruction), text in zip(requests, texts, strict=True)]
    questions = _distinct([(e, text) for e, instruction, text in sampled if instruction == style.write_question])
    candidates = [(e, text) for e, instruction, text in sampled if instruction != style.write_question]

    answers = generate_texts(base.model, base.dialogue, [base.dialogue.prompt_ids(q, [e.text]) for e, q in questions])
    for (experience, question), answer in zip(questions, answers, strict=True):
        words = key_words(question, answer)
        if not words or not set(words) <= set(words_of(experience.text)):
            candidates.append((experience, question))
        elif not base.dialogue.says_unknown(answer):
            written.sentences.append(
                Sentence(experience.id, "question", (experience.text,), question, answer, " ".join(words))
            )
    written.sentences = consistent(written.sentences)
    by_id = {experience.id: experience for experience in experiences}
    for sentence in written.sentences:
        candidates += [
            (by_id[sentence.experience_id], exchanged)
            for exchanged in exchanged_words(sentence, strangers, settings.exchanges_per_question, rng)
        ]
    written.sentences += unknown_to_base(base, experiences, _distinct(candidates), has_history)
    written.num_sampled, written.num_candidates = len(sampled), len(candidates)
    written.sentences = with_held_out(written.sentences, settings.held_out_share, rng)
    return written


def _distinct(asked: Sequence[tuple[Experience, str]]) -> list[tuple[Experience, str]]:
    seen: set[tuple[int, str]] = set()
    kept = []
    for experience, text in asked:
        key = (experience.id, text.lower())
        if text and len(text.split()) <= MAX_QUESTION_WORDS and key not in seen:
            seen.add(key)
            kept.append((experience, text))
    return kept
