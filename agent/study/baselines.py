"""Baselines that train: the real updater, with another training set for its optimisation run and a gate that admits
everything finite.

Knows: what each baseline leaves out or replaces. Refuses to know: protocols, measures. Because all else is the
updater's own, a baseline learns from the same written sentences in the same number of steps, and its chain of versions
is stored, resumed and folded as ours is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from agent.memory import anchors_for
from agent.study.methods import LINEAGE, OWNER, Trained
from agent.study.records import Told, UpdateCost
from updater.language_model import LanguageModel
from updater.report import UpdateReport
from updater.sequences import TokenizedSentence
from updater.settings import GateSettings, UpdateSettings
from updater.targets import TeacherTargets
from updater.training import TrainingResult, TrainingSet, train
from updater.update import Updater

ANY: Final = 1e9
"""A bound that everything finite keeps."""

Change = Callable[[TrainingSet], TrainingSet]


def open_gate() -> GateSettings:
    """A gate without bounds: baselines serve whatever they learn, as long as it is finite."""
    return GateSettings.model_validate(
        {name: -ANY if name.startswith("min_") else ANY for name in GateSettings.model_fields}
    )


def without_anchors(sentences: TrainingSet) -> TrainingSet:
    """Nothing that the model must not move on."""
    return sentences._replace(anchors=[], reading_anchors=[])


def without_replay(sentences: TrainingSet) -> TrainingSet:
    """Nothing of earlier updates."""
    return sentences._replace(replay_questions=[], replay_near_misses=[])


def one_hot(target: TeacherTargets) -> TeacherTargets:
    """The same sentence with all probability on its own tokens: the KL to it is the cross-entropy."""
    ids_TK = torch.tensor(target.sentence.completion_ids, dtype=torch.int32).unsqueeze(-1)
    return replace(target, top_ids_TK=ids_TK, top_logprobs_TK=torch.zeros(ids_TK.shape, dtype=torch.float16))


def as_cross_entropy(sentences: TrainingSet) -> TrainingSet:
    """The same sentences, every one with its own tokens as target instead of the teacher's expectations."""
    return TrainingSet(*([one_hot(target) for target in part] for part in sentences))


class Baseline(Trained):
    """One method that trains otherwise than ours.

    Args:
        base: theta_0.
        folder: of its log and blobs.
        settings: how an update is made; what a baseline leaves out of a step is filled up with the batch's sentences.
        change: of the training set.
    """

    def __init__(self, base: LanguageModel, folder: Path, settings: UpdateSettings, change: Change) -> None:
        super().__init__(base, folder, settings)
        self._change = change
        self._updater = Updater(
            base, self.log, self.blobs, anchors=anchors_for(base), owner=OWNER, settings=settings, gate=open_gate(),
            trainer=self._trained,
        )  # fmt: skip

    def update(self, *, limit: int) -> UpdateReport:
        """One update with another training set."""
        return self._updater.update(LINEAGE, limit=limit)

    def _trained(
        self,
        theta_n: PreTrainedModel,
        sentences: TrainingSet,
        settings: UpdateSettings,
        **options: Any,  # noqa: ANN401 - handed on
    ) -> TrainingResult:
        return train(theta_n, self._change(sentences), settings, **options)


class RawText(Baseline):
    """Cross-entropy on the experiences' own text, word by word, and on nothing else."""

    def __init__(self, base: LanguageModel, folder: Path, settings: UpdateSettings) -> None:
        self._texts: list[TeacherTargets] = []
        super().__init__(base, folder, settings, self._as_text)

    def learn(self, told: Sequence[Told]) -> UpdateCost:
        """One update on these texts."""
        self._texts = [raw_text(self.base, one.text) for one in told]
        return super().learn(told)

    def _as_text(self, sentences: TrainingSet) -> TrainingSet:
        return TrainingSet(*([] for _ in sentences))._replace(questions=self._texts)


def raw_text(base: LanguageModel, text: str) -> TeacherTargets:
    """A text as a sentence without prompt: every token of it is learned, given those before it."""
    tokenizer = base.dialogue.tokenizer
    start = tokenizer.bos_token_id
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    first = (start if start is not None else base.dialogue.pad_token_id,)
    sentence = TokenizedSentence(first, tuple(ids))
    nothing = torch.zeros((len(ids), 1))
    return one_hot(TeacherTargets(sentence, nothing, nothing))


def baseline_settings(method: str, settings: UpdateSettings, *, num_updates: int) -> UpdateSettings:
    """Settings with which a baseline sees as many sentences a step as ours, and each of them as often.

    Args:
        method: the baseline's name.
        settings: ours.
        num_updates: how many updates' experiences it learns at once: 1, but for `fresh_lora`.
    """
    about, replay, anchors = settings.batch_about, settings.batch_replay, settings.batch_anchors
    changed: dict[str, dict[str, float]] = {
        "kl_no_anchors": {"batch_about": about + anchors},
        "kl_no_replay": {"batch_about": about + replay},
        "ce_raw": {"batch_about": about + replay + anchors, "near_miss_share": 0.0},
        "fresh_lora": {"num_steps": settings.num_steps * num_updates, "batch_about": about + replay},
    }
    return settings.model_copy(update=changed.get(method, {}))
