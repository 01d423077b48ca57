"""Writing target sentences: what writers ask and state about an experience, and what the teacher makes of it.

Knows: answering questions with the experience in the prompt, checking statements, dropping what is of no use and saying
why. Refuses to know: who the writers are, weights other than theta_0, the log (a function tells whether a subject has a
history).

All phrasings of a question lead the embedded model into the same restated words (docs/adr/0002), so a dozen questions
about an experience are enough, and near misses are what must be many: the red mug is not every mug.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memory_log.records import Experience
from updater.anchors import Anchor
from updater.candidates import Candidate, Dropped, Wanted, Writer, distinct, drop
from updater.diversity import diversities
from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.naming import named
from updater.near_misses import exchanged_words, unknown_to_base
from updater.sentences import COMMON_WORDS, Sentence, consistent, key_words, with_held_out, words_of
from updater.settings import UpdateSettings, WritingSettings
from updater.support import supported
from updater.writers import MAX_STATEMENT_TOKENS, written_by_model


@dataclass
class WrittenSentences:
    """What was written about a batch."""

    sentences: list[Sentence] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    num_sampled: int = 0
    """Candidates that the writers gave."""
    unasked: set[int] = field(default_factory=set)
    """Experiences about which no question was given."""
    num_candidates: int = 0
    """Near-miss candidates before duplicates, known ones and ones with a history went."""

    def of_kind(self, kind: str) -> list[Sentence]:
        """The sentences of one kind."""
        return [sentence for sentence in self.sentences if sentence.kind == kind]


def wanted_about(base: LanguageModel, settings: UpdateSettings, num_experiences: int) -> Wanted:
    """What an update of so many experiences asks its writers for; no restatements for a model that is told of none."""
    least = -(-settings.min_samples // max(1, num_experiences))
    return Wanted(
        questions=max(least, settings.questions_per_experience),
        implications=settings.writing.implications_per_experience,
        restatements=settings.writing.restatements_per_experience if base.dialogue.style.state_known else 0,
        near_misses=settings.near_misses_per_experience,
    )


def write_sentences(
    base: LanguageModel,
    experiences: Sequence[Experience],
    settings: UpdateSettings,
    *,
    seed: int,
    strangers: Sequence[Anchor],
    has_history: Callable[[Sequence[str], int], bool],
    writer: Writer = written_by_model,
) -> WrittenSentences:
    """Write target sentences and near misses about a batch.

    Questions come from the writer and are answered by the model with the experience in its prompt; statements are
    checked against it (`support.py`). Near misses are questions about what the experience does not name: written by the
    model on request, or one of the questions with one word of the subject exchanged. They are answered without notes,
    because an experience says nothing about them, and a small model reads a near miss wrongly more often than it
    invents an answer to it.

    Args:
        base: theta_0, which answers and checks.
        experiences: the batch, one context each.
        settings: how many to write, and the held-out share.
        seed: of sampling and of the held-out choice.
        strangers: anchors about unrelated subjects: where exchanged words come from.
        has_history: (words, experience id) -> whether the lineage holds another experience about all of these words;
            such near misses are dropped, because they would erase older knowledge.
        writer: who writes.
    """
    rng = random.Random(seed)
    given = writer(base, experiences, wanted_about(base, settings, len(experiences)), seed)
    written = WrittenSentences(num_sampled=len(given))
    questions, repeated = distinct(one for one in given if one.kind == "question")
    statements, repeated_statements = distinct(one for one in given if one.kind == "restatement")
    written.dropped += [*repeated, *repeated_statements]

    written.unasked = {one.id for one in experiences} - {one.experience.id for one in questions}
    asked, strange = _answered(base, questions, written)
    written.sentences = asked + _stated(base, statements, asked, settings.writing, seed, written)
    misses = [(one.experience, one.text) for one in given if one.kind == "near_miss"] + strange
    by_id = {experience.id: experience for experience in experiences}
    for sentence in asked:
        misses += [
            (by_id[sentence.experience_id], exchanged)
            for exchanged in exchanged_words(sentence, strangers, settings.exchanges_per_question, rng)
        ]
    written.num_candidates = len(misses)
    written.sentences += _near_misses(base, experiences, misses, has_history, written)
    written.sentences = with_held_out(_with_diversity(written.sentences), settings.held_out_share, rng)
    return written


def _answered(
    base: LanguageModel, questions: Sequence[Candidate], written: WrittenSentences
) -> tuple[list[Sentence], list[tuple[Experience, str]]]:
    """The questions with the teacher's answers, and those about something else, which may be near misses."""
    prompts = [base.dialogue.prompt_ids(one.text, [one.experience.text]) for one in questions]
    answered, strange = list[tuple[Sentence, Candidate]](), list[tuple[Experience, str]]()
    for one, answer in zip(questions, generate_texts(base.model, base.dialogue, prompts), strict=True):
        words = key_words(one.text, answer)
        if not words or not set(words) <= set(words_of(one.experience.text)):
            strange.append((one.experience, one.text))
        elif base.dialogue.says_unknown(answer):
            written.dropped.append(drop(one, "unknown"))
        elif not _holds(answer, one.expects):
            written.dropped.append(drop(one, "misread"))
        else:
            sentence = Sentence(
                one.experience.id, "question", (one.experience.text,), one.text, answer, " ".join(words)
            )
            answered.append((sentence, one))
    kept = consistent([sentence for sentence, _ in answered])
    written.dropped += [drop(one, "misread") for sentence, one in answered if sentence not in set(kept)]
    return kept, strange


