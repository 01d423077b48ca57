"""Figures over seeds: mean, 95% interval, and whether a target is met.

Knows the t-interval over per-seed values and how a target is met. Refuses to know what any figure means.
"""

import re
from collections.abc import Iterable, Sequence
from math import ceil, isfinite
from statistics import NormalDist, fmean, stdev
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

# Two-sided 95% quantiles of Student's t for 1 to 30 degrees of freedom.
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Target(BaseModel):
    """What a metric must reach, such as `>= 0.95`.

    Example:
        >>> Target.parse(">= 0.95").met_by(low=0.93, high=0.99)
        False
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison: Literal[">=", "<=", "=="]
    bound: FiniteFloat

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `>= NUMBER`, `<= NUMBER` or `== NUMBER`.

        Raises:
            ValueError: the text has another form.
        """
        match = re.fullmatch(r"\s*(>=|<=|==)\s*([-+0-9.eE]+)\s*", text)
        if match is None:
            raise ValueError(f"got the target {text!r}, needed one such as '>= 0.95', '<= 0.05' or '== 0'")
        return cls.model_validate({"comparison": match[1], "bound": match[2]})

    def met_by(self, *, low: float, high: float) -> bool:
        """True when the worse end of the interval still reaches the bound (for `==`: when both ends do)."""
        if self.comparison == ">=":
            return low >= self.bound
        if self.comparison == "<=":
            return high <= self.bound
        return low == high == self.bound


class Metric(BaseModel):
    """One measured quantity: its mean over seeds, a 95% interval and the per-seed values.

    Example:
        >>> measured([0.97, 0.99, 0.98], unit="share", target=">= 0.9").met
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: FiniteFloat
    low: FiniteFloat
    """Lower end of the 95% interval, in `unit`."""
    high: FiniteFloat
    """Upper end of the 95% interval, in `unit`."""
    values: tuple[FiniteFloat, ...]
    """One value a seed, in the order of the file's seeds."""
    unit: str
    target: str | None = None
    met: bool | None = None
    """Whether the interval's worse end meets the target; None without a target."""

    @property
    def verdict(self) -> str:
        """The target and whether it is met, to stand behind a printed figure; empty without a target."""
        return "" if self.met is None else f"   {self.target}: {'met' if self.met else 'MISSED'}"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"got mean {self.mean} outside its interval {self.low} to {self.high}")
        expected = None if self.target is None else Target.parse(self.target).met_by(low=self.low, high=self.high)
        if self.met != expected:
            raise ValueError(
                f"got met={self.met} for target {self.target!r} and interval {self.low} to {self.high}, "
                f"needed {expected}: write the file again with its benchmark"
            )
        return self


def t_quantile_95(degrees: int) -> float:
    """Two-sided 95% quantile of Student's t: a table up to 30 degrees of freedom, a series in 1/degrees above."""
    if degrees < 1:
        raise ValueError(f"got {degrees} degrees of freedom, needed at least 1")
    if degrees <= len(_T_95):
        return _T_95[degrees - 1]
    z = NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def measured(
    values: Iterable[float], *, unit: str, target: str | None = None, bounds: tuple[float, float] | None = None
) -> Metric:
    """Summarise per-seed values as mean and 95% t-interval: mean +- t * s / sqrt(n).

    A t-interval over seeds, because the percentile bootstrap covers only about 83% of a nominal 95% at five seeds.

    Args:
        values: one number a seed. A single one gives an interval of width 0: nothing is known about its spread.
        unit: what the numbers count, such as `share`, `seconds`, `requests`.
        target: such as `>= 0.95`, or None.
        bounds: what the quantity cannot leave, such as (0, 1) for a share; the interval is cut there.

    Raises:
        ValueError: there are no values, one is not finite, or the target cannot be read.
    """
    numbers = tuple(float(value) for value in values)
    if not numbers or not all(map(isfinite, numbers)):
        raise ValueError(f"got the values {numbers} for a metric in {unit!r}, needed at least one and all finite")
    if len(set(numbers)) == 1:
        # Equal values have exactly no spread, though their float mean may differ from them in its last bit.
        low = mean = high = numbers[0]
    else:
        mean = fmean(numbers)
        half_width = t_quantile_95(len(numbers) - 1) * stdev(numbers) / len(numbers) ** 0.5
        low, high = mean - half_width, mean + half_width
    if bounds is not None:
        low, high = min(max(low, bounds[0]), mean), max(min(high, bounds[1]), mean)
    met = None if target is None else Target.parse(target).met_by(low=low, high=high)
    return Metric(mean=mean, low=low, high=high, values=numbers, unit=unit, target=target, met=met)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
