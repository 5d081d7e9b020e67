"""How much of what keypoints are for, to be matched, is lost in coarser arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.matching import match
from oakpoint.features.types import Features
from oakpoint.geometry import reprojection_errors

CORRECT_PX = 3.0
"""A match is right when it is no farther from where the point is; as in the matching score of SuperPoint's paper."""


def lost_matching(
    expected: Sequence[Features], got: Sequence[Features], second_from_first: NDArray[np.float64]
) -> float:
    """The matching score of one model less that of the other, on an image and its second view.

    Args:
        expected: features of both views, of the model that is believed.
        got: likewise of the other.
        second_from_first: the true homography (3, 3) between the views.

    Returns:
        In [-1, 1]; NaN where the believed model finds no keypoint in either view.

    Source: DeTone, Malisiewicz, Rabinovich 2018, arXiv 1712.07629, appendix B, for the score: right matches over the
    keypoints of an image, in the mean of both. All of the first view lies in the second but for its corners, so that
    all keypoints count.
    """
    theirs = _matching_score(expected[0], expected[1], second_from_first)
    mine = _matching_score(got[0], got[1], second_from_first)
    return theirs - (0.0 if np.isnan(mine) else mine)


def _matching_score(first: Features, second: Features, second_from_first: NDArray[np.float64]) -> float:
    counts = [len(side) for side in (first, second) if len(side)]
    if not counts:
        return float("nan")
    pairs = match(first, second).indices
    errors = reprojection_errors(first.keypoints[pairs[:, 0]], second.keypoints[pairs[:, 1]], second_from_first)
    right = int((errors <= CORRECT_PX).sum())
    return float(np.mean([right / count for count in counts]))