def _holds(answer: str, expected: str) -> bool:
    """Whether an answer holds every word that matters of what is expected."""
    return set(words_of(expected)) - COMMON_WORDS <= set(words_of(answer))


def _stated(
    base: LanguageModel,
    statements: Sequence[Candidate],
    asked: Sequence[Sentence],
    settings: WritingSettings,
    seed: int,
    written: WrittenSentences,
) -> list[Sentence]:
    """The statements that the teacher supports, each behind the question for what is known about its subject."""
    subjects: dict[int, Counter[str]] = {}
    for sentence in asked:
        subjects.setdefault(sentence.experience_id, Counter())[sentence.subject] += 1
    found = list[tuple[Sentence, Candidate]]()
    for one in statements:
        said = set(words_of(one.text))
        most_asked = [subject for subject, _ in subjects.get(one.experience.id, Counter()).most_common()]
        subject = next((subject for subject in most_asked if set(subject.split()) <= said), None)
        if not base.dialogue.style.state_known:
            written.dropped.append(drop(one, "not asked for"))
        elif subject is None:
            written.dropped.append(drop(one, "about something else"))
        elif len(base.dialogue.completion_ids(one.text)) > MAX_STATEMENT_TOKENS:
            written.dropped.append(drop(one, "too long"))
        else:
            prompt = base.dialogue.style.state_known.replace("{subject}", named(subject, one.experience.text))
            notes = (one.experience.text,)
            found.append((Sentence(one.experience.id, "restatement", notes, prompt, one.text, subject), one))
    verdicts = supported(
        base, [sentence for sentence, _ in found], seed=seed, num_questions=settings.questions_per_statement,
        min_support_nats=settings.min_support_nats, min_agreement=settings.min_agreement,
    )  # fmt: skip
    judged = list(zip(found, verdicts, strict=True))
    written.dropped += [drop(one, "unsupported") for (_, one), is_supported in judged if not is_supported]
    return [sentence for (sentence, _), is_supported in judged if is_supported]


def _near_misses(
    base: LanguageModel,
    experiences: Sequence[Experience],
    misses: Sequence[tuple[Experience, str]],
    has_history: Callable[[Sequence[str], int], bool],
    written: WrittenSentences,
) -> list[Sentence]:
    """The near misses among the candidates for them."""
    candidates, repeated = distinct(Candidate(experience, "near_miss", text) for experience, text in misses)
    found = unknown_to_base(base, experiences, [(one.experience, one.text) for one in candidates], has_history)
    kept = {(sentence.experience_id, sentence.prompt) for sentence in found}
    known = [drop(one, "no near miss") for one in candidates if (one.experience.id, one.text) not in kept]
    written.dropped += [*repeated, *known]
    return found


def _with_diversity(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Every sentence with its diversity among those of its kind about its experience."""
    found = list(sentences)
    for kind in dict.fromkeys(sentence.kind for sentence in sentences):
        places = [place for place, sentence in enumerate(sentences) if sentence.kind == kind]
        values = diversities(
            [sentences[place].own_text for place in places], [sentences[place].experience_id for place in places]
        )
        for place, value in zip(places, values, strict=True):
            found[place] = found[place]._replace(diversity=value)
    return found
