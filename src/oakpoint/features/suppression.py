"""Rounds of non-maximum suppression at the candidates alone; ``nms`` has the two definitions."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.features.workspace import WORKSPACE

MAXPOOL_ROUNDS = 3
"""One maximum, then two rounds on what it left (magicleap/SuperGluePretrainedNetwork, models/superpoint.py)."""

FEW = 1 / 400
"""Of a map's pixels: as many places or fewer are looked at one by one, which is then faster than the whole."""

_FLOAT32_EXACT_INTEGERS = 1 << 24


class Suppression:
    """The pixels of which nothing is decided yet, and their values in a map that is 0 elsewhere.

    A round keeps the *peaks*, whose value is the largest of their neighbourhood, and drops what lies near them. The map
    has a margin of the radius, so that neighbourhoods lie within it. Its values are probabilities; where two peaks of a
    round have the same one and greedy suppression may keep one alone, ranks take their place: they order any two
    candidates alike, and have no ties.

    Args:
        heatmap: float32 (H, W), probabilities; NaN is no candidate.
        radius_px: suppression radius r.
        threshold: lowest probability of a candidate; 0 is none, whatever the threshold.

    Raises:
        UsageError: a negative radius.
    """

    def __init__(self, heatmap: NDArray[np.float32], radius_px: int, threshold: float) -> None:
        self._square = square_of(radius_px)
        self._radius, self._shape = radius_px, heatmap.shape
        height, width = heatmap.shape
        enough = WORKSPACE.array("enough", heatmap.shape, np.bool_)
        if threshold > 0:
            np.greater_equal(heatmap, threshold, out=enough)
        else:
            np.greater(heatmap, 0, out=enough)
        candidates = np.flatnonzero(enough)
        self._left = WORKSPACE.array("left", (height + 2 * radius_px, width + 2 * radius_px), np.float32)
        self._left.fill(0)
        self._places = candidates + (candidates // width * (2 * radius_px) + radius_px * (self._left.shape[1] + 1))
        self._left.ravel()[self._places] = heatmap.ravel()[candidates]
        self._values: NDArray[Any] = self._left.ravel()[self._places]

    def greedy(self) -> NDArray[np.int64]:
        """Flat indices of what is kept by rounds until nothing is undecided, ascending, int64 (N,)."""
        kept = []
        ranked = False
        while len(self._places):
            peaks = self._peaks()
            if not ranked and _has_equal(self._left.ravel()[peaks]):
                self._rank()
                ranked = True
                continue
            kept.append(peaks)
            self._suppress_near(peaks)
        return self._of_heatmap(kept)

    def maxpool(self) -> NDArray[np.int64]:
        """The same of ``MAXPOOL_ROUNDS`` rounds; of equal peaks all stay."""
        kept = []
        for _ in range(MAXPOOL_ROUNDS):
            kept.append(peaks := self._peaks())
            self._suppress_near(peaks)
        return self._of_heatmap(kept)

    def _peaks(self) -> NDArray[np.int64]:
        left = self._left
        if len(self._places) <= FEW * left.size:
            largest = left.ravel()[self._neighbourhoods(self._places)].max(axis=1, initial=0)
        else:
            dilated = cv2.dilate(left, self._square, dst=WORKSPACE.array("dilated", left.shape, left.dtype))
            largest = dilated.ravel()[self._places]
        return np.asarray(self._places[self._values == largest], np.int64)

    def _suppress_near(self, peaks: NDArray[np.int64]) -> None:
        left = self._left.ravel()
        if len(peaks) <= FEW * left.size:
            left[self._neighbourhoods(peaks)] = 0
            stays = left[self._places] > 0
        else:
            marked = WORKSPACE.array("marked", self._left.shape, np.uint8)
            marked.fill(0)
            marked.ravel()[peaks] = 1
            near = cv2.dilate(marked, self._square, dst=WORKSPACE.array("near", self._left.shape, np.uint8))
            stays = near.ravel()[self._places] == 0
            left[self._places[~stays]] = 0
        self._places, self._values = self._places[stays], self._values[stays]

    def _rank(self) -> None:
        """Put ranks in the place of probabilities: 1 for the lowest, of equal ones for the last in row-major order."""
        count = len(self._places)
        exact = np.float32 if count < _FLOAT32_EXACT_INTEGERS else np.float64
        ranks = np.empty(count, exact)
        ranks[np.argsort(-self._values, kind="stable")] = np.arange(count, 0, -1, dtype=exact)
        self._left = np.zeros(self._left.shape, exact)
        self._left.ravel()[self._places] = ranks
        self._values = ranks

    def _neighbourhoods(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flat indices (len(places), (2r + 1)²) of the pixels around places."""
        steps = np.arange(-self._radius, self._radius + 1)
        offsets = steps[:, None] * self._left.shape[1] + steps
        return np.asarray(places[:, None] + offsets.ravel(), np.int64)

    def _of_heatmap(self, places: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Flat indices of the heat map, ascending, of those of the map with its margin."""
        together = np.sort(np.concatenate(places)) if places else np.zeros(0, np.int64)
        rows = together // self._left.shape[1]
        return np.asarray(together - (rows * 2 * self._radius + self._radius * (self._shape[1] + 1)), np.int64)


def square_of(radius_px: int) -> NDArray[np.uint8]:
    """The neighbourhood of a radius as OpenCV takes it, (2r + 1, 2r + 1).

    Raises:
        UsageError: a negative radius.
    """
    if radius_px < 0:
        raise UsageError(f"NMS radius: expected 0 or more pixels, got {radius_px}")
    return np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)


def _has_equal(values: NDArray[Any]) -> bool:
    ascending = np.sort(values)
    return bool((ascending[1:] == ascending[:-1]).any())
