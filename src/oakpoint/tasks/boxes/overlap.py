"""How far boxes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float32] | NDArray[np.float64]
"""(N, 4), x and y of the top-left and of the bottom-right corner."""


def iou(a: Corners, b: Corners) -> NDArray[np.float64]:
    """Intersection over union of each box of ``a`` (N, 4) with each of ``b`` (M, 4): float64 (N, M) in [0, 1].

    A box without an area overlaps nothing.
    """
    a, b = (np.asarray(corners, np.float64) for corners in (a, b))
    return _ratio(_intersection(a[:, np.newaxis], b[np.newaxis]), _areas(a)[:, np.newaxis], _areas(b)[np.newaxis])


def pairs_of_boxes(
    a: Corners, classes_a: NDArray[np.int64], b: Corners, classes_b: NDArray[np.int64], least: float
) -> list[tuple[int, int, float]]:
    """Boxes of one class in both lists that overlap by ``least`` or more, each taken once, the nearest first.

    Args:
        a: (N, 4).
        classes_a: (N,).
        b: (M, 4).
        classes_b: (M,).
        least: IoU, above 0.

    Returns:
        Index in the first list, index in the second, and IoU.
    """
    found: list[tuple[int, int, float]] = []
    if not len(a) or not len(b):
        return found
    overlaps = iou(a, b)
    overlaps[classes_a[:, np.newaxis] != classes_b[np.newaxis]] = 0.0
    while (largest := overlaps.max()) >= least:
        i, j = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        found.append((int(i), int(j), float(largest)))
        overlaps[i], overlaps[:, j] = 0.0, 0.0
    return found


def iou_bounds(boxes: Corners, errors_px: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest and the largest IoU of each box with each when every coordinate may be off: float64 (N, N) both.

    The bounds hold, and are not the nearest that do: sides and intersections are taken to be off independently.

    Args:
        boxes: (N, 4).
        errors_px: float64 (N,), how far each box's coordinates may be off.
    """
    exact = np.asarray(boxes, np.float64)
    off = errors_px[:, np.newaxis]
    grown, shrunk = (exact + sign * np.concatenate([-off, -off, off, off], axis=1) for sign in (1, -1))
    least = _ratio(*_parts(_intersection(shrunk[:, np.newaxis], shrunk[np.newaxis]), _areas(grown)))
    common = _intersection(grown[:, np.newaxis], grown[np.newaxis])
    areas = np.maximum(_areas(shrunk), 0)
    whole = np.maximum(areas[:, np.newaxis] + areas[np.newaxis] - common, common)
    with np.errstate(invalid="ignore", divide="ignore"):
        most = np.where(common > 0, common / whole, 0.0)
    return least, most


def _parts(common: NDArray[np.float64], areas: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return common, areas[:, np.newaxis], areas[np.newaxis]


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.prod(np.maximum(corners[..., 2:] - corners[..., :2], 0), axis=-1)  # type: ignore[no-any-return]


def _intersection(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    near = np.maximum(a[..., :2], b[..., :2])
    far = np.minimum(a[..., 2:], b[..., 2:])
    return np.prod(np.maximum(far - near, 0), axis=-1)  # type: ignore[no-any-return]


def _ratio(common: NDArray[np.float64], *areas: NDArray[np.float64]) -> NDArray[Any]:
    whole = areas[0] + areas[1] - common
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, common / whole, 0.0)
