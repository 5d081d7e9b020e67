"""Descriptors of keypoints, sampled between the coarse ones."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.types import CELL_PX, DescriptorSampling
from oakpoint.features.workspace import WORKSPACE
from oakpoint.geometry import PixelMap, Points, resized_from_original


def cells_from_pixels(grid_size: tuple[int, int], sampling: DescriptorSampling, stride_px: int = CELL_PX) -> PixelMap:
    """Where on the grid of coarse descriptors a pixel of the tensor image lies, by one of three conventions.

    With s the side of a cell, 8 px for SuperPoint, Wc the number of columns, W = s · Wc, and likewise in y:

    ================ ================================================== ==============================================
    name             column of the grid                                 source
    ================ ================================================== ==============================================
    ``original``     x / W · (Wc − 1)                                   demo_superpoint.py: grid x / (W/2) − 1, sampled
                                                                        as PyTorch did in 2018 (corners aligned)
    ``superglue``    (x − s/2 + 0.5) / (W − s/2 − 0.5) · (Wc − 1)       SuperGlue's models/superpoint.py, Transformers
    ``cell_centres`` (x + 0.5) / s − 0.5                                 a coarse descriptor lies at its cell's centre
    ================ ================================================== ==============================================

    Against the cell centres ``original`` is 3.5 px off at the left edge and 4.5 px the other way at the right one,
    ``superglue`` nothing at the left and 3.5 px at the right. Match descriptors only with others of the same
    convention.

    Args:
        grid_size: (Wc, Hc) in cells.
        sampling: the convention's name.
        stride_px: s.

    Returns:
        The map ``cells_from_pixels``.

    Raises:
        UsageError: an unknown name.
    """
    (columns, rows), s = grid_size, stride_px
    if sampling == "original":
        return PixelMap(((columns - 1) / (s * columns), (rows - 1) / (s * rows)), (0.0, 0.0))
    if sampling == "superglue":
        first = s / 2 - 0.5
        last = s / 2 + 0.5
        scale = (columns - 1) / (s * columns - last), (rows - 1) / (s * rows - last)
        return PixelMap(scale, (-first * scale[0], -first * scale[1]))
    if sampling == "cell_centres":
        return resized_from_original((s * columns, s * rows), grid_size)
    raise UsageError(f"sampling: expected one of {', '.join(get_args(DescriptorSampling))}, got {sampling!r}")


def sample_descriptors(
    descriptors: NDArray[np.float32], keypoints: Points, sampling: DescriptorSampling, stride_px: int = CELL_PX
) -> NDArray[np.float32]:
    """Descriptors at keypoints: each cell's to unit norm, bilinear between four cells, to unit norm again.

    The first normalisation is the original network's last step; it is done here so that networks with and without it
    give the same. Outside the outermost cells the nearest one counts. PyTorch's ``grid_sample``, which the originals
    call, pads with zeros there: that scales a descriptor by what is left of the weights, and the last normalisation
    undoes it.

    Args:
        descriptors: float32 (D, Hc, Wc), of any norm.
        keypoints: (N, 2), (x, y) in pixels of the tensor image.
        sampling: see ``cells_from_pixels``.
        stride_px: pixels from one descriptor to the next.

    Returns:
        float32 (N, D), unit L2 norm; all zero where the four cells are zero, cancel out, or one of them is not finite.

    Raises:
        FeaturesError: ``descriptors`` of a wrong rank.
        UsageError: an unknown convention.

    Source: DeTone et al. 2018, section 3.3 (which writes bicubic; its released code is bilinear).
    """
    if descriptors.ndim != 3:
        raise FeaturesError(f"descriptors: expected (channels, rows, columns), got {descriptors.shape}")
    channels, rows, columns = descriptors.shape
    if not len(keypoints):
        return np.zeros((0, channels), np.float32)
    cells = cells_from_pixels((columns, rows), sampling, stride_px)(keypoints)
    index, weight = _bilinear(cells, rows, columns)
    shape = (rows * columns, channels)
    if (by_cell := descriptors.transpose(1, 2, 0)).flags.c_contiguous:
        of_cell = by_cell.reshape(shape)
    elif index.size < TRANSPOSED_FROM * rows * columns:
        return _between(descriptors.reshape(channels, -1).T[index], weight)
    else:
        kept = WORKSPACE.array("of_cell", shape, np.float32)
        of_cell = cv2.transpose(descriptors.reshape(channels, -1), dst=kept).reshape(shape)
    if index.size > rows * columns:
        return _between_cells(of_cell, index, weight)
    corners = WORKSPACE.array("corners", shape, np.float32)[: index.size].reshape(*index.shape, channels)
    np.take(of_cell, index, axis=0, out=corners, mode="clip")  # without a mode, what is taken goes through a copy
    return _between(corners, weight)


CHUNK_VALUES = 1 << 16
"""Of so many values at a time: they stay in the processor's cache from one step to the next."""

