"""What a figure is: how the values of pairs become one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.metrics import area_under_curve

Statistic = Literal["mean", "median", "auc"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of the result.

    Attributes:
        key: name for machines.
        label: heading for people.
        unit: ``px``, ``ms``, or empty for a share or a count.
        value: the per-pair value that it is made of; finite, but for errors of an ``auc``.
        statistic: how pairs become one number.
        better: which way is better; None where neither is.
        threshold_px: of an ``auc``.
    """

    key: str
    label: str
    unit: str
    value: str
    statistic: Statistic
    better: Literal["higher", "lower"] | None
    threshold_px: float = 0.0

    def of(self, values: NDArray[np.float64]) -> float:
        """The figure of per-pair values (n,); pairs that have none, NaN, are left out. NaN when all have none."""
        known = values[~np.isnan(values)]
        if not len(known):
            return np.nan
        if self.statistic == "auc":
            return area_under_curve(known, self.threshold_px)
        return float(known.mean() if self.statistic == "mean" else np.median(known))
