"""The bootstrap over sequences: which are drawn, and what a figure is on each draw.

Pairs of one sequence share its first image and resemble each other, so they are no independent observations. What is
drawn with replacement is therefore the sequence, and all its pairs come along; within it nothing is drawn.

Source: Davison and Hinkley 1997, «Bootstrap Methods and their Application», section 3.8 (hierarchical data: groups are
drawn, the observations in them kept); Cameron, Gelbach and Miller 2008, «Bootstrap-Based Improvements for Inference
with Clustered Errors», section III (the pairs cluster bootstrap).

A draw is how many times each sequence was drawn, and a mean or an area on it follows from sums over each sequence, so
that its cost does not hang on how many pairs a sequence has. All figures of all extractors rest on the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.figures import Figure

Array = NDArray[np.float64]
Resampled = Callable[[Array], Array]
"""From draws (B, C), how many times each of C sequences was drawn, to a figure on each: (B,), NaN where it has none."""

_ELEMENTS_AT_ONCE = 1 << 20
"""Draws × pairs that are worked on together, which bounds memory to some 30 MB."""


def numbered(sequences: Sequence[str]) -> NDArray[np.int64]:
    """Numbers (n,) of the sequences that pairs belong to, from 0 in the order of their first pairs."""
    number = {name: index for index, name in enumerate(dict.fromkeys(sequences))}
    return np.array([number[name] for name in sequences], np.int64)


def draws(sequences: int, *, pairs: int, seed: int, resamples: int) -> Iterator[Array]:
    """How many times each sequence is drawn, in parts (B, C) of ``resamples`` rows in all; each row's sum is C.

    Args:
        sequences: C.
        pairs: how many pairs they have, which decides on the size of the parts and on nothing else.
        seed: of the draws.
        resamples: how many.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // max(pairs, sequences, 1))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(0, max(sequences, 1), (rows, sequences))
        flat = (drawn + sequences * np.arange(rows)[:, np.newaxis]).ravel()
        yield np.bincount(flat, minlength=rows * sequences).reshape(rows, sequences).astype(np.float64)


def resampled(figure: Figure, values: Array, sequence_of_pair: NDArray[np.int64]) -> Resampled:
    """What gives a figure on draws.

    Args:
        figure: mean, median or area.
        values: of each pair (n,); NaN where a pair has none.
        sequence_of_pair: (n,), see ``numbered``.
    """
    known = ~np.isnan(values)
    sequences = int(sequence_of_pair.max(initial=-1)) + 1
    made = {"mean": _mean, "median": _median, "auc": _area}[figure.statistic]
    return made(figure, values[known], sequence_of_pair[known], sequences)


def _mean(figure: Figure, values: Array, sequence_of_pair: NDArray[np.int64], sequences: int) -> Resampled:
    del figure
    centre = float(values.mean()) if len(values) else 0.0  # so that equal values have an interval of no width
    sums = np.bincount(sequence_of_pair, values - centre, sequences)
    counts = np.bincount(sequence_of_pair, minlength=sequences).astype(np.float64)
    return lambda drawn: _ratio(drawn @ sums, drawn @ counts) + centre


def _area(figure: Figure, values: Array, sequence_of_pair: NDArray[np.int64], sequences: int) -> Resampled:
    """``metrics.area_under_curve`` of errors of which each comes as often as its sequence was drawn.

    Its trapezoids are the area below the steps of recall, Σ (t − e) / n over errors e < t, and triangles as high as one
    step, 1/n, whose widths add up to the largest e < t.
    """
    threshold = figure.threshold_px
    below = values < threshold
    areas = np.bincount(sequence_of_pair[below], threshold - values[below], sequences)
    largest = np.zeros(sequences)
    np.maximum.at(largest, sequence_of_pair[below], values[below])
    counts = np.bincount(sequence_of_pair, minlength=sequences).astype(np.float64)

    def of(drawn: Array) -> Array:
        reached: Array = np.where(drawn > 0, largest, 0.0).max(axis=1, initial=0.0)
        return _ratio(drawn @ areas + reached / 2, threshold * (drawn @ counts))

    return of


def _median(figure: Figure, values: Array, sequence_of_pair: NDArray[np.int64], sequences: int) -> Resampled:
    """The values in order, in √n blocks: a matrix product says in which block the middle lies, a look into it where."""
    del figure
    order = np.argsort(values, kind="stable")
    ordered, of_sequence = values[order], sequence_of_pair[order]
    length = max(1, math.isqrt(len(ordered)))
    blocks = -(-len(ordered) // length)
    in_block = np.zeros((sequences, blocks))
    np.add.at(in_block, (of_sequence, np.arange(len(ordered)) // length), 1.0)
    padded = np.pad(of_sequence, (0, blocks * length - len(ordered))).reshape(blocks, length)

    def at(places: NDArray[np.int64], drawn: Array, up_to_block: Array) -> Array:
        """The values at places (B,), from 0, of each draw written out in order."""
        rows = np.arange(len(drawn))
        block = (up_to_block > places[:, np.newaxis]).argmax(axis=1)
        before = np.where(block > 0, up_to_block[rows, block - 1], 0.0)
        up_to = drawn[rows[:, np.newaxis], padded[block]].cumsum(axis=1)
        within = (up_to > (places - before)[:, np.newaxis]).argmax(axis=1)
        found: Array = ordered[block * length + within]
        return found

    def of(drawn: Array) -> Array:
        figures = np.full(len(drawn), np.nan)
        up_to_block = (drawn @ in_block).cumsum(axis=1)
        some = up_to_block[:, -1] > 0 if blocks else np.zeros(len(drawn), np.bool_)
        drawn, up_to_block = drawn[some], up_to_block[some]
        if len(drawn):
            lower, upper = (at(places, drawn, up_to_block) for places in _middle(up_to_block[:, -1].astype(np.int64)))
            figures[some] = (lower + upper) / 2
        return figures

    return of


def _middle(total: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two places in the middle of so many ordered values, from 0; the same one of an odd number."""
    return (total - 1) // 2, total // 2


def _ratio(above: Array, below: Array) -> Array:
    """Their ratio; NaN where there is nothing below."""
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
