"""Target sentences: what the model writes about an experience that it is shown.

Knows: asking a model for questions and near misses, answering them with the experience in the prompt, and dropping what
is of no use. Refuses to know: weights other than theta_0, the log (a function tells whether a subject has a history).

Diversity counts for more than number: every question is sampled, duplicates go, and the teacher's answer decides what a
question is: one that the experience answers (a target sentence) or one that it does not (a near miss).
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from memory_log.records import Experience
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings

MAX_QUESTION_WORDS = 40
_COMMON_WORDS = frozenset(
    """
    a an and are at belongs by does favourite for from has have he her his i in is it its me my of on or she somewhere
    someone the their they this to under was what where which who whose with you
    """.split()  # noqa: SIM905
)


class Sentence(NamedTuple):
    """A prompt about an experience and the teacher's completion."""

    experience_id: int
    kind: Literal["question", "near_miss"]
    notes: tuple[str, ...]
    prompt: str
    completion: str
    subject: str
    """What it is about: the words that question and answer share."""
    held_out: bool = False
    gain_nats: float = 0.0
    """Context gain: KL (nats a token) between the teacher with and without the experience."""


@dataclass
class WrittenSentences:
    """What was written about a batch, and what was dropped and why."""

    sentences: list[Sentence] = field(default_factory=list)
    num_sampled: int = 0
    num_duplicates: int = 0
    num_unanswerable: int = 0
    num_with_history: int = 0

    def of_kind(self, kind: str) -> list[Sentence]:
        """The sentences of one kind."""
        return [sentence for sentence in self.sentences if sentence.kind == kind]


def key_words(question: str, answer: str) -> list[str]:
    """The words that question and answer share, without common ones: what the question is about.

    Example: key_words("Where is the blue mug?", "the blue mug is somewhere unknown") == ["blue", "mug"]
    """
    asked = {word.removesuffix("'s") for word in re.findall(r"[\w'-]+", question.lower())}
    shared = (word.removesuffix("'s") for word in re.findall(r"[\w'-]+", answer.lower()))
    return [word for word in dict.fromkeys(shared) if word in asked and word not in _COMMON_WORDS]


def _sample(
    base: LanguageModel, experiences: Sequence[Experience], instruction: str, count: int, seed: int
) -> list[tuple[Experience, str]]:
    prompts = [
        base.dialogue.prompt_ids(instruction, [experience.text]) for experience in experiences for _ in range(count)
    ]
    owners = [experience for experience in experiences for _ in range(count)]
    texts = generate_texts(base.model, base.dialogue, prompts, temperature=1.0, seed=seed) if prompts else []
    return list(zip(owners, texts, strict=True))


def _distinct(sampled: Sequence[tuple[Experience, str]]) -> list[tuple[Experience, str]]:
    seen: set[tuple[int, str]] = set()
    kept = []
    for experience, text in sampled:
        key = (experience.id, text.lower())
        if text and len(text.split()) <= MAX_QUESTION_WORDS and key not in seen:
            seen.add(key)
            kept.append((experience, text))
    return kept


def write_sentences(
    base: LanguageModel,
    experiences: Sequence[Experience],
    settings: UpdateSettings,
    *,
    seed: int,
    has_history: Callable[[Sequence[str], int], bool],
) -> WrittenSentences:
    """Write target sentences and near misses about a batch.

    Args:
        base: theta_0, which writes and answers.
        experiences: the batch, one context each.
        settings: how many to sample, and the held-out share.
        seed: of sampling and of the held-out choice.
        has_history: (words, experience id) -> whether the lineage holds another experience about all of these words;
            such near misses are dropped, because the teacher sees one experience alone and would erase older knowledge.
    """
    style = base.dialogue.style
    least = -(-settings.min_samples // max(1, len(experiences)))
    sampled = _sample(base, experiences, style.write_question, max(least, settings.questions_per_experience), seed)
    if settings.near_misses_per_experience:
        sampled += _sample(
            base, experiences, style.write_near_miss, max(least, settings.near_misses_per_experience), seed + 1
        )
    distinct = _distinct(sampled)
    written = WrittenSentences(num_sampled=len(sampled), num_duplicates=len(sampled) - len(distinct))
    prompts = [base.dialogue.prompt_ids(question, [experience.text]) for experience, question in distinct]
    answers = generate_texts(base.model, base.dialogue, prompts) if prompts else []
    for (experience, question), answer in zip(distinct, answers, strict=True):
        words = key_words(question, answer)
        if not answer or not words:
            written.num_unanswerable += 1
            continue
        kind: Literal["question", "near_miss"] = "near_miss" if base.dialogue.says_unknown(answer) else "question"
        if kind == "near_miss" and has_history(words, experience.id):
            written.num_with_history += 1
            continue
        written.sentences.append(Sentence(experience.id, kind, (experience.text,), question, answer, " ".join(words)))
    written.sentences = consistent(written.sentences)
    written.sentences = with_held_out(written.sentences, settings.held_out_share, random.Random(seed))
    return written


def consistent(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Drop what the teacher says against itself.

    Where most phrasings of one question get the same answer, the others are misreadings. And a near miss about the very
    subject that the batch's questions are about is one too: the teacher failed to read the answer that is there.
    """
    answers: dict[tuple[int, str], Counter[str]] = {}
    for sentence in sentences:
        if sentence.kind == "question":
            answers.setdefault((sentence.experience_id, sentence.subject), Counter())[sentence.completion] += 1
    asked = {subject for _, subject in answers}
    kept = []
    for sentence in sentences:
        if sentence.kind == "near_miss":
            if sentence.subject not in asked:
                kept.append(sentence)
            continue
        counts = answers[sentence.experience_id, sentence.subject]
        best, times = counts.most_common(1)[0]
        if sentence.completion == best or 2 * times <= counts.total():
            kept.append(sentence)
    return kept


def with_held_out(sentences: Sequence[Sentence], share: float, rng: random.Random) -> list[Sentence]:
    """Hold out a share of every experience's sentences of each kind; of two or more at least one, and never all."""
    groups: dict[tuple[int, str], list[Sentence]] = {}
    for sentence in sentences:
        groups.setdefault((sentence.experience_id, sentence.kind), []).append(sentence)
    split = []
    for group in groups.values():
        count = min(len(group) - 1, max(1, round(share * len(group))))
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
