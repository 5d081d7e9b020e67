"""Detectors that give a map for each stride."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError
from oakpoint.tasks.boxes.layouts.base import STRIDES, Candidates, Layout, Shape, Size, corners_of, fits, grid_of

ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
"""Width and height in pixels of the anchors of each stride that YOLOv5 is published with: clusters of COCO's boxes."""

BOXES_OF_A_CELL = 3


class AnchoredMaps(Layout):
    """A map (1, 3·(5 + C), H/s, W/s) for each stride of 8, 16 and 32, or (1, 3, H/s, W/s, 5 + C), before any sigmoid.

    With σ the sigmoid of a value, a box has its centre at (2σ − 0.5 + cell) · stride and the size (2σ)² · anchor; then
    the probability of any object, and of each class if there is one.

    Source: YOLOv5's documentation (architecture description, «build targets»), for formulas and anchors; Redmon and
    Farhadi 2018 for the order of the values.
    """

    name = "yolov5-maps"
    preset = (0.25, 0.45, 1000)

    def shape_of(self, outputs: Sequence[TensorSpec], size: Size) -> Shape | None:
        """See ``Layout.shape_of``."""
        strides = STRIDES[0]
        if len(outputs) != len(strides) or not fits(size, strides):
            return None
        grids = sorted(((size[1] // s, size[0] // s) for s in strides), reverse=True)
        found = sorted((_grid(spec.shape) for spec in outputs), reverse=True)
        channels = {_channels(spec.shape) for spec in outputs}
        if found != grids or len(channels) != 1:
            return None
        per_box, rest = divmod(channels.pop(), BOXES_OF_A_CELL)
        return Shape(per_box - 5, strides) if not rest and per_box > 5 else None

    def candidates(self, tensors: Tensors, shape: Shape, size: Size) -> Candidates:
        """See ``Layout.candidates``."""
        del size
        maps = sorted(tensors.values(), key=lambda array: -int(np.prod(array.shape)))
        per_box = 5 + shape.classes
        if len(maps) != len(shape.strides) or any(_channels(m.shape) != BOXES_OF_A_CELL * per_box for m in maps):
            got = ", ".join(f"{name} {array.shape}" for name, array in tensors.items())
            raise BackendError(f"boxes: expected maps of {BOXES_OF_A_CELL}·{per_box} channels, got {got}")
        parts = [
            boxes_of_map(sigmoid(_boxes_rows_columns(array, per_box)), stride)
            for array, stride in zip(maps, shape.strides, strict=True)
        ]
        return Candidates(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def boxes_of_map(values: NDArray[np.float32], stride: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Corners (A, 4) and scores (A, C) of one map (3, 5 + C, rows, columns) whose values are sigmoids already."""
    _, channels, rows, columns = values.shape
    places, _ = grid_of((columns * stride, rows * stride), (stride,))
    corners, scores = [], []
    for anchor, of_anchor in zip(ANCHORS[stride], values.reshape(BOXES_OF_A_CELL, channels, -1), strict=True):
        box = of_anchor.T
        centres = (2 * box[:, :2] - 0.5 + places) * stride
        corners.append(corners_of(centres, np.square(2 * box[:, 2:4]) * np.array(anchor, np.float32)))
        scores.append(box[:, 5:] * box[:, 4:5])
    return np.concatenate(corners).astype(np.float32), np.concatenate(scores)


def _boxes_rows_columns(array: NDArray[np.float32], per_box: int) -> NDArray[np.float32]:
    """A map of either form as (3, 5 + C, rows, columns)."""
    if array.ndim == 5:
        return np.moveaxis(np.asarray(array[0], np.float32), -1, 1)
    return np.asarray(array, np.float32).reshape(BOXES_OF_A_CELL, per_box, *array.shape[2:])


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(−x)), without an overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def _grid(shape: Sequence[int | str]) -> tuple[int, int]:
    """Rows and columns of a map of either form; (0, 0) for what is none."""
    if len(shape) == 5 and shape[1] == BOXES_OF_A_CELL:
        shape = shape[:4]
    numbers = [side for side in shape[2:] if isinstance(side, int)]
    return (numbers[0], numbers[1]) if len(shape) == 4 and len(numbers) == 2 else (0, 0)


def _channels(shape: Sequence[int | str]) -> int:
    """Channels of a map of either form, of all boxes of a cell together; 0 for what is none."""
    if len(shape) == 5 and shape[1] == BOXES_OF_A_CELL and isinstance(shape[4], int):
        return BOXES_OF_A_CELL * shape[4]
    return shape[1] if len(shape) == 4 and isinstance(shape[1], int) else 0
