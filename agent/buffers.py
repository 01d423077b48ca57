"""Copies of a model with other weights, so that a version can be made ready beside the one that serves.

Knows module skeletons and state dicts, and refuses tensors that do not fit. Refuses to know requests and versions'
order.
"""

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memory_log.errors import DeltaCorrupt, DeltaMismatch


class ModelSkeleton:
    """The structure of a model without its weights.

    Kept apart from every serving copy: those may change their own buffers during a forward pass, and copying a
    module while that happens is a race.

    Args:
        model: Any model; it is read here and never again.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._device = model.device
        memo: dict[int, object] = {}
        for tensor in model.state_dict(keep_vars=True).values():
            memo.setdefault(id(tensor), _like(tensor, torch.empty_like(tensor, device="meta")))
        self._module: PreTrainedModel = copy.deepcopy(model, memo)
        self._names_of = tied_names(self._module)

    def build(self, state_dict: Mapping[str, Tensor], *, version: int) -> PreTrainedModel:
        """Return a copy of the model that holds exactly these weights, cloned from what was given.

        Args:
            state_dict: One tensor for every name of the model's own state dict, of the same shape and dtype. Of
                tied names (an output layer that shares the embedding) one is enough.
            version: Named in messages.

        Returns:
            A new model, on the first model's device.

        Raises:
            DeltaMismatch: Names are missing, unknown, or tied and different; a shape or dtype differs.
            DeltaCorrupt: A tensor holds NaN or infinity.
        """
        wanted = self._module.state_dict(keep_vars=True)
        unknown = sorted(set(state_dict) - set(wanted))
        missing = sorted(names[0] for names in self._names_of.values() if not any(n in state_dict for n in names))
        if unknown or missing:
            raise DeltaMismatch(
                f"version {version} does not have this model's tensors: {len(missing)} missing {missing[:3]}, "
                f"{len(unknown)} unknown {unknown[:3]}; pass the whole state dict of the same model"
            )
        memo: dict[int, object] = {}
        for names in self._names_of.values():
            given = [(name, state_dict[name]) for name in names if name in state_dict]
            for name, tensor in given:
                _check(name, tensor, wanted[name], version)
                if not torch.equal(tensor, given[0][1]):
                    raise DeltaMismatch(
                        f"version {version} gives different tensors for {given[0][0]} and {name}, which this model "
                        "ties to one; pass equal ones, or only one of them"
                    )
            place = wanted[names[0]]
            memo[id(place)] = _like(place, given[0][1].detach().to(self._device, copy=True))
        return copy.deepcopy(self._module, memo)


def same_weights(model: PreTrainedModel, state_dict: Mapping[str, Tensor]) -> bool:
    """True where the model already holds exactly these tensors."""
    own = model.state_dict()
    return all(
        name in own and own[name].dtype == tensor.dtype and torch.equal(own[name], tensor.to(own[name].device))
        for name, tensor in state_dict.items()
    )


def _check(name: str, got: Tensor, needed: Tensor, version: int) -> None:
    if got.shape != needed.shape or got.dtype != needed.dtype:
        raise DeltaMismatch(
            f"version {version}: {name} is {got.dtype} {tuple(got.shape)}, needed is {needed.dtype} "
            f"{tuple(needed.shape)}; fold the delta onto the base model that is served"
        )
    if got.is_floating_point() and not bool(torch.isfinite(got).all()):
        count = int((~torch.isfinite(got)).sum())
        raise DeltaCorrupt(
            f"version {version}: {name} holds {count} values that are NaN or infinite, all must be finite; "
            "reject the update that made it"
        )


def _like(original: Tensor, tensor: Tensor) -> Tensor:
    """A parameter where the original is one, so that the copied module registers it in the same place."""
    if isinstance(original, torch.nn.Parameter):
        return torch.nn.Parameter(tensor, requires_grad=False)
    return tensor


def tied_names(model: PreTrainedModel) -> dict[int, list[str]]:
    """Names of the state dict by the tensor they stand for."""
    names_of: dict[int, list[str]] = {}
    for name, tensor in cast(dict[str, Tensor], model.state_dict(keep_vars=True)).items():
        names_of.setdefault(id(tensor), []).append(name)
    return names_of
