"""Detectors that give one list of boxes: of centre and size, or such as become that on their grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError
from oakpoint.tasks.boxes.layouts.base import STRIDES, Candidates, Layout, Shape, Size, cells, corners_of, fits, grid_of

POSE_CHANNELS = 4 + 1 + 3 * 17
"""One class and 17 points of a body, of three values each: as many channels as 52 classes."""


class ChannelsFirst(Layout):
    """(1, 4 + C, A): centre and size in pixels, then a probability for each class; one box for each cell.

    Source: the output of YOLOv8 and of its successors 9, 11 and 12 as they are exported.
    """

    name = "yolov8"
    preset = (0.25, 0.7, 300)

    def shape_of(self, outputs: Sequence[TensorSpec], size: Size) -> Shape | None:
        """See ``Layout.shape_of``."""
        if len(outputs) != 1 or len(outputs[0].shape) != 3:
            return None
        _, channels, boxes = outputs[0].shape
        strides = next((s for s in STRIDES if fits(size, s) and boxes == cells(size, s)), None)
        if strides is None or not isinstance(channels, int) or channels < 5:
            return None
        return Shape(channels - 4, strides)

    def candidates(self, tensors: Tensors, shape: Shape, size: Size) -> Candidates:
        """See ``Layout.candidates``."""
        del size
        values = self.only(tensors)
        if values.shape[0] != 4 + shape.classes:
            raise BackendError(f"boxes: expected an output (1, {4 + shape.classes}, A), got (1, {values.shape[0]}, …)")
        return Candidates(corners_of(values[:2].T, values[2:4].T), np.ascontiguousarray(values[4:].T))


class ChannelsLast(Layout):
    """(1, A, 5 + C): centre and size in pixels, the probability of any object, and of each class if there is one.

    Three boxes for each cell.

    Source: Redmon and Farhadi 2018 (YOLOv3, arXiv 1804.02767), section 2.1, for what the values are; the output of
    YOLOv5 and YOLOv7 as they are exported.
    """

    name = "yolov5"
    preset = (0.25, 0.45, 1000)
    boxes_of_a_cell = 3

    def shape_of(self, outputs: Sequence[TensorSpec], size: Size) -> Shape | None:
        """See ``Layout.shape_of``."""
        if len(outputs) != 1 or len(outputs[0].shape) != 3:
            return None
        _, boxes, channels = outputs[0].shape
        expected = ((s, self.boxes_of_a_cell * cells(size, s)) for s in STRIDES if fits(size, s))
        strides = next((s for s, count in expected if boxes == count), None)
        if strides is None or not isinstance(channels, int) or channels < 6:
            return None
        return Shape(channels - 5, strides)

    def candidates(self, tensors: Tensors, shape: Shape, size: Size) -> Candidates:
        """See ``Layout.candidates``."""
        values = self.only(tensors)
        if values.shape[1] != 5 + shape.classes:
            raise BackendError(f"boxes: expected an output (1, A, {5 + shape.classes}), got (1, …, {values.shape[1]})")
        return Candidates(self._corners(values[:, :4], shape, size), values[:, 5:] * values[:, 4:5])

    def _corners(self, box: NDArray[np.float32], shape: Shape, size: Size) -> NDArray[np.float32]:
        del shape, size
        return corners_of(box[:, :2], box[:, 2:])


class OneForEachCell(ChannelsLast):
    """As ``yolov5`` with one box for each cell.

    Source: the output of YOLOv6 as it is exported; YOLOX's looks the same and means something else.
    """

    name = "yolov6"
    certain = False
    preset = (0.4, 0.45, 1000)
    boxes_of_a_cell = 1


class OnItsGrid(OneForEachCell):
    """As ``yolov6`` in units of its grid: centre = (value + cell) · stride, size = exp(value) · stride.

    Source: Ge et al. 2021 (YOLOX, arXiv 2107.08430); its export leaves this to the host.
    """

    name = "yolox"
    preset = (0.3, 0.45, 300)

    def _corners(self, box: NDArray[np.float32], shape: Shape, size: Size) -> NDArray[np.float32]:
        places, steps = grid_of(size, shape.strides)
        if len(places) != len(box):
            raise BackendError(
                f"boxes: {self.name} is read at the size it was converted for, {size[0]}x{size[1]}, with "
                f"{len(places)} boxes; got {len(box)}"
            )
        with np.errstate(over="ignore"):
            return corners_of((box[:, :2] + places) * steps, np.exp(box[:, 2:]) * steps)
