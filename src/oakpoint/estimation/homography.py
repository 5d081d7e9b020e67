"""The estimator of published figures: OpenCV's plain RANSAC, which ``evaluate`` must not exchange for a better one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.geometry import Points


def ransac_homography(
    first: Points, second: Points, *, threshold_px: float, max_iterations: int, confidence: float
) -> NDArray[np.float64] | None:
    """The homography that RANSAC finds between matched points (M, 2), or None: fewer than four, or degenerate.

    OpenCV's random numbers start from the same seed each time, so that the same points give the same homography.

    Source: ``cv2.findHomography(…, cv2.RANSAC)``.
    """
    if len(first) < 4:
        return None
    cv2.setRNGSeed(0)
    found, _ = cv2.findHomography(
        np.asarray(first, np.float64),
        np.asarray(second, np.float64),
        cv2.RANSAC,
        threshold_px,
        maxIters=max_iterations,
        confidence=confidence,
    )
    return None if found is None or not np.isfinite(found).all() else np.asarray(found, np.float64)
