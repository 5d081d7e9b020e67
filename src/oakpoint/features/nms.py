"""Non-maximum suppression on a heat map, by two definitions.

Both work on Chebyshev distance: a pixel's neighbourhood is the square of (2r + 1)² pixels around it. Where no two
pixels have the same probability:

* ``nms_greedy`` keeps a pixel exactly when no kept pixel of higher probability lies in its neighbourhood;
* ``nms_maxpool`` is the same reasoning stopped after three rounds, so that its result is a subset of the greedy one's:
  of a chain of pixels in which each overshadows the next it keeps three, and nothing of the rest.

They part on ties: greedy keeps the first in row-major order, max-pool keeps all of them, however close.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.features.suppression import MAXPOOL_ROUNDS, Suppression, square_of


def nms_greedy(heatmap: NDArray[np.float32], radius_px: int, threshold: float) -> NDArray[np.bool_]:
    """Keep the most probable pixel, drop its neighbourhood, and so on: the original demo's definition, exactly.

    Candidates are the pixels whose probability is above 0 and at least ``threshold``. Of equal ones the first in
    row-major order comes first (the original leaves that to an unstable sort).

    Not one pixel after another, but in rounds: a candidate that is the best of its neighbourhood among those undecided
    is kept whatever happens elsewhere, and what lies around it is suppressed. A photograph takes two to four rounds at
    the presets' thresholds, and a map without structure at most some hundred.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1]; NaN is no candidate.
        radius_px: suppression radius r; 0 keeps every candidate.
        threshold: lowest probability of a candidate, in [0, 1].

    Returns:
        bool (H, W), True where a keypoint is kept. No two of them are within r of each other along both axes.

    Raises:
        UsageError: a negative radius.

    Source: DeTone et al. 2018; demo_superpoint.py (``nms_fast``) of magicleap/SuperPointPretrainedNetwork.
    """
    kept = np.zeros(heatmap.shape, np.bool_)
    kept.ravel()[greedy_maxima(heatmap, radius_px, threshold)] = True
    return kept


def greedy_maxima(heatmap: NDArray[np.float32], radius_px: int, threshold: float) -> NDArray[np.int64]:
    """What ``nms_greedy`` keeps, as ascending flat indices, int64 (N,).

    Raises:
        UsageError: a negative radius.
    """
    return Suppression(heatmap, radius_px, threshold).greedy()


def maxpool_maxima(heatmap: NDArray[np.float32], radius_px: int, threshold: float) -> NDArray[np.int64]:
    """What ``nms_maxpool`` keeps of what is at least ``threshold``, as ascending flat indices, int64 (N,).

    Raises:
        UsageError: a negative radius.
    """
    return Suppression(heatmap, radius_px, threshold).maxpool()


def nms_maxpool(heatmap: NDArray[np.float32], radius_px: int) -> NDArray[np.bool_]:
    """Keep the local maxima, then twice more those of what is not near a kept one: SuperGlue's definition.

    A constant number of maximum filters, which is why a network graph can contain it. There is no threshold: applying
    one to the result is the same as applying it to the heat map first.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1]; 0 and NaN are never kept.
        radius_px: suppression radius r; 0 keeps every pixel above 0.

    Returns:
        bool (H, W), True where a keypoint is kept. Two within r of each other have the same probability.

    Raises:
        UsageError: a negative radius.

    Source: ``simple_nms`` in models/superpoint.py of magicleap/SuperGluePretrainedNetwork (Sarlin et al. 2020, arXiv
    1911.11763); Transformers' SuperPoint has the same.
    """
    return nms_maxpool_rounds(heatmap, radius_px, MAXPOOL_ROUNDS)


def nms_maxpool_rounds(heatmap: NDArray[np.float32], radius_px: int, rounds: int) -> NDArray[np.bool_]:
    """``nms_maxpool`` with another number of rounds; without ties, enough of them make it ``nms_greedy``.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1].
        radius_px: suppression radius.
        rounds: 1 for the local maxima alone.

    Returns:
        bool (H, W), True where a keypoint is kept.

    Raises:
        UsageError: a negative radius.
    """
    square = square_of(radius_px)
    left = np.where(heatmap > 0, heatmap, np.float32(0))
    kept = np.zeros(heatmap.shape, np.bool_)
    for _ in range(rounds):
        if not left.any():
            break
        peaks = (left == cv2.dilate(left, square)) & (left > 0)
        kept |= peaks
        left[_near(peaks, square)] = 0
    return kept


def _near(peaks: NDArray[np.bool_], square: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return cv2.dilate(peaks.view(np.uint8), square).view(np.bool_)