TRANSPOSED_FROM = 0.3
"""From so many corners for each cell on, the vectors of all cells are made contiguous before any is taken."""


def _between(corners: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors (N, D) of unit norm between four corners each (4, N, D), which weigh (4, N)."""
    with np.errstate(all="ignore"):
        squared_norm = np.einsum("knd,knd->kn", corners, corners)
        weight = np.where(squared_norm > 0, weight / np.sqrt(squared_norm), weight)
        return _normalised(np.einsum("kn,knd->nd", weight, corners))


def _between_cells(
    of_cell: NDArray[np.float32], index: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``_between`` of corners ``of_cell[index]``, to the last bit, without an array of them: each cell's norm once.

    Args:
        of_cell: (Hc · Wc, D).
        index: (4, N), of cells.
        weight: (4, N).
    """
    channels, count = of_cell.shape[1], index.shape[1]
    found = np.empty((count, channels), np.float32)
    step = max(CHUNK_VALUES // channels, 1)
    buffer = WORKSPACE.array("corner", (step, channels), np.float32)
    with np.errstate(all="ignore"):
        squared_norm = np.einsum("nd,nd->n", of_cell, of_cell)[index]
        weight = np.where(squared_norm > 0, weight / np.sqrt(squared_norm), weight)
        for first in range(0, count, step):
            chunk = slice(first, first + step)
            total = found[chunk]
            one = buffer[: len(total)]
            np.take(of_cell, index[0, chunk], axis=0, out=total, mode="clip")
            total *= weight[0, chunk, None]
            for corner in range(1, 4):
                np.take(of_cell, index[corner, chunk], axis=0, out=one, mode="clip")
                one *= weight[corner, chunk, None]
                total += one
        return _normalised(found)


def unit_norm(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coarse descriptors (D, Hc, Wc) of any norm, each cell's brought to unit L2 norm; all-zero ones stay zero."""
    norms = np.sqrt(np.einsum("dhw,dhw->hw", descriptors, descriptors))
    return np.asarray(descriptors / np.where(norms > 0, norms, np.float32(1)), np.float32)


def _bilinear(cells: NDArray[np.float32], rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Flat indices (4, N) of the cells around each position (N, 2) and their weights (4, N)."""
    inside = np.clip(cells, 0, np.array([columns - 1, rows - 1], np.float32))
    low = np.floor(inside).astype(np.int64)
    high = np.minimum(low + 1, [columns - 1, rows - 1])
    (fx, fy), (x0, y0), (x1, y1) = (inside - low).astype(np.float32).T, low.T, high.T
    index = np.stack([y0 * columns + x0, y0 * columns + x1, y1 * columns + x0, y1 * columns + x1])
    weight = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx])
    return index, weight


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (N, D) of unit norm, in place; zeros for those that have no direction."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= norm
    if not (usable := np.isfinite(norm[:, 0]) & (norm[:, 0] > 0)).all():
        vectors[~usable] = 0
    return vectors
