"""The figures of one image pair, and the area under a curve of errors: pure functions.

Points are (N, 2) in pixels, origin at the centre of the top-left pixel (``oakpoint.geometry``). Every function is
right for no points at all; what cannot be measured is NaN, and an error that has no bound is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.geometry import Points, inverse, warped_by_homography

Homography = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Repeatability:
    """How many keypoints of two images are found again in the other one.

    Attributes:
        share: in [0, 1]; NaN where neither image has a keypoint in the shared area.
        localisation_px: mean distance of the repeated ones; NaN where there are none.
    """

    share: float
    localisation_px: float


def repeatability(
    first: Points, second: Points, second_from_first: Homography, *, threshold_px: float
) -> Repeatability:
    """Repeatability of keypoints in the shared area, as SuperPoint's authors and rpautrat's evaluation compute it.

    A keypoint is repeated when the nearest one of the other image, after warping, is within ``threshold_px``; several
    may share a nearest one. All distances are taken in the second image. Rep = (repeated of the first + repeated of the
    second) / (N₁ + N₂); the localisation error is the mean distance of these.

    Args:
        first: keypoints (N₁, 2) of the first image that lie in the second one.
        second: keypoints (N₂, 2) of the second image that lie in the first one.
        second_from_first: homography (3, 3).
        threshold_px: ε.

    Source: DeTone et al. 2018, arXiv 1712.07629, appendix A, equations 13 to 15; ``compute_repeatability`` in
    superpoint/evaluations/detector_evaluation.py of rpautrat/SuperPoint.
    """
    total = len(first) + len(second)
    if not len(first) or not len(second):
        return Repeatability(0.0 if total else np.nan, np.nan)
    apart = _distances(warped_by_homography(second_from_first, first), second)
    nearest = np.concatenate([apart.min(axis=1), apart.min(axis=0)])
    return _repeatability(nearest[nearest <= threshold_px], total)


def repeatability_one_to_one(
    first: Points, second: Points, second_from_first: Homography, *, threshold_px: float
) -> Repeatability:
    """Repeatability in which a keypoint answers for one other at most, and no image is preferred.

    The distance of two keypoints is the larger of that in the second image and that in the first. A pair counts when
    each is the nearest of the other and they are within ``threshold_px``. Swapping the images changes nothing.

    Args and returns as ``repeatability``.

    Source: one-to-one correspondences as in Mikolajczyk et al. 2005, «A comparison of affine region detectors»,
    section 4.1.
    """
    total = len(first) + len(second)
    if not len(first) or not len(second):
        return Repeatability(0.0 if total else np.nan, np.nan)
    apart = np.maximum(
        _distances(warped_by_homography(second_from_first, first), second),
        _distances(first, warped_by_homography(inverse(second_from_first), second)),
    )
    of_second = apart.argmin(axis=1)
    mutual = np.flatnonzero(apart.argmin(axis=0)[of_second] == np.arange(len(first)))
    nearest = apart[mutual, of_second[mutual]]
    return _repeatability(np.repeat(nearest[nearest <= threshold_px], 2), total)


def share_within(errors: NDArray[np.float64], threshold_px: float) -> float:
    """Share of matches with an error of at most ``threshold_px``; 0 without a match.

    Source: MMA in hpatches_sequences/HPatches-Sequences-Matching-Benchmark.ipynb of mihaidusmanu/d2-net, which gives a
    pair without a match an infinite error.
    """
    return float((errors <= threshold_px).mean()) if len(errors) else 0.0


def matching_score(correct: int, first_in_shared: int, second_in_shared: int) -> float:
    """Share of the keypoints in the shared area that end in a correct match, the mean of both images.

    Returns:
        In [0, 1]; an image without a keypoint in the shared area counts as 0, NaN when both are.

    Source: DeTone et al. 2018, arXiv 1712.07629, appendix B «Matching Score».
    """
    if not first_in_shared and not second_in_shared:
        return np.nan
    return float(np.mean([correct / n if n else 0.0 for n in (first_in_shared, second_in_shared)]))


def corner_error_px(estimated: Homography | None, true: Homography, size: tuple[int, int]) -> float:
    """Mean distance of the four corner pixels of the first image under an estimated and the true homography.

    Args:
        estimated: (3, 3), or None: no homography was found, an infinite error.
        true: (3, 3).
        size: (W, H) of the first image in pixels; the corners are (0, 0) … (W − 1, H − 1).

    Source: DeTone et al. 2018, arXiv 1712.07629, section 7.3; ``compute_homography`` in
    superpoint/evaluations/descriptor_evaluation.py of rpautrat/SuperPoint.
    """
    if estimated is None:
        return np.inf
    right, bottom = size[0] - 1, size[1] - 1
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)
    apart = np.linalg.norm(warped_by_homography(estimated, corners) - warped_by_homography(true, corners), axis=1)
    mean = float(apart.mean())
    return mean if np.isfinite(mean) else np.inf


def area_under_curve(errors: NDArray[np.float64], threshold_px: float) -> float:
    """Area under the cumulative curve of errors from 0 to ``threshold_px``, over ``threshold_px``; in [0, 1].

    Trapezoids between the sorted errors; the curve is level from the last one within the threshold.

    Args:
        errors: (n,), infinite where nothing was found; NaN for no errors at all.
        threshold_px: above 0.

    Source: ``pose_auc`` in models/utils.py of magicleap/SuperGluePretrainedNetwork (Sarlin et al. 2020).
    """
    if not len(errors):
        return np.nan
    ordered = np.sort(errors)
    recall = np.arange(1, len(errors) + 1) / len(errors)
    below = int(np.searchsorted(ordered, threshold_px))
    reached = recall[below - 1] if below else 0.0
    x = np.concatenate([[0.0], ordered[:below], [threshold_px]])
    y = np.concatenate([[0.0], recall[:below], [reached]])
    return float(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2 / threshold_px)


def _repeatability(repeated: NDArray[np.float64], total: int) -> Repeatability:
    return Repeatability(len(repeated) / total, float(repeated.mean()) if len(repeated) else np.nan)


def _distances(a: Points, b: Points) -> NDArray[np.float64]:
    """Distances (N, M) of points (N, 2) and (M, 2); infinite where one is not finite."""
    apart = np.linalg.norm(np.asarray(a, np.float64)[:, np.newaxis] - np.asarray(b, np.float64), axis=2)
    return np.asarray(np.nan_to_num(apart, nan=np.inf, posinf=np.inf), np.float64)
