"""What an update trains: LoRA factors beside some layers, a band of blocks, or every weight; and what was learned.

Knows: peft, and which weights change. Refuses to know: objectives, minibatches, optimisers, files.
"""

import copy
import itertools
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from memory_log.errors import BadInput
from updater.delta import Change, Dense, LowRank
from updater.settings import UpdateSettings

ROUTING_LAYERS: Final = frozenset({"q_proj", "k_proj"})


class Trainable(NamedTuple):
    """A model like theta_n to train, and what of it trains.

    `groups` are an optimiser's: each has `params`, and `rate_ratio`, by which the learning rate is multiplied for it.
    """

    student: Any  # peft's model has no useful static type
    groups: list[dict[str, Any]]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that trains, in float32 whatever type theta_n has."""
        return [parameter for group in self.groups for parameter in group["params"]]


def trainable(theta_n: PreTrainedModel, settings: UpdateSettings) -> Trainable:
    """A model like theta_n in which only what `settings.trained` names trains; theta_n itself stays as it is.

    Args:
        theta_n: the lineage's present weights.
        settings: what trains, the factors' rank and the ratios of learning rates.

    Raises:
        BadInput: the model has no such blocks or layers.
    """
    if settings.trained.what == "lora":
        student = attach_lora(theta_n, settings)
        named = dict(student.named_parameters())
        down = [parameter for name, parameter in named.items() if "lora_A" in name]
        up = [parameter for name, parameter in named.items() if "lora_B" in name]
        return Trainable(
            student, [{"params": down, "rate_ratio": 1.0}, {"params": up, "rate_ratio": settings.up_rate_ratio}]
        )
    chosen = set(trained_weights(theta_n, settings))
    # A bfloat16 weight does not move by less than 1/256 of itself; the sums of a fold keep what float32 has learned.
    dense: Any = _copy_of(theta_n)
    dense = dense.float()
    weights = [parameter.requires_grad_() for name, parameter in dense.named_parameters() if name in chosen]
    return Trainable(dense, [{"params": weights, "rate_ratio": settings.trained.dense_rate_ratio}])


def learned_change(student: Any, theta_n: PreTrainedModel) -> dict[str, Change]:  # noqa: ANN401
    """What a student of `trainable` has learned, by the base model's parameter name.

    Args:
        student: trained.
        theta_n: the weights that it was copied from, unchanged since.

    Returns:
        Factors where LoRA was trained, else the float32 difference of every weight that moved.
    """
    if hasattr(student, "peft_config"):
        return dict(learned_factors(student))
    before = dict(theta_n.named_parameters())
    found: dict[str, Change] = {}
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            difference = parameter.detach() - before[name].detach().float()
            if bool((difference != 0).any()):  # also where it is not finite, which the next step then refuses
                found[name] = Dense(difference)
    return found


def adapted_layers(
    model: PreTrainedModel,
    lowest_adapted: float,
    layers: tuple[int, int] | None = None,
    target_modules: tuple[str, ...] | None = None,
) -> list[str]:
    """Names of the linear layers that get factors: values, outputs and MLPs of all but the lowest blocks.

    The lowest blocks and the queries and keys are left alone: they find what to copy, which an update has no business
    with, and a backward pass that ends above them is cheaper.

    Args:
        model: whose layers.
        lowest_adapted: share of the blocks, from the input up, that get none.
        layers: first and last block that get some, instead of that share; then nothing outside the blocks does.
        target_modules: last parts of names, instead of all but queries and keys.

    Raises:
        BadInput: there are no such blocks or layers.
    """
    head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    ]
    first, last = _band(linear, lowest_adapted, layers)
    kinds = {name.rsplit(".", 1)[-1] for name in linear}
    _check_targets(kinds, target_modules)
    wanted = kinds - ROUTING_LAYERS if target_modules is None else set(target_modules)
    return [
        name
        for name in linear
        if name.rsplit(".", 1)[-1] in wanted
        and (layers is None if (block := _block_of(name)) is None else first <= block <= last)
    ]


def trained_weights(model: PreTrainedModel, settings: UpdateSettings) -> list[str]:
    """Names of the parameters that dense training changes: all of them, or those of a band of blocks.

    Raises:
        BadInput: there are no such blocks or layers.
    """
    names = [name for name, _ in model.named_parameters()]
    trained = settings.trained
    if trained.what == "full":
        return names
    first, last = _band(names, settings.lowest_adapted, trained.layers)
    inside = [name for name in names if (block := _block_of(name)) is not None and first <= block <= last]
    _check_targets({name.rsplit(".", 2)[-2] for name in inside}, trained.target_modules)
    return [name for name in inside if trained.target_modules is None or name.split(".")[-2] in trained.target_modules]


def _block_of(name: str) -> int | None:
    """The number of the block that a module or parameter belongs to; None outside all of them."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def _band(names: list[str], lowest_adapted: float, layers: tuple[int, int] | None) -> tuple[int, int]:
    top = max((block for name in names if (block := _block_of(name)) is not None), default=0)
    if layers is None:
        return int(lowest_adapted * (top + 1)), top
    if layers[1] > top:
        raise BadInput(f"got trained.layers {layers[0]} to {layers[1]}, this model has blocks 0 to {top}")
    return layers


def _check_targets(kinds: set[str], target_modules: tuple[str, ...] | None) -> None:
    strangers = set(target_modules or ()) - kinds
    if strangers:
        raise BadInput(f"got trained.target_modules {sorted(strangers)}, this model has {sorted(kinds)}")


def attach_lora(theta_n: PreTrainedModel, settings: UpdateSettings) -> Any:  # noqa: ANN401 - peft's model has no useful static type
    """A model around theta_n's own weights with LoRA factors on its `adapted_layers`; only they train."""
    trained = settings.trained
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.rank,
        target_modules=adapted_layers(theta_n, settings.lowest_adapted, trained.layers, trained.target_modules),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft asks transformers for it.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        # It sets that by itself, layer by layer.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        return get_peft_model(_copy_of(theta_n, shares_weights=True), config)


def _copy_of(theta_n: PreTrainedModel, *, shares_weights: bool = False) -> PreTrainedModel:
    """Modules like theta_n's, with weights of their own, or theta_n's where they are only read."""
    tensors = itertools.chain(theta_n.parameters(), theta_n.buffers()) if shares_weights else ()
    student = copy.deepcopy(theta_n, {id(tensor): tensor for tensor in tensors})
    if student.device.type == "cpu":
        # The fused kernel's bfloat16 backward is the slowest part of a step on CPUs.
        student.set_attn_implementation("eager")
    return student


def learned_factors(student: Any) -> dict[str, LowRank]:  # noqa: ANN401
    """The factors of every adapted weight by the base model's parameter name, with the scale multiplied into B."""
    return dict(_factors(student))


def _factors(student: Any) -> Iterator[tuple[str, LowRank]]:  # noqa: ANN401
    for name, module in student.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            down: Any = module.lora_A["default"]
            up: Any = module.lora_B["default"]
            A, B = down.weight.detach().float().clone(), (up.weight.detach() * module.scaling["default"]).float()
            # Some models (GPT-2's kind) store a layer as [in, out]; its change is then A^T B^T.
            is_transposed = getattr(module, "fan_in_fan_out", False)
            yield f"{name}.weight", LowRank(B.T, A.T) if is_transposed else LowRank(A, B)
