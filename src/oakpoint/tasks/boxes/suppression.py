"""Non-maximum suppression: of boxes of one class that overlap, the one with the highest score stays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 4096
"""Boxes above the threshold that are looked at, the highest scores first: suppression compares each with each."""

_SMALLEST_PX = 1e-6
"""Side of a box that has none: OpenCV takes any two boxes without an area for one."""


def kept_boxes(
    corners: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """Which boxes stay, by index, the highest score first; of equal scores the first one.

    Args:
        corners: float32 (N, 4), x and y of the top-left and of the bottom-right corner; finite.
        scores: float32 (N,).
        classes: int64 (N,); boxes of two classes do not touch each other.
        iou_threshold: a box goes when one of a higher score overlaps it by more than this.

    Returns:
        int64 (M,).
    """
    best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    if not len(best):
        return np.zeros(0, np.int64)
    boxes = corners[best].astype(np.float64)
    boxes[:, 2:] = np.maximum(boxes[:, 2:] - boxes[:, :2], _SMALLEST_PX)
    given: Any = (boxes, scores[best], classes[best])  # OpenCV takes arrays where its annotations ask for lists
    kept = cv2.dnn.NMSBoxesBatched(given[0], given[1], given[2], -1.0, iou_threshold)
    return best[np.asarray(kept, np.int64).reshape(-1)]
