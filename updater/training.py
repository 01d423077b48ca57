"""Training one update: a copy of theta_n against stored teacher targets.

Knows: minibatches, the optimisation, when to stop. Refuses to know: the objective's gradients (`gradients.py`), where
targets come from, the log.
"""

import functools
import itertools
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import torch
from transformers import PreTrainedModel

from updater.adapters import learned_change, trainable
from updater.covariance import change_penalty, changed_layers, input_roots
from updater.delta import Change
from updater.gradients import accumulate_gradients, mean_kl, mean_or_zero, weighted_sentences
from updater.memory import halving
from updater.products import spare_passes
from updater.report import EndedBy
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, sentence_kl

CHECK_EVERY: Final = 13
WARMUP_STEPS: Final = 4
LAST_RATE: Final = 0.02
COOL_DOWN_STEPS: Final = 8
READING_EVERY: Final = 8  # steps; NUM_READING anchors with notes are then taken, long ones together
NUM_READING: Final = 4


class TrainingSet(NamedTuple):
    """The sentences of one update. `held_out` is about the batch as well, and only watched."""

    questions: Sequence[TeacherTargets]
    near_misses: Sequence[TeacherTargets]
    held_out: Sequence[TeacherTargets]
    anchors: Sequence[TeacherTargets]
    reading_anchors: Sequence[TeacherTargets]
    replay_questions: Sequence[TeacherTargets]
    replay_near_misses: Sequence[TeacherTargets]


class TrainingResult(NamedTuple):
    """What was learned, and how far it went."""

    changes: dict[str, Change]
    num_steps: int
    held_out_kl_nats: float
    ended_by: EndedBy


class Trainer(Protocol):
    """What turns sentences into factors, such as `train`, whose words these are."""

    def __call__(
        self,
        theta_n: PreTrainedModel,
        sentences: TrainingSet,
        settings: UpdateSettings,
        *,
        seed: int,
        pad_token_id: int,
        progress: Callable[[int, int], None],
        seconds_left: Callable[[], float],
    ) -> TrainingResult:
        """Minimise the objective from theta_n; theta_n itself stays as it is."""
        ...


