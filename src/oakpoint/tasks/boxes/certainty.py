"""Which boxes rounding can change: suppression on scores and overlaps that are known only to within an error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.boxes.overlap import Corners, iou_bounds

AT_THE_ENDS = 0.01
"""An error δ of a logit moves a score s by s(1 − s)·δ, and FP16 has steps near 0 and 1 as well: δ is taken to move it
by (s(1 − s) + this)·δ."""

CELL_PX = 8
"""The smallest cell of most detectors: no place is known better than to a share of it, however small the box."""

Pairs = set[tuple[int, int]]
"""(row, class): which row of a list of boxes, and which class it was given."""


def reach_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much a score moves for an error of 1 of its logit; see ``AT_THE_ENDS``."""
    return scores * (1 - scores) + AT_THE_ENDS


def extent_of(corners: Corners) -> NDArray[np.float64]:
    """What an error of a box's place is a share of: its longer side and a cell, in pixels; float64 (N,)."""
    sides = np.asarray(corners[:, 2:], np.float64) - np.asarray(corners[:, :2], np.float64)
    return np.asarray(np.maximum(sides, 0).max(axis=1, initial=0.0) + CELL_PX)


@dataclass(frozen=True, slots=True)
class Certainty:
    """What can be said of boxes when scores and overlaps may be off.

    Attributes:
        kept: boxes that are found whatever the true scores are.
        possible: boxes that are found for some true scores, those of ``kept`` among them.
    """

    kept: Pairs
    possible: Pairs


def certainty_of(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    threshold: float,
    iou_threshold: float,
    error: float,
    place_error: float,
) -> Certainty:
    """Boxes that are certain and boxes that are possible.

    A box is surely kept when its lowest score passes the threshold and beats the highest score of every box that may
    overlap it enough and is not surely suppressed; what surely overlaps a kept one is surely suppressed. Repeated until
    nothing changes, that follows a decision which rounding can turn to whatever hangs on it. A row whose class may be
    another is never certain.

    Args:
        corners: float32 (N, 4), see ``suppression.kept_boxes``.
        scores: float32 (N, C) in [0, 1].
        threshold: lowest score of a box.
        iou_threshold: see ``suppression.kept_boxes``.
        error: of the scores' logits, 0 or more; see ``reach_of``.
        place_error: of every coordinate, as a share of its box; see ``extent_of``.
    """
    rows, classes, alone = _contenders(scores, threshold, error)
    values = scores[rows, classes].astype(np.float64)
    reach = error * reach_of(values)
    low, high = values - reach, values + reach
    boxes = corners[rows]
    others = (classes[:, np.newaxis] == classes[np.newaxis]) & ~np.eye(len(rows), dtype=np.bool_)
    least, most = iou_bounds(boxes, place_error * extent_of(boxes))
    may_touch, must_touch = others & (most > iou_threshold), others & (least > iou_threshold)
    undecided, kept = np.ones(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    could = (low >= threshold) & alone
    while True:
        rivals = np.where(may_touch & undecided[np.newaxis], high[np.newaxis], -np.inf).max(axis=1, initial=-np.inf)
        sure = undecided & could & (low > rivals)
        if not sure.any():
            break
        kept |= sure
        could &= ~may_touch[:, sure].any(axis=1)
        undecided &= ~sure & ~must_touch[:, sure].any(axis=1)
    pairs = list(zip(rows.tolist(), classes.tolist(), strict=True))
    return Certainty(
        {pair for pair, is_kept in zip(pairs, kept, strict=True) if is_kept},
        {pair for pair, can_be in zip(pairs, kept | undecided, strict=True) if can_be},
    )


def _contenders(
    scores: NDArray[np.float32], threshold: float, error: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows and classes that may pass the threshold and be the best of their row; and whether they surely are that."""
    exact = scores.astype(np.float64)
    reach = error * reach_of(exact)
    best_low = (exact - reach).max(axis=1, initial=-np.inf, keepdims=True)
    may_be_best = exact + reach >= best_low
    if error == 0:  # of equal scores the first one
        may_be_best &= np.arange(scores.shape[1]) == exact.argmax(axis=1)[:, np.newaxis]
    rows, classes = np.nonzero(may_be_best & (exact + reach >= threshold))
    alone = may_be_best.sum(axis=1) == 1
    return rows.astype(np.int64), classes.astype(np.int64), alone[rows]
