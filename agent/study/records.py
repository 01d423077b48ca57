"""What a study hands round: experiences to learn, questions about them, and what was answered.

Knows: records, and which question is valid when. Refuses to know: models, methods, where experiences come from.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Literal

from pydantic import FiniteFloat

from memory_log.fields import Record
from memory_log.records import Fact

QuestionKind = Literal["verbatim", "paraphrase", "new_phrasing", "reverse", "implication", "near_miss", "never_seen"]
"""`verbatim`: in a phrasing that updates teach; `paraphrase`: in one that the model reads and no update teaches;
`new_phrasing`: in one that is in no training text at all; `reverse`: from the answer back to the subject;
`implication`: what follows; `near_miss`: one word that matters is another; `never_seen`: about a stranger.
"""
UNKNOWABLE: Final[tuple[QuestionKind, ...]] = ("near_miss", "never_seen")
"""Kinds whose right answer is that nothing is known."""


class Told(Record):
    """One experience of a stream; `number` is its place there, from 0.

    Example: Told(number=3, text="Mira is in the garden.", facts=(Fact(subject="mira", relation="whereabouts",
        value="in the garden"),))
    """

    number: int
    text: str
    facts: tuple[Fact, ...] = ()

    @property
    def values(self) -> dict[tuple[str, str], str]:
        """What it says, by (subject, relation)."""
        return {(fact.subject, fact.relation): fact.value for fact in self.facts}


class Asked(Record):
    """A question that no update sees. `told` is the experience that answers it; of a near miss, the one it resembles.

    Example: Asked(number=7, told=3, kind="paraphrase", question="Have you seen Mira?",
        answers=("mira is in the garden",), value="in the garden")
    """

    number: int
    told: int
    kind: QuestionKind
    question: str
    answers: tuple[str, ...]
    value: str = ""
    """The words of the answer that matter; empty for near misses, and where whole answers are compared."""


class Stream(Record):
    """Experiences in the order in which they were lived, and every question about them.

    Example: stream.still_valid(stream.asked[0], known=range(5))
    """

    told: tuple[Told, ...]
    asked: tuple[Asked, ...]

    def still_valid(self, asked: Asked, known: Sequence[int]) -> bool:
        """Whether a question's answer is the latest one, for somebody who lived these experiences, in order."""
        values = self.told[asked.told].values
        later = [self.told[number].values for number in known if number > asked.told]
        return asked.told in known and all(
            one.get(key, value) == value for one in later for key, value in values.items()
        )

    def about_its_subject(self, asked: Asked, known: Sequence[int]) -> list[int]:
        """The experience that answers a question, and later ones on the same subject: what a reader would need."""
        subjects = {fact.subject for fact in self.told[asked.told].facts}
        return [
            number
            for number in known
            if number == asked.told
            or (number > asked.told and any(fact.subject in subjects for fact in self.told[number].facts))
        ]

    @cached_property
    def num_changes(self) -> tuple[int, ...]:
        """How often what each experience says had changed until then, this time included, by its number."""
        said: dict[tuple[str, str], list[str]] = {}
        found = []
        for told in self.told:
            for key, value in told.values.items():
                before = said.setdefault(key, [])
                if before[-1:] != [value]:
                    before.append(value)
            found.append(max((len(said[key]) - 1 for key in told.values), default=0))
        return tuple(found)


class AnsweredRow(Record):
    """One question asked once.

    Example: [row for row in line.rows if row.kind == "paraphrase" and row.right]
    """

    asked: int
    kind: QuestionKind
    told: int
    cohort: int
    """The update whose experiences it is about, from 1."""
    num_changes: int
    question: str
    answer: str
    said: str
    right: bool
    exact: float
    """Exact match, normalised as in SQuAD."""
    f1: float
    """Token F1, normalised as in SQuAD."""
    says_unknown: bool
    taught: bool
    """Whether an update of this method was taught with this very question; such rows are in no measure."""
    num_dropped: int = 0
    """Notes that had to be left out of the prompt, because the model cannot read that much."""


class UpdateCost(Record):
    """What one update took. Sentences a step are the most that its settings draw.

    Example: UpdateCost(seconds=12.5, num_steps=52, sentences_per_step=39, num_learned=5, num_bytes_targets=81_000)
    """

    seconds: float
    num_steps: int = 0
    sentences_per_step: int = 0
    num_learned: int = 0
    """Experiences of this update that were learned, or are kept for the prompt."""
    num_refused: int = 0
    reason: str | None = None
    num_bytes_targets: int = 0
    """Stored target sentences of everything learned so far, or the experiences where these are kept."""
    num_bytes_deltas: int = 0
    """Delta files of the whole chain."""
    timed: bool = True
    """False where the process died between the update and this line, so that the seconds are those up to the gate."""


class UpdateLine(Record):
    """One finished update of one method and seed: a line of its `items.jsonl`.

    Example: UpdateLine.model_validate_json(line).update == 1
    """

    update: int
    cost: UpdateCost
    is_point: bool
    """Whether every question that is still valid was asked, and not only the update's own."""
    reading_kept: float | None = None
    """Questions right that one of four notes answers, over those that the base gets right; only at points."""
    drift_nats: dict[str, FiniteFloat] | None = None
    """KL (nats a token) from the base model on unrelated text, by kind and as `all`; only at points, and None where one
    is not finite."""
    rows: tuple[AnsweredRow, ...]
