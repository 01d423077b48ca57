"""Target sentences: what the model writes about an experience that it is shown.

Knows: asking a model for questions and near misses, answering them with the experience in the prompt, and dropping what
is of no use. Refuses to know: weights other than theta_0, the log (a function tells whether a subject has a history).

All phrasings of a question lead the embedded model into the same restated words (docs/adr/0002), so a dozen questions
about an experience are enough, and near misses are what must be many: the red mug is not every mug.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from memory_log.records import Experience
from updater.anchors import Anchor
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence
from updater.settings import UpdateSettings

MAX_QUESTION_WORDS = 40
THINNED_SHARE = 0.3
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
    """What was written about a batch."""

    sentences: list[Sentence] = field(default_factory=list)
    num_sampled: int = 0
    num_candidates: int = 0
    """Near-miss candidates before duplicates, known ones and ones with a history went."""

    def of_kind(self, kind: str) -> list[Sentence]:
        """The sentences of one kind."""
        return [sentence for sentence in self.sentences if sentence.kind == kind]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without possessive endings."""
    return [word.removesuffix("'s") for word in re.findall(r"[\w'-]+", text.lower())]


def key_words(question: str, answer: str) -> list[str]:
    """The words that question and answer share, without common ones: what the question is about.

    Example: key_words("Where is the blue mug?", "the blue mug is somewhere unknown") == ["blue", "mug"]
    """
    asked = set(words_of(question))
    return [word for word in dict.fromkeys(words_of(answer)) if word in asked and word not in _COMMON_WORDS]


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
    written.sentences += _near_misses(base, experiences, _distinct(candidates), has_history)
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
    return first[0] if first and first[0] in _COMMON_WORDS else None


def _near_misses(
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


def thinned(question: str, subject: str, rng: random.Random) -> str:
    """A question without some of its words, but with its subject, such as `is the red mug kept`.

    The student learns the answer behind such questions too: what it should go by is the subject, not a phrasing.
    """
    about = set(subject.split())
    words = question.split()
    return " ".join(word for word in words if about & set(words_of(word)) or rng.random() > THINNED_SHARE)


def tokenize(base: LanguageModel, sentences: Sequence[Sentence]) -> tuple[list[TokenizedSentence], list[list[int]]]:
    """Every sentence as the student sees it (without notes), and the teacher's prompt (with notes) as token ids."""
    without = [
        TokenizedSentence(tuple(base.dialogue.prompt_ids(s.prompt)), tuple(base.dialogue.completion_ids(s.completion)))
        for s in sentences
    ]
    return without, [base.dialogue.prompt_ids(s.prompt, s.notes) for s in sentences]
