"""Training one update: LoRA on theta_n against stored teacher targets.

Knows: the three terms of the objective, minibatches, the optimisation, when to stop. Refuses to know: where targets
come from, the log.
"""

import copy
import functools
import random
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from updater.delta import LowRank
from updater.objective import sentence_mean
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, kl_per_position

CHECK_EVERY: Final = 8
WARMUP_STEPS: Final = 4


class TrainingSet(NamedTuple):
    """The sentences of one update. `held_out` is about the batch as well, and only watched."""

    about: Sequence[TeacherTargets]
    held_out: Sequence[TeacherTargets]
    anchors: Sequence[TeacherTargets]
    reading_anchors: Sequence[TeacherTargets]
    replay: Sequence[TeacherTargets]


class TrainingResult(NamedTuple):
    """The factors that were learned, and how far it went."""

    factors: dict[str, LowRank]
    num_steps: int
    held_out_kl_nats: float


class Cycle:
    """Minibatches without end: every item once, in random order, before any comes again."""

    def __init__(self, items: Sequence[TeacherTargets], size: int, rng: random.Random) -> None:
        self._items, self._size, self._rng = list(items), min(size, len(items)), rng
        self._queue: list[TeacherTargets] = []

    def take(self) -> list[TeacherTargets]:
        """The next minibatch; empty when there is nothing to draw from."""
        while len(self._queue) < self._size:
            self._queue += self._rng.sample(self._items, len(self._items))
        taken, self._queue = self._queue[: self._size], self._queue[self._size :]
        return taken


def attach_lora(theta_n: PreTrainedModel, settings: UpdateSettings) -> Any:  # noqa: ANN401 - peft's model has no useful static type
    """A copy of theta_n with LoRA factors on every linear layer; only they train."""
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.rank, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    student = copy.deepcopy(theta_n)
    if student.device.type == "cpu":
        # The fused kernel's bfloat16 backward is the slowest part of a step on CPUs.
        student.set_attn_implementation("eager")
    with warnings.catch_warnings():
        # peft asks transformers for it.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        # It sets that by itself, layer by layer.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        return get_peft_model(student, config)


def learned_factors(student: Any) -> dict[str, LowRank]:  # noqa: ANN401
    """The factors of every adapted weight by the base model's parameter name, with the scale multiplied into B."""
    factors = {}
    for name, module in student.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            down: Any = module.lora_A["default"]
            up: Any = module.lora_B["default"]
            A, B = down.weight.detach().float().clone(), (up.weight.detach() * module.scaling["default"]).float()
            # Some models (GPT-2's kind) store a layer as [in, out]; its change is then A^T B^T.
            factors[f"{name}.weight"] = LowRank(B.T, A.T) if module.fan_in_fan_out else LowRank(A, B)
    return factors


def group_kl(model: Any, groups: Sequence[Sequence[TeacherTargets]], pad_token_id: int) -> list[torch.Tensor]:  # noqa: ANN401
    """Mean KL in nats of each group of sentences, from one forward pass over all of them. Zero for an empty group."""
    together = [target for group in groups for target in group]
    zero = torch.zeros((), device=model.device)
    if not together:
        return [zero for _ in groups]
    kl_BT, batch, _ = kl_per_position(model, together, pad_token_id)
    means, start = [], 0
    for group in groups:
        rows = slice(start, start + len(group))
        means.append(sentence_mean(kl_BT[rows], batch.mask_BT[rows]) if group else zero)
        start += len(group)
    return means


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 matrix products for the student's training passes where the processor has units for them; float32
    elsewhere.

    Only the path to the factors is rounded: teacher targets, fold and gate stay in the base's own type.
    """
    is_fast = device.type == "cuda" or "amx_bf16" in cpu_flags()
    return torch.autocast(device.type, dtype=torch.bfloat16) if is_fast else nullcontext()


@functools.cache
def cpu_flags() -> frozenset[str]:
    """The processor's feature flags; empty where the system does not list them."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    return frozenset(next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split())


def rate_at(step: int, settings: UpdateSettings) -> float:
    """Warm-up, then linear to a tenth at the last step."""
    if step < WARMUP_STEPS:
        return settings.learning_rate * (step + 1) / WARMUP_STEPS
    return settings.learning_rate * (1.0 - 0.9 * step / settings.num_steps)


def train(
    theta_n: PreTrainedModel,
    sentences: TrainingSet,
    settings: UpdateSettings,
    *,
    seed: int,
    pad_token_id: int,
    progress: Callable[[int, int], None],
) -> TrainingResult:
    """Minimise the objective from theta_n; theta_n itself stays as it is.

        L = mean KL(about) + lambda_anchor * mean KL(anchors) + lambda_replay * mean KL(replay)

    Args:
        theta_n: the lineage's present weights.
        sentences: what to learn, what to watch, what to keep.
        settings: steps, sizes, weights, learning rate, and the held-out KL at which to stop.
        seed: of the factors' initialisation and of the minibatches.
        pad_token_id: any valid id.
        progress: called with (steps done, most steps).
    """
    rng = random.Random(seed)
    # The factors' start is the only use of torch's own chance, and the caller's stream goes on as if there had been none.
    with torch.random.fork_rng(devices=[theta_n.device] if theta_n.device.type == "cuda" else []):
        torch.manual_seed(seed)
        student = attach_lora(theta_n, settings)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    about = Cycle(sentences.about, settings.batch_about, rng)
    anchors = Cycle(sentences.anchors, settings.batch_anchors, rng)
    reading = Cycle(sentences.reading_anchors, max(1, settings.batch_anchors // 4), rng)
    replay = Cycle(sentences.replay, settings.batch_replay, rng)
    held_out_kl, step = float("inf"), 0
    while step < settings.num_steps:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, settings)
        with autocast(theta_n.device):
            terms = group_kl(student, [about.take(), anchors.take(), replay.take()], pad_token_id)
            (reading_kl,) = group_kl(student, [reading.take()], pad_token_id)
        loss = terms[0] + settings.anchor_weight * (terms[1] + reading_kl) / 2 + settings.replay_weight * terms[2]
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        progress(step, settings.num_steps)
        if step % CHECK_EVERY == 0 or step == settings.num_steps:
            with torch.inference_mode(), autocast(theta_n.device):
                held_out_kl = float(group_kl(student, [sentences.held_out], pad_token_id)[0])
            if sentences.held_out and held_out_kl < settings.stop_kl_nats:
                break
    return TrainingResult(learned_factors(student), step, held_out_kl)
