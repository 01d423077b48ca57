"""Who asks the questions, and judges what was answered.

Knows: what is asked when, how an answer is judged, what weights have kept of the base model. Refuses to know: how a
method learns, what figures mean.
"""

from collections.abc import Sequence
from functools import cached_property
from math import isfinite
from typing import Final

from transformers import PreTrainedModel

from agent.reading_check import Item, num_right, reading_items
from agent.study.courses import Course
from agent.study.drift import KINDS, drift_nats, unrelated_sentences
from agent.study.methods import Learner
from agent.study.records import UNKNOWABLE, AnsweredRow, Asked, Stream
from agent.study.scores import exact_match, normalised, token_f1
from memory_log.errors import BadInput
from updater.generation import fits, generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence

NUM_READING: Final = 200


class Examiner:
    """Asks questions of any learner, and measures what its weights have kept of the base model.

    Args:
        base: theta_0.
        stream: experiences and questions.
        course: what is known when.
        seed: of the reading questions and the unrelated text.
        num_reading: reading questions.
        num_unrelated: unrelated sentences of each kind.
    """

    def __init__(
        self,
        base: LanguageModel,
        stream: Stream,
        course: Course,
        *,
        seed: int,
        num_reading: int,
        num_unrelated: int,
    ) -> None:
        self._base, self._stream, self._course = base, stream, course
        self._exact = base.dialogue.style.language == "household"
        self._seed, self._num_reading, self._num_unrelated = seed, num_reading, num_unrelated

    @cached_property
    def _reading(self) -> list[Item]:
        return reading_items(self._num_reading, num_notes=4, seed=self._seed)

    @cached_property
    def _base_reading(self) -> int:
        return num_right(self._base, self._reading)

    @cached_property
    def _unrelated(self) -> dict[str, list[TokenizedSentence]]:
        return unrelated_sentences(self._base, self._num_unrelated, self._seed)

    def questions(self, update: int) -> list[Asked]:
        """What is asked after an update: its own questions, and at a point everything still valid and what nobody can
        know; before the next update, where the course says so, its paraphrases.
        """
        known = self._course.known(update)
        own, is_point = set(self._course.cohorts[update - 1]), update in self._course.points
        next_cohort = self._course.cohorts[update : update + 1] if self._course.asks_before else ()
        coming = {number for cohort in next_cohort for number in cohort}
        return [
            asked
            for asked in self._stream.asked
            if (asked.told in coming and asked.kind == "paraphrase")
            or (
                asked.told in known
                and (is_point or asked.told in own)
                and (asked.kind not in UNKNOWABLE or is_point or self._course.fresh)
                and (asked.kind in UNKNOWABLE or self._stream.still_valid(asked, known))
            )
        ]

    def rows(self, learner: Learner, update: int) -> tuple[AnsweredRow, ...]:
        """Every question after an update with its answer."""
        asked = self.questions(update)
        fitted = [fitted_prompt(self._base, one.question, learner.notes(one)) for one in asked]
        said = generate_texts(learner.model, self._base.dialogue, [prompt for prompt, _ in fitted])
        return tuple(
            self._row(one, text, taught=learner.was_taught(one.question), num_dropped=num_dropped)
            for one, text, (_, num_dropped) in zip(asked, said, fitted, strict=True)
        )

    def _row(self, asked: Asked, said: str, *, taught: bool, num_dropped: int) -> AnsweredRow:
        says_unknown = self._base.dialogue.says_unknown(said)
        return AnsweredRow(
            asked=asked.number,
            kind=asked.kind,
            told=asked.told,
            cohort=self._course.cohort_of(asked.told),
            num_changes=self._stream.num_changes[asked.told],
            question=asked.question,
            answer=asked.answers[0],
            said=said,
            right=self._is_right(asked, said, says_unknown=says_unknown),
            exact=exact_match(said, asked.answers),
            f1=token_f1(said, asked.answers),
            says_unknown=says_unknown,
            taught=taught,
            num_dropped=num_dropped,
        )

    def _is_right(self, asked: Asked, said: str, *, says_unknown: bool) -> bool:
        """As the demo judges: to the word for a model of the household, else the value; else SQuAD's exact match."""
        if asked.kind in UNKNOWABLE:
            return says_unknown
        if self._exact and (asked.value or asked.kind == "implication"):
            return said == asked.answers[0]
        if asked.kind == "implication":  # yes or no comes first
            return normalised(said)[:1] == normalised(asked.answers[0])[:1]
        if not asked.value:
            return exact_match(said, asked.answers) == 1.0
        return not says_unknown and asked.value in said.lower()

    def reading_kept(self, model: PreTrainedModel) -> float | None:
        """Questions right that one of four notes in the prompt answers, over those that the base gets right; None where
        the base gets none right.
        """
        if model is self._base.model:
            return 1.0
        return num_right(self._base, self._reading, model=model) / self._base_reading if self._base_reading else None

    def drift_nats(self, model: PreTrainedModel) -> dict[str, float] | None:
        """How far the model is from the base on unrelated text, by kind; None where that is not finite."""
        if model is self._base.model:
            return dict.fromkeys((*KINDS, "all"), 0.0)
        found = drift_nats(self._base, model, self._unrelated)
        return found if all(map(isfinite, found.values())) else None


def fitted_prompt(base: LanguageModel, question: str, notes: Sequence[str]) -> tuple[list[int], int]:
    """A prompt that the model can read, and how many of its notes, the oldest, had to go for that.

    Raises:
        BadInput: the question alone is too long.
    """
    prompt = base.dialogue.prompt_ids(question, notes)
    if fits(prompt, base.context_length):
        return prompt, 0
    kept = base.dialogue.prompt_ids(question, [])
    if not fits(kept, base.context_length):
        raise BadInput(
            f"a question takes {len(kept)} tokens and the model reads {base.context_length}, some of them kept "
            f"for the answer; leave it out: {question[:80]!r}"
        )
    too_few, enough = 0, len(notes)
    while enough - too_few > 1:
        num_dropped = (too_few + enough) // 2
        prompt = base.dialogue.prompt_ids(question, notes[num_dropped:])
        if fits(prompt, base.context_length):
            enough, kept = num_dropped, prompt
        else:
            too_few = num_dropped
    return kept, enough
