"""Which keypoints of an image a protocol counts: thinned, in the shared area, the best of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.types import Features
from oakpoint.geometry import inside_image, warped_by_homography


def thinned(features: Features, radius_px: float) -> Features:
    """Greedy non-maximum suppression of keypoints: no two that stay are within ``radius_px`` along both axes.

    The same rule as ``features.nms.nms_greedy``, for keypoints that come from no heat map. Equal scores are ordered by
    x and y, so that the order of the keypoints does not matter.

    Args:
        features: N keypoints in any order.
        radius_px: 0 removes only keypoints at the same place.
    """
    order = _best_first(features)
    points = features.keypoints[order]
    alive = np.ones(len(points), np.bool_)
    for i in range(len(points)):
        if alive[i]:
            alive[i + 1 :] &= (np.abs(points[i + 1 :] - points[i]) > radius_px).any(axis=1)
    return features.subset(order[alive])


def best(features: Features, count: int, *, fixed_ties: bool) -> Features:
    """The ``count`` keypoints of highest score, highest first.

    Args:
        features: N keypoints in any order.
        count: how many at most.
        fixed_ties: order equal scores by x and y; otherwise they stay in the order in which they came.
    """
    order = _best_first(features) if fixed_ties else np.argsort(-features.scores, kind="stable")
    return features.subset(order[:count])


def in_shared_area(
    features: Features, other_from_own: NDArray[np.float64], other_size: tuple[int, int], *, to_edges: bool
) -> NDArray[np.bool_]:
    """Which keypoints lie in the other image once warped: bool (N,).

    Args:
        features: N keypoints.
        other_from_own: homography (3, 3) into the other image.
        other_size: (W, H) of the other image in pixels.
        to_edges: the image spans −0.5 … W − 0.5; otherwise 0 ≤ x < W, as published code has it.
    """
    warped = warped_by_homography(other_from_own, features.keypoints)
    if to_edges:
        return inside_image(warped, other_size)
    return np.asarray(((warped >= 0) & (warped < np.array(other_size))).all(axis=1), np.bool_)


def _best_first(features: Features) -> NDArray[np.int64]:
    x, y = features.keypoints[:, 0], features.keypoints[:, 1]
    return np.asarray(np.lexsort((y, x, -features.scores)), np.int64)