class Sampler:
    """Minibatches without end, half of them in turn and half by difficulty.

    The turn takes every item once, in random order, before any comes again. The other half are the items whose last
    known KL is highest: most sentences are soon right, and steps spent on them teach nothing.
    """

    def __init__(
        self, items: Sequence[TeacherTargets], size: int, rng: random.Random, last_kl: Sequence[float] = ()
    ) -> None:
        self._items, self._size, self._rng = list(items), min(size, len(items)), rng
        self._last_kl = list(last_kl) or [0.0] * len(items)
        self._queue: list[int] = []
        self._taken: list[int] = []

    def take(self) -> list[TeacherTargets]:
        """The next minibatch; empty when there is nothing to draw from."""
        hardest = sorted(range(len(self._items)), key=lambda index: -self._last_kl[index])[: self._size // 2]
        self._taken = [index for index in hardest if self._last_kl[index] > 0]
        while len(self._taken) < self._size:
            if not self._queue:
                self._queue = self._rng.sample(range(len(self._items)), len(self._items))
            index = self._queue.pop()
            if index not in self._taken:
                self._taken.append(index)
        return [self._items[index] for index in self._taken]

    def note(self, kl_nats: Sequence[float]) -> None:
        """Remember how far off the sentences of the last minibatch were."""
        for index, value in zip(self._taken, kl_nats, strict=True):
            self._last_kl[index] = value


def most_steps(settings: UpdateSettings, num_questions: int) -> int:
    """Most steps of an update: enough of them to take every question about the batch often enough."""
    a_step = settings.batch_about - round(settings.near_miss_share * settings.batch_about)
    return max(settings.num_steps, math.ceil(settings.least_passes * num_questions / max(1, a_step)))


def rate_at(step: int, share_done: float, settings: UpdateSettings) -> float:
    """Warm-up, then linear to next to nothing: what the last steps leave is not their noise."""
    return settings.learning_rate * min((step + 1) / WARMUP_STEPS, 1.0 - (1.0 - LAST_RATE) * share_done)


def cooled_down(step: int, last_step: int, ended_by: EndedBy, cause: EndedBy) -> tuple[int, EndedBy]:
    """The last step and what ends training, once a cause asks for a cool-down; what asked before stands."""
    cooled = step + COOL_DOWN_STEPS
    return (cooled, cause) if cooled < last_step else (last_step, ended_by)


def train(
    theta_n: PreTrainedModel,
    sentences: TrainingSet,
    settings: UpdateSettings,
    *,
    seed: int,
    pad_token_id: int,
    progress: Callable[[int, int], None],
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> TrainingResult:
    """Minimise the objective from theta_n; theta_n itself stays as it is.

        L = mean KL(about) + lambda_anchor * mean KL(anchors) + lambda_replay * mean KL(replay)
            + lambda_layers * what the change adds to layers' outputs on anchors (`updater/covariance.py`)

    Args:
        theta_n: the lineage's present weights.
        sentences: what to learn, what to watch, what to keep.
        settings: steps, sizes, weights, learning rate, and the KL below which training ends early.
        seed: of the factors' initialisation and of the minibatches.
        pad_token_id: any valid id.
        progress: called with (steps done, most steps).
        seconds_left: of the time that training may take; it cools down when only that much is left.

    Raises:
        OutOfMemory: not even one sentence at a time fits into memory.
    """
    rng = random.Random(seed)
    # Only the factors' start uses torch's own chance; the caller's stream goes on as if it had not.
    with torch.random.fork_rng(devices=[theta_n.device] if theta_n.device.type == "cuda" else []):
        torch.manual_seed(seed)
        to_train = trainable(theta_n, settings)
    spare_passes(to_train.student)
    student, trained = to_train.student, to_train.parameters
    optimizer = torch.optim.AdamW(to_train.groups, lr=settings.learning_rate, weight_decay=0.0)
    # Near misses outnumber questions; drawn together, they would teach and keep `unknown` before anything else.
    about_misses = round(settings.near_miss_share * settings.batch_about)
    replay_misses = round(settings.replay_near_miss_share * settings.batch_replay)
    unrelated = (
        [one.sentence for one in (*sentences.anchors, *sentences.reading_anchors)] if settings.layer_weight else []
    )
    roots = input_roots(theta_n, changed_layers(student), unrelated, pad_token_id, seed)

    def kept(items: Sequence[TeacherTargets], size: int) -> Sampler:
        return Sampler(items, size, rng, sentence_kl(theta_n, items, pad_token_id))

    samplers = [
        Sampler(sentences.questions, settings.batch_about - about_misses, rng),
        Sampler(sentences.near_misses, about_misses, rng),
        kept(sentences.replay_questions, settings.batch_replay - replay_misses),
        kept(sentences.replay_near_misses, replay_misses),
        kept(sentences.anchors, settings.batch_anchors),
    ]
    reading = kept(sentences.reading_anchors, NUM_READING)
    last_step = most_steps(settings, len(sentences.questions))
    held_out_kl, step, share_done = float("inf"), 0, 0.0
    started = time.monotonic()
    ended_by: EndedBy = "steps"
    while step < last_step:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, share_done, settings) * group["rate_ratio"]
        minibatches = [sampler.take() for sampler in samplers]
        read = reading.take() if step % READING_EVERY == 0 else []
        weighted = weighted_sentences(minibatches, read, settings)
        kl_nats = halving(
            functools.partial(accumulate_gradients, student, weighted, pad_token_id),
            most=len(weighted), model=theta_n, work="training",
        )  # fmt: skip
        if roots:
            (settings.layer_weight * change_penalty(student, theta_n, roots)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rest = iter(kl_nats)
        for sampler, minibatch in zip([*samplers, reading], [*minibatches, read], strict=True):
            if minibatch:
                sampler.note(list(itertools.islice(rest, len(minibatch))))
        share_done += (1.0 - share_done) / (last_step - step)
        step += 1
        progress(step, last_step)
        if not math.isfinite(sum(kl_nats)):
            ended_by = "not finite"  # no step comes back from there
            break
        if step % CHECK_EVERY == 0 or step == last_step:
            held_out_kl = mean_kl(student, sentences.held_out, pad_token_id, model=theta_n)
            about_end = sum(len(part) for part in minibatches[:2])
            replayed_kl = kl_nats[about_end : about_end + sum(len(part) for part in minibatches[2:4])]
            furthest_kl = max(held_out_kl, mean_or_zero(replayed_kl))
            if sentences.held_out and furthest_kl < settings.stop_kl_nats:
                # Not at once: at a high learning rate the weights are still far off on what was learned earlier.
                last_step, ended_by = cooled_down(step, last_step, ended_by, "kl")
        cool_down_seconds = (COOL_DOWN_STEPS + 1) * (time.monotonic() - started) / step
        if seconds_left() < cool_down_seconds:
            last_step, ended_by = cooled_down(step, last_step, ended_by, "budget")
    return TrainingResult(learned_change(student, theta_n), step, held_out_kl, ended_by)
