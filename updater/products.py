"""The student's matrix products, with as few passes over its activations as they need.

Knows: in which type products are computed, and the layers that LoRA adapts. Refuses to know: objectives, minibatches.

Shapes: N = tokens, I = inputs and O = outputs of a layer, R = rank of its factors.
"""

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

SMALL: Final = 8
"""Products with a whole weight of O x I are taken for quicker than those with factors of rank R below 8 R (O + I)."""


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


def product_type(tensor: Tensor) -> torch.dtype:
    """The type in which a product with this tensor is computed here and now."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype


def spare_passes(student: nn.Module) -> None:
    """Let a student compute the same with fewer passes over its weights and activations.

    Frozen weights of linear layers are rounded once to the type in which `autocast` computes on a CPU; it would round
    them anew, to the same values, in every pass. They are the student's own afterwards: those of the model that it was
    made of do not change. Linear layers with factors compute as `_Factored` does.
    """
    with autocast(torch.device("cpu")):
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    for module in student.modules():
        weight = getattr(module, "weight", None)
        is_frozen = isinstance(weight, nn.Parameter) and weight.device.type == "cpu" and not weight.requires_grad
        if dtype is not None and is_frozen and isinstance(module, (nn.Linear, Conv1D)):
            module.weight = nn.Parameter(module.weight.detach().to(dtype), requires_grad=False)
        if isinstance(module, LoraLinear) and type(module.base_layer) is nn.Linear:
            layer: Any = module
            layer.merged_OI, layer.may_merge = None, _is_small(module)
            layer.forward = functools.partial(_forward, layer)


@contextmanager
def merged_factors(student: nn.Module) -> Iterator[None]:
    """In the body, layers that are small beside their factors compute with one merged weight, W + BA, made once.

    Its gradient G is gathered over all passes of the body, and the factors' are made of it at the end:

        dB = G A^T,  dA = B^T G

    A layer has a third of the products so, and G costs as many operations as the products with W. With few inputs and
    outputs that is quicker; with many, the factors are. Outside the body a pass computes with the
    factors.
    """
    layers: list[Any] = [module for module in student.modules() if getattr(module, "may_merge", False)]
    for layer in layers:
        A_RI, B_OR = _factors(layer)
        layer.merged_OI = torch.addmm(layer.base_layer.weight.float(), B_OR.detach(), A_RI.detach()).requires_grad_()
    try:
        yield
        for layer in layers:
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            if layer.merged_OI.grad is not None:
                scaled_OI = layer.merged_OI.grad * layer.scaling["default"]
                down.grad, up.grad = up.detach().T @ scaled_OI, scaled_OI @ down.detach().T
    finally:
        for layer in layers:
            layer.merged_OI = None


def _is_small(layer: Any) -> bool:  # noqa: ANN401 - a layer of peft
    """Whether products with the whole weight cost little beside those with its factors."""
    O, I = layer.base_layer.weight.shape  # noqa: E741 - as in the shapes above
    return bool(SMALL * layer.r["default"] * (O + I) > O * I)


def _factors(layer: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - a layer of peft
    """A_RI and B_OR, with the scale multiplied into B."""
    return layer.lora_A["default"].weight, layer.lora_B["default"].weight * layer.scaling["default"]


def _forward(layer: Any, given: Tensor) -> Tensor:  # noqa: ANN401 - a layer of peft
    if layer.merged_OI is not None:
        dtype, bias_O = product_type(given), layer.base_layer.bias
        merged_OI, bias_O = layer.merged_OI.to(dtype), None if bias_O is None else bias_O.to(dtype)
        return nn.functional.linear(given.to(dtype), merged_OI, bias_O)
    A_RI, B_OR = _factors(layer)
    made: Tensor = _Factored.apply(given, layer.base_layer.weight, layer.base_layer.bias, A_RI, B_OR)  # type: ignore[no-untyped-call]
    return made


class _Factored(torch.autograd.Function):
    """y = x W^T + b + (x A^T) B^T with frozen W and b.

    Inputs are brought into the products' type once for both, and the factors' part is added where the product is made,
    forward and backward.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        given: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        A_RI: Tensor,
        B_OR: Tensor,
    ) -> Tensor:
        dtype = product_type(given)
        ctx.given_as, ctx.factors_as = (given.shape, given.dtype), (A_RI.dtype, B_OR.dtype)
        with torch.autocast(given.device.type, enabled=False):
            x_NI = given.reshape(-1, given.shape[-1]).to(dtype)
            weight_OI, A_RI, B_OR = weight_OI.to(dtype), A_RI.to(dtype), B_OR.to(dtype)
            made_NO = x_NI @ weight_OI.T if bias_O is None else torch.addmm(bias_O.to(dtype), x_NI, weight_OI.T)
            inner_NR = x_NI @ A_RI.T
            made_NO.addmm_(inner_NR, B_OR.T)
        ctx.save_for_backward(x_NI, inner_NR, weight_OI, A_RI, B_OR)
        return made_NO.view(*given.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x_NI, inner_NR, weight_OI, A_RI, B_OR = ctx.saved_tensors
        shape, dtype = ctx.given_as
        with torch.autocast(x_NI.device.type, enabled=False):
            made_NO = gradients[0].reshape(-1, weight_OI.shape[0]).to(x_NI.dtype)
            inner_gradient_NR = made_NO @ B_OR
            x_gradient = None
            if ctx.needs_input_grad[0]:
                x_gradient = (made_NO @ weight_OI).addmm_(inner_gradient_NR, A_RI).view(shape).to(dtype)
            A_gradient_RI = (inner_gradient_NR.T @ x_NI).to(ctx.factors_as[0])
            B_gradient_OR = (made_NO.T @ inner_NR).to(ctx.factors_as[1])
        return x_gradient, None, None, A_gradient_RI, B_gradient_OR
