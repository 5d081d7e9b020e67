"""How much of each pixel polygons cover, exactly: the box filter, without samples and without a bias at edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oakpoint.geometry import outer_from_centre

Contour = NDArray[np.float64]
"""Vertices (V, 2) of a simple polygon in pixels, in either sense of rotation."""


def coverage(
    contours: Sequence[Contour], values: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint polygons with a grey value each.

    Every edge is cut where it leaves a pixel. A piece covers part of its own pixel and all of those to its right,
    with the sign of its vertical sense; the running sum along a row is the covered area. Polygons that only share
    edges add up without a seam.

    Args:
        contours: polygons, anywhere; what lies outside the image is cut off.
        values: (len(contours),), grey.
        size: (W, H) of the image in pixels.

    Returns:
        Covered share of each pixel, float32 (H, W) in [0, 1], and the mean grey of what covers it, float32 (H, W).
        Where polygons overlap, their greys mix.
    """
    width, height = size
    starts, deltas, weights, edge_values = _edges(contours, values)
    edge, begin, end = _cuts(starts, deltas)
    mid = starts[edge] + (0.5 * (begin + end))[:, None] * deltas[edge]
    rise = (end - begin) * deltas[edge, 1] * weights[edge]
    column, row = np.floor(mid).astype(np.int64).T
    inside = (row >= 0) & (row < height) & (column < width)
    edge, mid, rise, column, row = edge[inside], mid[inside], rise[inside], column[inside], row[inside]
    share = np.where(column < 0, 0.0, mid[:, 0] - column)  # left of the image: everything is to the right
    index = row * (width + 1) + np.maximum(column, 0)
    index, rise = np.concatenate([index, index + 1]), np.concatenate([rise * (1 - share), rise * share])
    grey = np.tile(edge_values[edge], 2)
    covered, painted = (
        np.bincount(index, amount, height * (width + 1)).reshape(height, width + 1).cumsum(axis=1)[:, :width]
        for amount in (rise, rise * grey)
    )
    mean = painted / np.maximum(covered, 1e-6)
    return np.clip(covered, 0, 1).astype(np.float32), np.clip(mean, 0, 255).astype(np.float32)


def signed_area(contour: Contour) -> float:
    """The area of a polygon; negative where the vertices run counter-clockwise as one sees them (y points down)."""
    (x, y), (next_x, next_y) = contour.T, np.roll(contour, -1, axis=0).T
    return float(0.5 * np.sum(x * next_y - next_x * y))


def _edges(
    contours: Sequence[Contour], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Starts (E, 2), extents (E, 2), signs (E,) that make areas positive, and greys (E,), without horizontal edges."""
    counts = [len(contour) for contour in contours]
    starts = outer_from_centre(np.concatenate(contours))
    deltas = np.concatenate([np.roll(contour, -1, axis=0) - contour for contour in contours])
    signs = np.repeat([-np.sign(signed_area(contour)) for contour in contours], counts)
    rising = deltas[:, 1] != 0
    return starts[rising], deltas[rising], signs[rising], np.repeat(values, counts)[rising]


def _cuts(
    starts: NDArray[np.float64], deltas: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Pieces of edges, each within one pixel: the edge's index, and where along it (0 to 1) a piece begins and ends."""
    edges, where = [np.arange(len(starts))], [np.zeros(len(starts))]
    low, high = np.minimum(starts, starts + deltas), np.maximum(starts, starts + deltas)
    first, last = np.floor(low).astype(np.int64) + 1, np.ceil(high).astype(np.int64) - 1
    for axis in (0, 1):
        counts = np.maximum(last[:, axis] - first[:, axis] + 1, 0)
        edge = np.repeat(np.arange(len(starts)), counts)
        line = first[edge, axis] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
        edges.append(edge)
        where.append((line - starts[edge, axis]) / deltas[edge, axis])
    edge, begin = np.concatenate(edges), np.concatenate(where)
    order = np.argsort(2 * edge + np.clip(begin, 0, 1), kind="stable")
    edge, begin = edge[order], begin[order]
    end = np.append(begin[1:], 1.0)
    end[np.append(edge[1:] != edge[:-1], True)] = 1.0
    return edge, begin, end
