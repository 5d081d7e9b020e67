"""How sure a figure is: bootstrap intervals over image pairs, and paired ones of a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.metrics import area_under_curve

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Enough for a 95 % percentile interval (Efron and Tibshirani 1993, section 13.3: 1000 or more)."""

Statistic = Literal["mean", "median", "auc"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over pairs and its 95 % interval.

    Attributes:
        value: over all pairs that have one; NaN when none has.
        low: lower end of the interval; NaN with fewer than two pairs, which say nothing of their spread.
        high: upper end.
        pairs: how many pairs have a value.
    """

    value: float
    low: float
    high: float
    pairs: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0; of a difference: whether it is likely to be real."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of the result.

    Attributes:
        key: name for machines.
        label: heading for people.
        unit: ``px``, ``ms``, or empty for a share or a count.
        value: the per-pair value that it is made of.
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
        """The figure of per-pair values (n,); pairs that have none, NaN, are left out."""
        return float(self.of_rows(values[np.newaxis])[0])

    def of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure of each row of (B, n)."""
        if not rows.shape[1]:
            return np.full(len(rows), np.nan)
        if self.statistic == "auc":
            return np.array([area_under_curve(row[~np.isnan(row)], self.threshold_px) for row in rows])
        known = ~np.isnan(rows).all(axis=1)  # NumPy warns of rows that are all NaN
        figures = np.full(len(rows), np.nan)
        figures[known] = (np.nanmean if self.statistic == "mean" else np.nanmedian)(rows[known], axis=1)
        return figures


def estimate(figure: Figure, values: NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """A figure with its percentile bootstrap interval over pairs.

    Args:
        figure: what is computed.
        values: per pair (n,), NaN where a pair has none.
        seed: of the draws; the same for every extractor, so that their intervals rest on the same draws.
        resamples: how many draws of n pairs with replacement.

    Source: Efron and Tibshirani 1993, «An Introduction to the Bootstrap», section 13.3.
    """
    drawn = figure.of_rows(values[_draws(len(values), seed, resamples)])
    return _estimate(figure.of(values), drawn, values)


def difference(
    figure: Figure,
    values: NDArray[np.float64],
    baseline: NDArray[np.float64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """``values`` less ``baseline`` on the same pairs, with the interval of the difference.

    Both are drawn together, pair for pair, so that what makes a pair hard for both cancels: the interval is narrower
    than the two single ones suggest. Pairs that either has no value for are left out of both.
    """
    common = np.where(np.isnan(values) | np.isnan(baseline), np.nan, 0.0)
    mine, theirs = values + common, baseline + common
    rows = _draws(len(values), seed, resamples)
    with np.errstate(invalid="ignore"):
        drawn = figure.of_rows(mine[rows]) - figure.of_rows(theirs[rows])
        value = figure.of(mine) - figure.of(theirs)
    return _estimate(value, drawn, mine)


def _draws(pairs: int, seed: int, resamples: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, max(pairs, 1), (resamples, pairs))


def _estimate(value: float, drawn: NDArray[np.float64], values: NDArray[np.float64]) -> Estimate:
    pairs = int((~np.isnan(values)).sum())
    drawn = drawn[~np.isnan(drawn)]
    if pairs < 2 or not len(drawn):
        return Estimate(value, np.nan, np.nan, pairs)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), pairs)
