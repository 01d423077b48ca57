"""LoRA factors on a model: which layers get them, and what they have learned.

Knows: peft. Refuses to know: objectives, minibatches, files.
"""

import copy
import itertools
import warnings
from typing import Any, Final

from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from updater.delta import LowRank
from updater.settings import UpdateSettings

ROUTING_LAYERS: Final = frozenset({"q_proj", "k_proj"})


def adapted_layers(model: PreTrainedModel, lowest_adapted: float) -> list[str]:
    """Names of the linear layers that get factors: values, outputs and MLPs of all but the lowest blocks.

    The lowest blocks and the queries and keys are left alone: they find what to copy, which an update has no business
    with, and a backward pass that ends above them is cheaper.
    """
    head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    linear = [
        (name, [int(part) for part in name.split(".") if part.isdigit()])
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    ]
    num_blocks = 1 + max((numbers[0] for _, numbers in linear if numbers), default=0)
    first = int(lowest_adapted * num_blocks)
    return [
        name
        for name, numbers in linear
        if (not numbers or numbers[0] >= first) and name.rsplit(".", 1)[-1] not in ROUTING_LAYERS
    ]


def attach_lora(theta_n: PreTrainedModel, settings: UpdateSettings) -> Any:  # noqa: ANN401 - peft's model has no useful static type
    """A model around theta_n's own weights with LoRA factors on its `adapted_layers`; only they train."""
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.rank,
        target_modules=adapted_layers(theta_n, settings.lowest_adapted),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    # The copy's modules are its own, its tensors are theta_n's: they are frozen, and only read.
    shared = {id(tensor): tensor for tensor in itertools.chain(theta_n.parameters(), theta_n.buffers())}
    student = copy.deepcopy(theta_n, shared)
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
            is_transposed = getattr(module, "fan_in_fan_out", False)
            factors[f"{name}.weight"] = LowRank(B.T, A.T) if is_transposed else LowRank(A, B)
    return factors
