"""What repeated measurements come to: the middle, the spread, and how many times faster one is than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import Estimate, estimate

_TIMES = Figure(key="times", label="times", unit="", value="times", statistic="median", better="higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle of some measurements, and where the middle half of them lies.

    Attributes:
        median: half of them are below.
        low: the lower quartile.
        high: the upper quartile.
        count: how many there were.
    """

    median: float
    low: float
    high: float
    count: int

    @property
    def relative(self) -> float:
        """Width of the middle half, as a share of the median; 0 where the median is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0

    def facts(self) -> dict[str, float | int]:
        """The same for machines."""
        return {"median": self.median, "low_quartile": self.low, "high_quartile": self.high, "count": self.count}


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of at least one value; quartiles are interpolated linearly, as ``numpy.percentile`` does it."""
    low, median, high = (percentile(values, share) for share in (25, 50, 75))
    return Spread(median=median, low=low, high=high, count=len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies, in per cent; interpolated linearly.

    Args:
        values: at least one.
        share: from 0 to 100.
    """
    return float(np.percentile(np.asarray(values, np.float64), share))


def times_as_fast(base: Sequence[float], other: Sequence[float], *, seed: int) -> Estimate:
    """How many times as fast the second is: the median of ``base / other``, round by round, with its 95 % interval.

    The two are measured in the same rounds, so that whatever slows a round down does it to both and leaves the quotient
    alone. The interval is a percentile bootstrap over rounds; its ends are NaN with fewer than two.

    Args:
        base: times of the base, all above 0, one for each round.
        other: times of the other in the same rounds.
        seed: of the draws.
    """
    quotients = np.array([mine / theirs for mine, theirs in zip(base, other, strict=True)], np.float64)
    return estimate(_TIMES, quotients, [str(number) for number in range(len(quotients))], seed=seed)


def facts_of(found: Estimate) -> dict[str, float | int | None]:
    """An estimate for machines, which know no NaN."""
    ends = {name: None if math.isnan(end) else end for name, end in (("low", found.low), ("high", found.high))}
    return {"value": found.value, **ends, "rounds": found.pairs}
