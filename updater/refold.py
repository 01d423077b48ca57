"""Whether a fold made here may be the one that was recorded elsewhere: a bound on what another order of adding can do.

Knows: float64 rounding errors and the border cases of the one rounding at the end. Refuses to know: files, the log.

A sum of k numbers, added in any order in float64, lies within e = (k - 1) u S of the true one, with u = 2^-53 and S the
sum of their sizes; products of float32 numbers are exact in float64. Two machines therefore differ by 2 e at most, and
the rounded weights differ only where a rounding border lies within 2 e of the sum. Everywhere else they are equal.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

UNIT: Final = 2.0**-53
MOST_TOGETHER: Final = 8
"""So many border cases, the nearest ones, are tried in every combination, at one hash each: 255 hashes."""
MOST_ALONE: Final = 256
"""So many more are tried each alone."""


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
    nearness: float
    """How far from the border its sum lies, as a share of what rounding errors can reach; the lower, the likelier."""


class Sums(NamedTuple):
    """The sums of a chain, with what bounds their error."""

    values: dict[str, Tensor]
    sizes: dict[str, Tensor]
    """For each weight, the sum of the sizes of everything that was added: S."""
    num_terms: int
    """Most numbers that were added for one weight: k."""


def border_cases(sums: Sums, like: Mapping[str, Tensor]) -> list[BorderCase]:
    """Every weight that another order of adding may round otherwise, the likeliest first.

    Args:
        sums: of the chain.
        like: tensors of the type that is rounded to.
    """
    found = [case for name in sums.values for case in _cases_of(name, sums, like[name].dtype)]
    return sorted(found, key=lambda case: case.nearness)


def _cases_of(name: str, sums: Sums, dtype: torch.dtype) -> Iterator[BorderCase]:
    value = sums.values[name]
    # Two more terms for the two additions here.
    reach = 2 * (sums.num_terms + 2) * UNIT * sums.sizes[name]
    here, low, high = value.to(dtype), (value - reach).to(dtype), (value + reach).to(dtype)
    for place in torch.nonzero((low != high).reshape(-1)).reshape(-1).tolist():
        exact, mine, below, above, far = (
            tensor.reshape(-1)[place] for tensor in (value, here, low, high, reach)
        )
        other = above if bool(mine == below) else below
        border = (mine.double() + other.double()) / 2
        yield BorderCase(name, place, other, float((exact - border).abs() / far))


def bound_of(cases: Sequence[BorderCase], weights: Mapping[str, Tensor]) -> Bound:
    """How far weights made elsewhere can be from these."""
    differences = [
        float((weights[case.name].reshape(-1)[case.place].double() - case.other.double()).abs()) for case in cases
    ]
    return Bound(len(cases), sum(weight.numel() for weight in weights.values()), max(differences, default=0.0))


def turned_to(
    weights: Mapping[str, Tensor], cases: Sequence[BorderCase], has_hash: Callable[[Mapping[str, Tensor]], bool]
) -> tuple[dict[str, Tensor], int] | None:
    """The weights with some border cases rounded the other way such that they have the hash, and how many those are.

    Tried are all combinations of the nearest `MOST_TOGETHER` cases, and up to `MOST_ALONE` others each alone.

    Returns:
        None where none of these has it; with no more cases than are tried together, no rounding explains the hash then.
    """
    nearest = cases[:MOST_TOGETHER]
    alone = [(case,) for case in cases[: MOST_TOGETHER + MOST_ALONE]]
    together = [itertools.combinations(nearest, size) for size in range(2, len(nearest) + 1)]
    for chosen in itertools.chain(alone, *together):
        tried = {name: weights[name].clone() for name in {case.name for case in chosen}}
        for case in chosen:
            tried[case.name].reshape(-1)[case.place] = case.other
        found = {**weights, **tried}
        if has_hash(found):
            return found, len(chosen)
    return None
