"""A model in two parts: what makes states of tokens, and the head that makes logits of states.

Knows: whether a model's logits are its head's and nothing else. Refuses to know: objectives, batches of sentences.

Shapes: B = sentences, S = padded tokens, V = vocabulary, H = width of the states.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class PlainHead(NamedTuple):
    """The two parts of a model whose logits are a linear function of its last states."""

    backbone: nn.Module
    weight_VH: Tensor
    bias_V: Tensor | None

    def states(self, input_ids_BS: Tensor, options: Mapping[str, Any]) -> Tensor:
        """The states that the head reads: [B, S, H].

        Args:
            input_ids_BS: token ids.
            options: what the whole model would be called with; what only its head would use is left out.
        """
        names = inspect.signature(self.backbone.forward).parameters
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in names.values())
        known = {n: v for n, v in options.items() if n in names or (takes_all and n != "logits_to_keep")}
        states_BSH: Tensor = self.backbone(input_ids=input_ids_BS, **known).last_hidden_state
        return states_BSH


_is_plain: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def plain_head(model: Any) -> PlainHead | None:  # noqa: ANN401 - a model of transformers, or one of peft around it
    """The model in two parts; None where its logits are capped, scaled or made otherwise, or where its head trains.

    Which it is, is tried once for each model: its head is made to say something large, and the model must pass it on
    unchanged; and what the head read must be the last states.
    """
    whole: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    head: Any = whole.get_output_embeddings()  # type: ignore[no-untyped-call]
    backbone = whole.base_model
    if type(head) is not nn.Linear or head.weight.requires_grad or backbone is whole:
        return None
    parts = PlainHead(backbone, head.weight, head.bias)
    if whole not in _is_plain:
        _is_plain[whole] = _passes_on(whole, head, parts)
    return parts if _is_plain[whole] else None


@torch.no_grad()
def _passes_on(whole: PreTrainedModel, head: nn.Linear, parts: PlainHead) -> bool:
    said: list[Tensor] = []
    read: list[Tensor] = []

    def speak(module: nn.Module, given: tuple[Tensor, ...], spoken: Tensor) -> Tensor:
        read.append(given[0])
        said.append(torch.linspace(-200.0, 200.0, spoken.numel(), device=spoken.device).to(spoken).view_as(spoken))
        return said[0]

    ids = torch.tensor([[0, 1, 0]], device=whole.device)
    mask = torch.ones_like(ids)
    handle = head.register_forward_hook(speak)
    try:
        call: Any = whole
        logits: Tensor = call(input_ids=ids, attention_mask=mask, use_cache=False).logits
    finally:
        handle.remove()
    if len(said) != 1 or not torch.equal(logits.float(), said[0].float()):
        return False
    return torch.equal(read[0], parts.states(ids, {"attention_mask": mask, "use_cache": False}))
