"""One version's low-rank factors beside another version's weights, until each layer is overwritten with its fold.

Knows modules, factors and forward hooks. Refuses to know requests, versions' numbers and where weights come from.

Everything here is called between two decode steps, on the thread that decodes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from agent.buffers import tied_names
from updater.delta import Change, LowRank

_WEIGHT: Final = ".weight"


def fits_over(model: PreTrainedModel, changes: Mapping[str, Change]) -> bool:
    """Whether changes can lie beside a model's weights: factors of untied linear layers, and nothing else."""
    # Overwriting a tensor that has two names would change the other layer too.
    tied = {place for place, names in tied_names(model).items() if len(names) > 1}
    return all(
        isinstance(change, LowRank) and _linear(model, name) is not None and id(model.get_parameter(name)) not in tied
        for name, change in changes.items()
    )


def _linear(model: PreTrainedModel, name: str) -> nn.Linear | None:
    """The linear layer whose weight has this name; one with another forward pass than nn.Linear's is none."""
    try:
        module = model.get_submodule(name.removesuffix(_WEIGHT)) if name.endswith(_WEIGHT) else None
    except AttributeError:
        return None
    return module if type(module) is nn.Linear else None


class Overlay:
    """y = W x + B (A x) in every layer that has factors, while it is on.

    Args:
        model: whose layers.
        factors: that fit over it, see `fits_over`. Copied to the layers' device and type.

    Example:
        overlay = Overlay(model, factors)
        with overlay.on():
            model(input_ids)                    # the new version
        overlay.overwrite(name, folded_weight)  # for every name: then `model` itself is the new version
    """

    def __init__(self, model: PreTrainedModel, factors: Mapping[str, LowRank]) -> None:
        self._is_on = False
        self._layers: dict[str, tuple[nn.Linear, torch.utils.hooks.RemovableHandle]] = {}
        try:
            for name, (A, B) in factors.items():
                self._lay(model, name, A, B)
        except BaseException:
            self.remove()
            raise

    def _lay(self, model: PreTrainedModel, name: str, A: Tensor, B: Tensor) -> None:
        layer = _linear(model, name)
        assert layer is not None, f"{name} was checked before"
        device, dtype = layer.weight.device, layer.weight.dtype
        added = partial(self._added, A.to(device=device, dtype=dtype), B.to(device=device, dtype=dtype))
        self._layers[name] = layer, layer.register_forward_hook(added)

    @property
    def names(self) -> tuple[str, ...]:
        """Weights that are not overwritten yet."""
        return tuple(self._layers)

    @contextmanager
    def on(self) -> Iterator[None]:
        """The forward passes in here are the new version's."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def _added(self, A: Tensor, B: Tensor, _: nn.Module, read: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return output + linear(linear(read[0], A), B) if self._is_on else None

    @torch.no_grad()
    def overwrite(self, name: str, weight: Tensor) -> None:
        """Put a folded weight in place of what it was, and let its factors go."""
        layer, handle = self._layers[name]
        layer.weight.copy_(weight)  # before anything is let go, since it can fail
        del self._layers[name]
        handle.remove()

    def remove(self) -> None:
        """Let go of all factors; the weights stay as they are."""
        for _, handle in self._layers.values():
            handle.remove()
        self._layers.clear()
