"""Whether a fold made here may be the one that was recorded elsewhere: a bound on what another order of adding can do.

Knows: float64 rounding errors and the border cases of the one rounding at the end. Refuses to know: files, the log.

A sum of k numbers, added in any order in float64, lies within e = (k - 1) u S of the true one, with u = 2^-53 and S the
sum of their sizes; products of float32 numbers are exact in float64. Two machines therefore differ by 2 e at most, and
the rounded weights differ only where a rounding border lies within 2 e of the sum. Everywhere else they are equal.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor

UNIT: Final = 2.0**-53
MOST_TURNED: Final = 8
"""So many border cases are tried in every combination, at one hash each: 255 hashes at most."""


class Bound(NamedTuple):
    """How far a fold made elsewhere can be from this one.

    Example: Bound(num_undecided=2, num_weights=3_074_496, largest_difference=5.96e-08)
    """

    num_undecided: int
    """Weights that another order of adding may round the other way."""
    num_weights: int
    largest_difference: float
    """By which such a weight then differs; zero where there are none."""


class BorderCase(NamedTuple):
    """One weight whose sum lies at a rounding border, and what it may be on another machine."""

    name: str
    place: int
    """In the flattened weight."""
    other: Tensor


class Sums(NamedTuple):
    """The sums of a chain, with what bounds their error."""

    values: dict[str, Tensor]
    sizes: dict[str, Tensor]
    """For each weight, the sum of the sizes of everything that was added: S."""
    num_terms: int
    """Most numbers that were added for one weight: k."""


def border_cases(sums: Sums, like: Mapping[str, Tensor]) -> Iterator[BorderCase]:
    """Every weight that another order of adding may round otherwise.

    Args:
        sums: of the chain.
        like: tensors of the type that is rounded to.
    """
    for name, value in sums.values.items():
        dtype = like[name].dtype
        # One more for each of the two additions below.
        reach = 2 * (sums.num_terms + 2) * UNIT * sums.sizes[name]
        here, low, high = value.to(dtype), (value - reach).to(dtype), (value + reach).to(dtype)
        for place in torch.nonzero((low != high).reshape(-1)).reshape(-1).tolist():
            mine, below, above = (tensor.reshape(-1)[place] for tensor in (here, low, high))
            yield BorderCase(name, place, above if bool(mine == below) else below)


def bound_of(cases: list[BorderCase], weights: Mapping[str, Tensor]) -> Bound:
    """How far weights made elsewhere can be from these."""
    differences = [
        float((weights[case.name].reshape(-1)[case.place].double() - case.other.double()).abs()) for case in cases
    ]
    return Bound(len(cases), sum(weight.numel() for weight in weights.values()), max(differences, default=0.0))


def turned_to(
    weights: Mapping[str, Tensor], cases: list[BorderCase], has_hash: Callable[[Mapping[str, Tensor]], bool]
) -> tuple[dict[str, Tensor], int] | None:
    """The weights with some border cases rounded the other way such that they have the hash, and how many those are.

    None where no combination has it, or where there are too many to try.
    """
    if len(cases) > MOST_TURNED:
        return None
    for num_turned in range(1, len(cases) + 1):
        for chosen in itertools.combinations(cases, num_turned):
            tried = {name: weights[name].clone() for name in {case.name for case in chosen}}
            for case in chosen:
                tried[case.name].reshape(-1)[case.place] = case.other
            found = {**weights, **tried}
            if has_hash(found):
                return found, num_turned
    return None
