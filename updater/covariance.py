"""What layers read of unrelated text, and what a change of their weights makes of it.

Knows: catching the inputs of linear layers, and the penalty on what a change adds to their outputs. Refuses to know:
which text is unrelated, minibatches, the optimiser.

Anchors in a minibatch hold the model's answers on a few sentences; this holds every changed layer's outputs on all of
them at once, at the cost of two small products a layer. With x what a layer W reads of unrelated text,

    penalty = sum over layers of  mean_x |dW x|^2 / mean_x |W x|^2  =  sum over layers of  |dW R^T|^2,
    R^T R = mean_x x x^T / mean_x |W x|^2

Every sentence counts alike in these means, however long it is: otherwise long prompts would be nearly all that is held.

Source: the preservation term of MEMIT (Meng et al., arXiv 2210.07229, section 4.2), there for one closed-form step.

Shapes: N = tokens, I = inputs and O = outputs of a layer, R = rank of its factors, K = rows of a root, at most I.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from updater.memory import in_pieces
from updater.sequences import TokenizedSentence, collate, completion_logits

MOST_ROWS: Final = 4096
"""Tokens whose inputs are kept of a layer; of more, so many are drawn by chance."""
PASS: Final = 32
_SHARES: Final = ""  # beside the names of layers: what each kept token counts


@torch.no_grad()
def input_roots(
    model: PreTrainedModel, layers: Sequence[str], sentences: Sequence[TokenizedSentence], pad_token_id: int, seed: int
) -> dict[str, Tensor]:
    """For every layer a root_KI whose squared product with a change is what the change adds to the layer's outputs.

    Args:
        model: whose layers, and what reads the sentences.
        layers: names of its linear layers.
        sentences: unrelated ones; prompts and completions are read alike. Without any there are no roots.
        pad_token_id: any valid id.
        seed: of which tokens are kept, where there are many.

    Raises:
        OutOfMemory: not even one sentence fits.
    """
    num_tokens = sum(len(one.prompt_ids) + len(one.completion_ids) for one in sentences)
    generator = torch.Generator().manual_seed(seed)

    def read(piece: Sequence[TokenizedSentence]) -> dict[str, Tensor]:
        batch = collate(piece, pad_token_id, model.device)
        mask_BS = batch.attention_mask_BS.bool()
        is_kept_BS = torch.rand(mask_BS.shape, generator=generator) < MOST_ROWS / num_tokens
        kept_BS = mask_BS & is_kept_BS.to(model.device)
        share_BS = mask_BS / mask_BS.sum(-1, keepdim=True)
        with inputs_of(model, layers, kept_BS) as caught:
            completion_logits(model, batch)
        return {**caught, _SHARES: share_BS[kept_BS]}

    rows: dict[str, list[Tensor]] = {name: [] for name in (*layers, _SHARES)}
    by_length = sorted(sentences, key=lambda one: len(one.prompt_ids) + len(one.completion_ids))
    for _, caught in in_pieces(by_length, read, most=PASS, model=model, work="training"):
        for name, found in caught.items():
            rows[name].append(found)
    if not sentences:
        return {}
    modules, share_N = dict(model.named_modules()), torch.cat(rows.pop(_SHARES))
    read_by_all = {name: torch.cat(found) for name, found in rows.items() if sum(map(len, found)) == len(share_N)}
    return {name: _root(modules[name], found_NI, share_N / share_N.sum()) for name, found_NI in read_by_all.items()}


@contextmanager
def inputs_of(model: nn.Module, layers: Sequence[str], chosen_BS: Tensor) -> Iterator[dict[str, Tensor]]:
    """What layers read in the body at the chosen tokens, float32 [N, I] by name; complete after one pass.

    A layer that does not read every token, such as an expert of a mixture, is not among them.
    """
    modules, caught = dict(model.named_modules()), dict[str, Tensor]()

    def catch(name: str) -> Any:  # noqa: ANN401
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            read_NI = given[0].detach().flatten(0, -2)  # some models flatten a batch themselves
            if len(read_NI) == chosen_BS.numel():
                caught[name] = read_NI[chosen_BS.flatten()].float()

        return hook

    hooks = [modules[name].register_forward_pre_hook(catch(name)) for name in layers]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def _root(layer: nn.Module, rows_NI: Tensor, share_N: Tensor) -> Tensor:
    """The rows as few as they can be with the same squared products, in units of the layer's mean squared output."""
    weight: Any = layer.weight
    weight_IO = weight.float() if isinstance(layer, Conv1D) else weight.float().T
    output = ((rows_NI @ weight_IO).pow(2).sum(-1) * share_N).sum().clamp_min(torch.finfo(torch.float32).tiny)
    scaled_NI: Tensor = rows_NI * (share_N / output).sqrt().unsqueeze(-1)
    if len(rows_NI) <= rows_NI.shape[1]:
        return scaled_NI
    root_II: Tensor = torch.linalg.qr(scaled_NI, mode="r").R
    return root_II


def factors_penalty(A_RI: Tensor, B_OR: Tensor, root_KI: Tensor) -> Tensor:
    """|B A R^T|^2, the mean squared output that low-rank factors add, without ever making their product.

    |B A R^T|^2 = trace(B^T B  Z Z^T),  Z = A R^T
    """
    Z_RK = A_RI @ root_KI.T
    return ((B_OR.T @ B_OR) * (Z_RK @ Z_RK.T)).sum()


def changed_layers(student: Any) -> list[str]:  # noqa: ANN401 - peft's model has no useful static type
    """Names, as in the model that it was made of, of a student's linear layers that train or have factors that do.

    Not of its head: that reads only where it speaks, and what it says is what anchors hold.
    """
    return list(_changed(student))


def _changed(student: Any) -> dict[str, Any]:  # noqa: ANN401
    if hasattr(student, "peft_config"):
        modules = student.get_base_model().named_modules()
        return {name: module for name, module in modules if isinstance(module, LoraLayer)}
    linear = ((name, module) for name, module in student.named_modules() if isinstance(module, (nn.Linear, Conv1D)))
    head = student.get_output_embeddings()
    return {name: module for name, module in linear if module.weight.requires_grad and module is not head}


def change_penalty(student: Any, theta_n: PreTrainedModel, roots: Mapping[str, Tensor]) -> Tensor:  # noqa: ANN401
    """What a student's change adds to its layers' outputs on unrelated text, as a share of what they are; over layers.

    Args:
        student: of `updater.adapters.trainable`; gradients flow to all that trains in a layer.
        theta_n: the weights that it was made of.
        roots: of `input_roots`; a layer without one is not held.

    Returns:
        a scalar.
    """
    before = {name: module for name, module in theta_n.named_modules() if name in roots}
    held = {name: layer for name, layer in _changed(student).items() if name in roots}
    penalties = [_penalty(layer, before[name], roots[name]) for name, layer in held.items()]
    return torch.stack(penalties).sum()


def _penalty(layer: Any, before: Any, root_KI: Tensor) -> Tensor:  # noqa: ANN401
    if isinstance(layer, LoraLayer):
        down: Any = layer.lora_A["default"]
        up: Any = layer.lora_B["default"]
        return factors_penalty(down.weight, up.weight * layer.scaling["default"], root_KI)
    change: Tensor = layer.weight - before.weight.detach().float()
    return (root_KI @ (change if isinstance(layer, Conv1D) else change.T)).pow(2).sum()
