"""Which keypoints rounding can change: non-maximum suppression on scores that are known only to within an error."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.features.decode import without_border
from oakpoint.features.suppression import MAXPOOL_ROUNDS
from oakpoint.features.types import DecodeOptions

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Certainty:
    """What can be said of keypoints when every score may be off by some factor.

    Attributes:
        kept: bool (H, W), pixels that are keypoints whatever the true scores are.
        possible: bool (H, W), pixels that are keypoints for some true scores, those of ``kept`` among them.
    """

    kept: Mask
    possible: Mask


def certainty_of(heatmap: NDArray[np.float32], error: float, options: DecodeOptions) -> Certainty:
    """Keypoints that are certain and keypoints that are possible, for scores within a factor of exp(±error).

    A pixel is surely kept when its lowest score passes the threshold and beats the highest score of every pixel around
    it that is not surely suppressed; what lies around a kept one is surely suppressed. Repeated until nothing changes,
    that follows a decision which rounding can turn to whatever hangs on it, neighbour by neighbour, however far.

    For every heat map within the error, ``decode`` without a limit on the number of keypoints finds all of ``kept`` and
    nothing outside ``possible`` (``tests/property/test_certainty.py``). The suppression ``maxpool`` stops after some
    rounds; what takes more of them is only possible.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1], finite.
        error: largest difference of the scores' natural logarithms, 0 or more.
        options: threshold, NMS and border; ``max_keypoints`` does not count.
    """
    scores = heatmap.astype(np.float64)
    low, high = scores * np.exp(-error), scores * np.exp(error)
    undecided = (high >= options.threshold) & (heatmap > 0)
    could_pass = undecided & (low >= options.threshold)
    radius = options.nms_radius_px
    around = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    others = around.copy()
    others[radius, radius] = 0
    by_round: list[Mask] = []
    while True:
        rivals = cv2.dilate(np.where(undecided, high, 0.0), others) if radius else 0.0
        sure = undecided & could_pass & (low > rivals)
        if not sure.any():
            break
        by_round.append(sure)
        undecided &= ~cv2.dilate(sure.view(np.uint8), around).view(np.bool_)
    possible = np.logical_or.reduce([undecided, *by_round])
    decided = by_round[:MAXPOOL_ROUNDS] if options.nms == "maxpool" else by_round
    kept = np.logical_or.reduce([np.zeros_like(undecided), *decided])
    return Certainty(without_border(kept, options.border_px), without_border(possible, options.border_px))
