"""Keypoints between pixels, read off the heat map around each maximum; no layer of the network is needed for it.

Both methods move a keypoint by at most half a pixel along each axis: it stays within the pixel of its maximum, and so
inside the image, and what was decided of that pixel (threshold, NMS, border) goes on holding for it.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.features.types import Subpixel

SOFT_ARGMAX_RADIUS_PX = 2
"""The window of ``soft_argmax`` is 5×5 pixels, as in Jau et al. 2020; docs/evaluation.md has what 3×3 measured."""

MAX_SHIFT_PX = 0.5
"""Beyond this a point lies nearer to another pixel's centre than to that of its maximum (Brown and Lowe 2002)."""


def refined_keypoints(heatmap: NDArray[np.float32], maxima: NDArray[np.int64], method: Subpixel) -> NDArray[np.float32]:
    """Positions of maxima of a heat map, between pixels.

    =============== ==================================================================================================
    name            position
    =============== ==================================================================================================
    ``none``        the maximum's pixel
    ``soft_argmax`` Σ p · (x, y) / Σ p over the 5×5 pixels around it, less what lies beyond the heat map's edges
    ``quadratic``   the top of the quadratic through the log-probabilities of the 3×3 pixels around it
    =============== ==================================================================================================

    ``soft_argmax`` is the softmax-weighted mean of log-probabilities, at temperature 1. Lesser maxima that NMS
    suppressed pull at it as any other pixel does; leaving them out (only pixels to which p falls monotonically from the
    maximum) measured no better. ``quadratic`` is exact for a Gaussian bump, whatever its width.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1], finite; what is below 0 counts as 0.
        maxima: int64 (N, 2), (x, y) of the pixels that were kept.
        method: one of the names above.

    Returns:
        float32 (N, 2), (x, y) in pixels of the heat map, each within half a pixel of its maximum along both axes, to
        which what goes further is brought back.

    Raises:
        UsageError: an unknown method.

    Source: Jau et al. 2020, arXiv 2007.15122 (DeepFEPE), for ``soft_argmax`` on SuperPoint's heat map; Brown and Lowe
    2002, «Invariant features from interest point groups», for ``quadratic``, there on differences of Gaussians.
    """
    if method == "none":
        return maxima.astype(np.float32)
    if method == "soft_argmax":
        shift = _soft_argmax_shift(_windows(heatmap, maxima, SOFT_ARGMAX_RADIUS_PX))
    elif method == "quadratic":
        shift = _quadratic_shift(_windows(heatmap, maxima, 1))
    else:
        raise UsageError(f"subpixel: expected one of {', '.join(get_args(Subpixel))}, got {method!r}")
    return (maxima + np.clip(shift, -MAX_SHIFT_PX, MAX_SHIFT_PX)).astype(np.float32)


def _soft_argmax_shift(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2), the mean of a window's pixels (N, k, k) weighted by their values, from its centre; 0 where all are 0."""
    side = windows.shape[1]
    steps = np.arange(-(side // 2), side // 2 + 1)
    of_pixel = np.ascontiguousarray(windows.reshape(-1, side * side).T).reshape(side, side, -1)  # sums run over windows
    moments = np.stack([of_pixel.sum(axis=0).T @ steps, of_pixel.sum(axis=1).T @ steps], axis=1)
    total = windows.sum(axis=(1, 2))[:, None]
    return np.asarray(np.divide(moments, total, out=np.zeros_like(moments), where=total > 0))


def _quadratic_shift(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2), −H⁻¹ g of the logarithms in windows (N, 3, 3), with gradient g and Hessian H by central differences.

    0 where that is no top: a value of 0 (as beyond the heat map's edges), a neighbour above the centre, a plateau, or a
    saddle. Two equal pixels side by side are none of these: the top is halfway between them.

    Source: Brown and Lowe 2002, the section on sub-pixel accuracy.
    """
    positive = windows.min(axis=(1, 2), keepdims=True) > 0
    logarithms = np.log(np.where(positive, windows, 1.0))
    above, middle, below = logarithms[:, 0], logarithms[:, 1], logarithms[:, 2]
    centre = middle[:, 1]
    gx, gy = (middle[:, 2] - middle[:, 0]) / 2, (below[:, 1] - above[:, 1]) / 2
    xx, yy = middle[:, 2] + middle[:, 0] - 2 * centre, below[:, 1] + above[:, 1] - 2 * centre
    xy = (below[:, 2] + above[:, 0] - below[:, 0] - above[:, 2]) / 4
    determinant = xx * yy - xy * xy
    top = positive[:, 0, 0] & (centre >= logarithms.max(axis=(1, 2))) & (xx < 0) & (determinant > 0)
    numerators = np.stack([xy * gy - yy * gx, xy * gx - xx * gy], axis=1)
    return np.asarray(np.divide(numerators, determinant[:, None], out=np.zeros_like(numerators), where=top[:, None]))


def _windows(heatmap: NDArray[np.float32], maxima: NDArray[np.int64], radius: int) -> NDArray[np.float64]:
    """The heat map around each maximum, (N, 2r + 1, 2r + 1), rows first; 0 beyond its edges and for what is below 0."""
    height, width = heatmap.shape
    steps = np.arange(-radius, radius + 1)
    x, y = maxima.T
    around = (y * width + x)[:, None] + (steps[:, None] * width + steps).ravel()
    last_x, last_y = width - 1 - radius, height - 1 - radius
    beyond = np.flatnonzero((x < radius) | (x > last_x) | (y < radius) | (y > last_y))
    around[beyond] = 0
    values = np.maximum(heatmap.ravel()[around], 0)
    if len(beyond):
        values[beyond] = _windows_at_edges(heatmap, maxima[beyond], steps)
    return np.asarray(values, np.float64).reshape(-1, len(steps), len(steps))


def _windows_at_edges(
    heatmap: NDArray[np.float32], maxima: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The same of maxima whose windows may reach beyond the edges, (N, (2r + 1)²)."""
    height, width = heatmap.shape
    rows, columns = (
        maxima[:, axis, None] + s for axis, s in ((1, np.repeat(steps, len(steps))), (0, np.tile(steps, len(steps))))
    )
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    values = heatmap[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.asarray(np.where(inside, np.maximum(values, 0), 0), np.float32)
