"""The way of SuperPoint's original demo, and of the tutorials that followed it, to keypoints: the baseline.

The image is resized and divided by 255 on the host; what the network gives is read with NumPy: an exponential over all
65 channels, transposes and reshapes to the heat map, a Python loop over its points for the suppression, and bilinear
descriptors. Written anew from the description; what comes out is what ``features.decode`` gives with the preset
``superpoint``.

Source: DeTone, Malisiewicz, Rabinovich 2018, arXiv 1712.07629, and what demo_superpoint.py of
magicleap/SuperPointPretrainedNetwork does.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.features.types import CELL_PX, DecodeOptions, DenseOutputs, Features
from oakpoint.images.preprocess import Interpolation, grey_from_image

DENOMINATOR: Final = 1e-5
"""The demo adds it to the sum of a cell's exponentials."""

_WAITING: Final = 1


def tensor_of(image: NDArray[np.uint8], size: tuple[int, int], interpolation: Interpolation) -> NDArray[np.float32]:
    """The network's input, float32 (1, 1, H, W) in [0, 1].

    Args:
        image: uint8 (H', W') or (H', W', 3) BGR.
        size: (W, H) of the tensor in pixels.
        interpolation: ``area`` in the demo; ``linear`` for networks that were made for that.
    """
    method = cv2.INTER_AREA if interpolation == "area" else cv2.INTER_LINEAR
    resized = cv2.resize(grey_from_image(image), size, interpolation=method)
    return (resized.astype(np.float32) / np.float32(255.0))[np.newaxis, np.newaxis]


def features_of(outputs: DenseOutputs, options: DecodeOptions) -> Features:
    """Keypoints, scores and descriptors from the network's outputs, in pixels of the tensor.

    Args:
        outputs: logits and coarse descriptors.
        options: threshold, NMS radius, border and number of keypoints count; NMS is greedy, keypoints are whole pixels,
            and descriptors are taken where the demo takes them, whatever else the options say.
    """
    heatmap = _heatmap(outputs.logits)
    rows, columns = np.where((heatmap >= options.threshold) & (heatmap > 0))
    kept = _suppressed(rows, columns, heatmap, options.nms_radius_px)
    rows, columns = rows[kept], columns[kept]
    border, (height, width) = options.border_px, heatmap.shape
    inside = (columns >= border) & (columns < width - border) & (rows >= border) & (rows < height - border)
    rows, columns = rows[inside][: options.max_keypoints], columns[inside][: options.max_keypoints]
    keypoints = np.stack([columns, rows], axis=1).astype(np.float32)
    return Features(keypoints, heatmap[rows, columns], _described(outputs.descriptors, keypoints), (width, height))


def _heatmap(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponentials = np.exp(logits)
    probabilities = exponentials / (np.sum(exponentials, axis=0) + np.float32(DENOMINATOR))
    cells = probabilities[:-1].transpose(1, 2, 0)
    rows, columns = cells.shape[:2]
    spread = cells.reshape(rows, columns, CELL_PX, CELL_PX).transpose(0, 2, 1, 3)
    return np.asarray(spread.reshape(rows * CELL_PX, columns * CELL_PX), np.float32)


def _suppressed(
    rows: NDArray[np.int64], columns: NDArray[np.int64], heatmap: NDArray[np.float32], radius_px: int
) -> NDArray[np.int64]:
    """Indices of the points that are kept, the best first: one after the other, each ends what lies around it."""
    best_first = np.argsort(-heatmap[rows, columns], kind="stable")
    grid = np.pad(np.zeros(heatmap.shape, np.int8), radius_px)  # so that no neighbourhood is cut
    for index in best_first:
        grid[rows[index] + radius_px, columns[index] + radius_px] = _WAITING
    kept = []
    for index in best_first:
        row, column = rows[index] + radius_px, columns[index] + radius_px
        if grid[row, column] == _WAITING:
            grid[row - radius_px : row + radius_px + 1, column - radius_px : column + radius_px + 1] = 0
            kept.append(index)
    return np.array(kept, np.int64)


def _described(coarse: NDArray[np.float32], keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors, float32 (N, D): each cell's to unit norm (in the original the network does that), then bilinear."""
    coarse = coarse / np.linalg.norm(coarse, axis=0, keepdims=True)
    rows, columns = coarse.shape[1:]
    x = keypoints[:, 0] / (columns * CELL_PX) * (columns - 1)
    y = keypoints[:, 1] / (rows * CELL_PX) * (rows - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    to_right, to_bottom = x - left, y - top
    upper = coarse[:, top, left] * (1 - to_right) + coarse[:, top, right] * to_right
    lower = coarse[:, bottom, left] * (1 - to_right) + coarse[:, bottom, right] * to_right
    descriptors = upper * (1 - to_bottom) + lower * to_bottom
    return np.ascontiguousarray((descriptors / np.linalg.norm(descriptors, axis=0, keepdims=True)).T, np.float32)
