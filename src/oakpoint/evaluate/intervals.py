"""How sure a figure is: bootstrap intervals over sequences, and paired ones of a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.bootstrap import draws, numbered, resampled
from oakpoint.evaluate.figures import Figure

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Enough for a 95 % percentile interval (Efron and Tibshirani 1993, section 13.3: 1000 or more)."""

FEW_SEQUENCES = 10
"""With fewer, an interval is too narrow: it has the true value in it less often than it says. docs/evaluation.md has
how often."""

Values = NDArray[np.float64]
Progress = Callable[[int], None]
"""Called with how many draws are done, a part of them at a time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over pairs and its 95 % interval.

    Attributes:
        value: over all pairs that have one; NaN when none has.
        low: lower end of the interval; NaN with fewer than two sequences, which say nothing of their spread.
        high: upper end.
        pairs: how many pairs have a value.
        sequences: how many sequences these are of.
    """

    value: float
    low: float
    high: float
    pairs: int
    sequences: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0; of a difference: whether it is likely to be real."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A figure of one extractor on the pairs, and what it is to be compared with.

    Attributes:
        figure: what is computed.
        values: of each pair (n,); NaN where a pair has none.
        baseline: likewise of the extractor that it is compared with; None where it is compared with none.
    """

    figure: Figure
    values: Values
    baseline: Values | None = None


@dataclass(frozen=True, slots=True)
class Estimated:
    """A sample's figure, and how far it is from its baseline; None where it has none."""

    estimate: Estimate
    difference: Estimate | None


def estimates(
    samples: Sequence[Sample],
    sequences: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    progress: Progress = lambda _: None,
) -> list[Estimated]:
    """Figures with their percentile bootstrap intervals, all from the same draws of sequences.

    A difference is that of figures on one draw, so that what makes a pair hard for both cancels: its interval is
    narrower than the two single ones suggest. Pairs that either has no value for are left out of both. The time grows
    as draws × (sequences + pairs) × samples.

    Args:
        samples: what is computed.
        sequences: the name of each pair's sequence, n of them; pairs of one are drawn together.
        seed: of the draws.
        resamples: how many draws of as many sequences as there are, with replacement.
        progress: told how many more draws are done.

    Source: Efron and Tibshirani 1993, «An Introduction to the Bootstrap», section 13.3, for percentile intervals;
    ``bootstrap`` for what is drawn.
    """
    sequence_of_pair = numbered(sequences)
    columns = _Columns(sequence_of_pair)
    places = [columns.of(sample) for sample in samples]
    count = int(sequence_of_pair.max(initial=-1)) + 1
    parts = []
    for drawn in draws(count, pairs=len(sequences), seed=seed, resamples=resamples):
        parts.append(np.array([figure_on(drawn) for figure_on in columns.columns]).reshape(-1, len(drawn)))
        progress(len(drawn))
    found = np.concatenate(parts, axis=1)
    estimated = []
    for sample, (own, pair) in zip(samples, places, strict=True):
        single = _estimate(sample.figure.of(sample.values), found[own], sample.values, sequence_of_pair)
        between = None
        if sample.baseline is not None and pair is not None:
            mine, theirs = _common(sample.values, sample.baseline)
            value = sample.figure.of(mine) - sample.figure.of(theirs)
            between = _estimate(value, found[pair[0]] - found[pair[1]], mine, sequence_of_pair)
        estimated.append(Estimated(single, between))
    return estimated


def estimate(
    figure: Figure, values: Values, sequences: Sequence[str], *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """One figure with its interval; see ``estimates``."""
    return estimates([Sample(figure, values)], sequences, seed=seed, resamples=resamples)[0].estimate


def difference(
    figure: Figure,
    values: Values,
    baseline: Values,
    sequences: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """``values`` less ``baseline`` on the same pairs, with the interval of the difference; see ``estimates``."""
    found = estimates([Sample(figure, values, baseline)], sequences, seed=seed, resamples=resamples)[0].difference
    assert found is not None
    return found


class _Columns:
    """What is computed on every draw: each thing once, though several samples ask for it."""

    def __init__(self, sequence_of_pair: NDArray[np.int64]) -> None:
        self.columns: list[Callable[[Values], Values]] = []
        self._sequence_of_pair = sequence_of_pair
        self._places: dict[tuple[Figure, bytes], int] = {}

    def of(self, sample: Sample) -> tuple[int, tuple[int, int] | None]:
        """The place of a sample's own figure, and those of the two whose difference it asks for."""
        own = self._place(sample.figure, sample.values)
        if sample.baseline is None:
            return own, None
        mine, theirs = _common(sample.values, sample.baseline)
        return own, (self._place(sample.figure, mine), self._place(sample.figure, theirs))

    def _place(self, figure: Figure, values: Values) -> int:
        key = (figure, values.tobytes())
        if key not in self._places:
            self._places[key] = len(self.columns)
            self.columns.append(resampled(figure, values, self._sequence_of_pair))
        return self._places[key]


def _common(values: Values, baseline: Values) -> tuple[Values, Values]:
    """Both where both have a value, NaN elsewhere."""
    lacking = np.isnan(values) | np.isnan(baseline)
    return np.where(lacking, np.nan, values), np.where(lacking, np.nan, baseline)


def _estimate(value: float, drawn: Values, values: Values, sequence_of_pair: NDArray[np.int64]) -> Estimate:
    known = ~np.isnan(values)
    pairs, sequences = int(known.sum()), len(np.unique(sequence_of_pair[known]))
    drawn = drawn[~np.isnan(drawn)]
    if sequences < 2 or not len(drawn):
        return Estimate(value, np.nan, np.nan, pairs, sequences)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), pairs, sequences)
