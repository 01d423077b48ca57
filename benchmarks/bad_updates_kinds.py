"""Updates that go wrong on purpose: each kind is an ordinary `Updater` with one part that is not what it should be.

Knows: how an update can be spoiled through its trainer, its settings or its teacher. Refuses to know: what becomes of
it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from updater.delta import Change, LowRank
from updater.dialogue import Dialogue
from updater.language_model import LanguageModel
from updater.settings import GateSettings, UpdateSettings
from updater.targets import TeacherTargets
from updater.training import Trainer, TrainingResult, TrainingSet, train

RATE_FACTOR: Final = 100.0
NOISE: Final = 0.5


@dataclass(frozen=True)
class Parts:
    """The parts of an updater that a kind may spoil."""

    base: LanguageModel
    settings: UpdateSettings
    trainer: Trainer = train
    gate: GateSettings = field(default_factory=GateSettings)


def training_on(change: Callable[[TrainingSet], TrainingSet]) -> Trainer:
    """A trainer that is handed other sentences than the gate measures."""

    def trainer(theta_n: PreTrainedModel, sentences: TrainingSet, *rest: Any, **named: Any) -> TrainingResult:  # noqa: ANN401
        return train(theta_n, change(sentences), *rest, **named)

    return trainer


def giving(change: Callable[[Mapping[str, Change]], dict[str, Change]]) -> Trainer:
    """A trainer whose result is changed after the last step."""

    def trainer(theta_n: PreTrainedModel, sentences: TrainingSet, *rest: Any, **named: Any) -> TrainingResult:  # noqa: ANN401
        result = train(theta_n, sentences, *rest, **named)
        return result._replace(changes=change(result.changes))

    return trainer


def with_nan_gradients(sentences: TrainingSet) -> TrainingSet:
    """The first question's expectations are NaN, and so is the gradient of each step that draws it."""
    first, *others = sentences.questions
    return sentences._replace(questions=[replace(first, top_logprobs_TK=first.top_logprobs_TK * float("nan")), *others])


def with_answers_of_others(sentences: TrainingSet) -> TrainingSet:
    """Every question about the batch gets the answer, and the teacher's expectations, of an earlier experience."""
    donors = list(sentences.replay_questions)
    return sentences._replace(questions=_answered_by(sentences.questions, donors))


def with_shuffled_kept(sentences: TrainingSet) -> TrainingSet:
    """What is to be kept gets the answers of its neighbours: replay and anchors teach untruths."""
    kept = {name: list(getattr(sentences, name)) for name in ("replay_questions", "anchors", "reading_anchors")}
    turned = {name: _answered_by(mine, mine[len(mine) // 2 :] + mine[: len(mine) // 2]) for name, mine in kept.items()}
    return sentences._replace(**turned)


def _answered_by(asked: Sequence[TeacherTargets], donors: Sequence[TeacherTargets]) -> list[TeacherTargets]:
    found = []
    for index, target in enumerate(asked):
        donor = donors[index % len(donors)]
        sentence = donor.sentence._replace(prompt_ids=target.sentence.prompt_ids)
        found.append(replace(donor, sentence=sentence))
    return found


def one_value_nan(changes: Mapping[str, Change]) -> dict[str, Change]:
    """One single value of one change is NaN."""
    name, change = next(iter(changes.items()))
    spoiled = change[-1].clone()
    spoiled[0, 0] = float("nan")
    return {**changes, name: _with_last(change, spoiled)}


def with_noise(changes: Mapping[str, Change]) -> dict[str, Change]:
    """Noise over every change, as of a file that was written by a broken machine: finite, and harmful."""
    generator = torch.Generator().manual_seed(0)

    def noisy(change: Change) -> Change:
        noise = torch.randn(change[-1].shape, generator=generator).to(change[-1].device)
        return _with_last(change, change[-1] + NOISE * noise)

    return {name: noisy(change) for name, change in changes.items()}


def _with_last(change: Change, last: torch.Tensor) -> Change:
    """The same change with another last tensor: B of factors, or the difference itself."""
    return change._replace(B=last) if isinstance(change, LowRank) else change._replace(D=last)


class DeafDialogue(Dialogue):
    """Leaves the notes out of every prompt: a teacher that answers with the experience as it does without."""

    def prompt_ids(self, question: str, notes: Sequence[str] = ()) -> list[int]:
        """The prompt without its notes."""
        return super().prompt_ids(question)


class StuckDialogue(Dialogue):
    """Reads the first notes that it was ever shown in place of all later ones."""

    _first: tuple[str, ...] = ()

    def prompt_ids(self, question: str, notes: Sequence[str] = ()) -> list[int]:
        """The prompt with the first notes, where it should have any."""
        self._first = self._first or tuple(note for note in notes if note)
        return super().prompt_ids(question, self._first if notes else ())


def teacher_with(kind: type[Dialogue], base: LanguageModel) -> LanguageModel:
    """The same weights behind another way of speaking."""
    speech = base.dialogue
    return replace(base, dialogue=kind(speech.tokenizer, speech.style, more_eos_token_ids=speech.eos_token_ids))


def too_fast(settings: UpdateSettings) -> UpdateSettings:
    """A learning rate a hundred times too high."""
    return settings.model_copy(update={"learning_rate": RATE_FACTOR * settings.learning_rate})


KINDS: Final[Mapping[str, Callable[[Parts], Parts]]] = {
    "nan_gradients": lambda parts: replace(parts, trainer=training_on(with_nan_gradients)),
    "nan_factor": lambda parts: replace(parts, trainer=giving(one_value_nan)),
    "rate_x100": lambda parts: replace(parts, settings=too_fast(parts.settings)),
    "answers_of_others": lambda parts: replace(parts, trainer=training_on(with_answers_of_others)),
    "shuffled_replay_and_anchors": lambda parts: replace(parts, trainer=training_on(with_shuffled_kept)),
    "noise": lambda parts: replace(parts, trainer=giving(with_noise)),
    "deaf_teacher": lambda parts: replace(parts, base=teacher_with(DeafDialogue, parts.base)),
    "stuck_teacher": lambda parts: replace(parts, base=teacher_with(StuckDialogue, parts.base)),
}
"""Every kind by name: from sound parts to parts of which one is not."""
