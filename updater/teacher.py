"""Teachers: whose expectations, with the experience in the prompt, an update teaches.

Knows: the weights that may teach, and what they expect. Refuses to know: where sentences come from, how a student is
trained.

Whoever teaches, sentences are written and answered by theta_0, and anchors stay theta_0's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memory_log.log import MemoryLog
from updater.fold import VersionWeights, load_weights
from updater.language_model import LanguageModel
from updater.sentences import Sentence, tokenize
from updater.settings import TeacherSettings
from updater.targets import TeacherTargets, compute_targets, sentence_kl

Teacher = Callable[[str], PreTrainedModel]
"""(lineage) -> the model that teaches its next update. It holds until the next call."""


class Taught(NamedTuple):
    """A sentence with what its teacher expects, and what there is to learn in it."""

    sentence: Sentence
    """With its context gain."""
    targets: TeacherTargets


def teacher_of(
    settings: TeacherSettings, base: LanguageModel, versions: VersionWeights, log: MemoryLog, spare: PreTrainedModel
) -> Teacher:
    """The teacher that the settings name.

    Args:
        settings: whose weights teach.
        base: theta_0.
        versions: where the weights of other teachers come from.
        log: says which version a lineage has come to.
        spare: a copy of theta_0's model whose weights may be overwritten at every call.
    """
    averages: dict[str, tuple[int, dict[str, Tensor]]] = {}

    def current(lineage: str) -> PreTrainedModel:
        load_weights(spare, versions.fold(versions.sums(lineage, log.head(lineage).number)))
        return spare

    def average(lineage: str) -> PreTrainedModel:
        averages[lineage] = _average(lineage, versions, log, settings.average_decay, averages.get(lineage))
        load_weights(spare, versions.fold(averages[lineage][1]))
        return spare

    return {"base": lambda lineage: base.model, "current": current, "average": average}[settings.weights]


def moved_average(average: Mapping[str, Tensor], weights: Mapping[str, Tensor], decay: float) -> dict[str, Tensor]:
    """The moving average once another version has joined it: decay * average + (1 - decay) * weights, by name."""
    return {name: torch.lerp(weights[name], average[name], decay) for name in average}


def _average(
    lineage: str,
    versions: VersionWeights,
    log: MemoryLog,
    decay: float,
    kept: tuple[int, dict[str, Tensor]] | None,
) -> tuple[int, dict[str, Tensor]]:
    """The head's number and the average over its chain from theta_0 on, or from where a kept one ends."""
    head = log.head(lineage).number
    numbers = [0, *(version.number for version in log.chain(lineage, head) if version.number > 0)]
    done, average = kept if kept is not None and kept[0] in numbers else (0, versions.sums(lineage, 0))
    for number in numbers:
        if number > done:
            average = moved_average(average, versions.sums(lineage, number), decay)
    return head, average


def taught(teacher: PreTrainedModel, base: LanguageModel, sentences: Sequence[Sentence], k: int) -> list[Taught]:
    """What the teacher expects of every sentence with its notes, and the sentence with its context gain.

    Context gain: KL (nats a token) between the teacher with the notes and the teacher without.
    """
    if not sentences:
        return []
    pad = base.dialogue.pad_token_id
    without, contexts = tokenize(base, sentences)
    targets = compute_targets(teacher, without, contexts, k=k, pad_token_id=pad)
    gains = sentence_kl(teacher, targets, pad)
    return [
        Taught(sentence._replace(gain_nats=gain), target)
        for sentence, target, gain in zip(sentences, targets, gains, strict=True)
    ]
