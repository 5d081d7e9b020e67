"""Heads ``yolo``: maps that DepthAI's own ``DetectionNetwork`` decodes, on the camera or on the host.

It looks for outputs with «yolo» in their names, sorts them by name, and takes one for each stride of 8, 16 and 32. Two
forms of them are made here:

* *distances*, of ``yolov8``: (1, 5 + C, H/s, W/s): how far the left, top, right and bottom edges lie from the centre of
  the cell, in cells; the largest score; the score of each class;
* *anchored*, of ``yolov5-maps``: (1, 3·(5 + C), H/s, W/s), the network's own maps behind a sigmoid.

Source: ``DetectionParserUtils.cpp`` of luxonis/depthai-core (``decodeTLBR``, ``decodeV5AB``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.graph_edit import GraphEditor, set_outputs
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import BackendError, ConversionError
from oakpoint.tasks.boxes.layouts.base import STRIDES, Candidates, Shape, Size, cells, grid_of
from oakpoint.tasks.boxes.layouts.maps import BOXES_OF_A_CELL, boxes_of_map

YOLO = "yolo"
"""The heads' name."""

PARTS = 4 + 1
"""Channels before those of the classes."""


class YoloForm(ABC):
    """One form of maps that DepthAI decodes.

    Attributes:
        subtype: as an archive's head has it.
        layout: of the network that it is made of.
    """

    subtype: ClassVar[str]
    layout: ClassVar[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the maps, that of the smallest stride first."""
        return tuple(f"output{number}_{self.subtype}" for number in range(1, len(STRIDES[0]) + 1))

    @abstractmethod
    def append(self, graph: onnx.GraphProto, outputs: Sequence[TensorSpec], shape: Shape, size: Size) -> None:
        """Append operators that make the maps of the network's ``outputs``, to a graph of opset 13."""

    @abstractmethod
    def candidates(self, tensors: Tensors, shape: Shape) -> Candidates:
        """All boxes of one image, row for row as the network's own outputs have them.

        Raises:
            BackendError: maps of other shapes.
        """


@final
class Distances(YoloForm):
    """See the module."""

    subtype = "yolov8"
    layout = "yolov8"

    def append(self, graph: onnx.GraphProto, outputs: Sequence[TensorSpec], shape: Shape, size: Size) -> None:
        """See ``YoloForm.append``: from centres and sizes in pixels, of all cells at once, cut into maps."""
        (source,) = (output.name for output in outputs)
        edit = GraphEditor(graph, YOLO)

        def part(tensor: str, start: int, end: int, axis: int) -> str:
            bounds = [edit.constant([value], np.int64) for value in (start, end, axis)]
            return edit.op("Slice", tensor, *bounds)

        places, steps = grid_of(size, shape.strides)
        centres = edit.constant((places + 0.5).T[np.newaxis])
        in_cells = edit.constant((1 / steps).T[np.newaxis])
        half_in_cells = edit.constant((0.5 / steps).T[np.newaxis])
        middle = edit.op("Mul", part(source, 0, 2, 1), in_cells)
        half = edit.op("Mul", part(source, 2, 4, 1), half_in_cells)
        off = edit.op("Sub", middle, centres)
        scores = part(source, 4, 4 + shape.classes, 1)
        best = edit.op("ReduceMax", scores, axes=[1], keepdims=1) if shape.classes > 1 else scores
        lists = edit.op("Concat", edit.op("Sub", half, off), edit.op("Add", half, off), best, scores, axis=1)
        start = 0
        for name, stride in zip(self.names, shape.strides, strict=True):
            count = cells(size, (stride,))
            extent = (1, PARTS + shape.classes, size[1] // stride, size[0] // stride)
            of_stride = part(lists, start, start + count, 2)
            edit.op("Reshape", of_stride, edit.constant(extent, np.int64), output=name)
            start += count

    def candidates(self, tensors: Tensors, shape: Shape) -> Candidates:
        """See ``YoloForm.candidates``."""
        corners, scores = [], []
        for name, stride in zip(self.names, shape.strides, strict=True):
            values = _map(tensors, name, PARTS + shape.classes)
            _, rows, columns = values.shape
            places, _ = grid_of((columns * stride, rows * stride), (stride,))
            of_cell = values.reshape(len(values), -1).T
            near, far = places + 0.5 - of_cell[:, :2], places + 0.5 + of_cell[:, 2:4]
            corners.append(np.concatenate([near, far], axis=1) * stride)
            scores.append(of_cell[:, PARTS:])
        return Candidates(np.concatenate(corners).astype(np.float32), np.concatenate(scores))


@final
class Anchored(YoloForm):
    """See the module."""

    subtype = "yolov5"
    layout = "yolov5-maps"

    def append(self, graph: onnx.GraphProto, outputs: Sequence[TensorSpec], shape: Shape, size: Size) -> None:
        """See ``YoloForm.append``."""
        edit = GraphEditor(graph, YOLO)
        for name, stride in zip(self.names, shape.strides, strict=True):
            rows, columns = size[1] // stride, size[0] // stride
            output = next(spec for spec in outputs if spec.shape[2] == rows)
            values = output.name
            if len(output.shape) == 5:
                channels_first = edit.op("Transpose", values, perm=[0, 1, 4, 2, 3])
                extent = (1, BOXES_OF_A_CELL * (PARTS + shape.classes), rows, columns)
                values = edit.op("Reshape", channels_first, edit.constant(extent, np.int64))
            edit.op("Sigmoid", values, output=name)

    def candidates(self, tensors: Tensors, shape: Shape) -> Candidates:
        """See ``YoloForm.candidates``."""
        channels = BOXES_OF_A_CELL * (PARTS + shape.classes)
        parts = []
        for name, stride in zip(self.names, shape.strides, strict=True):
            values = _map(tensors, name, channels)
            parts.append(boxes_of_map(values.reshape(BOXES_OF_A_CELL, -1, *values.shape[1:]), stride))
        return Candidates(*(np.concatenate(part) for part in zip(*parts, strict=True)))


FORMS: tuple[YoloForm, ...] = (Distances(), Anchored())


def yolo_form_of(tensors: Tensors) -> YoloForm | None:
    """The form of a model's outputs, by their names; None where they are the network's own."""
    return next((form for form in FORMS if set(form.names) == set(tensors)), None)


def yolo_form_for(layout: str) -> YoloForm | None:
    """The form that is made of a network of this layout; None where there is none."""
    return next((form for form in FORMS if form.layout == layout), None)


@final
class YoloHeads(Rewrite):
    """Make of a detector's outputs maps that DepthAI decodes."""

    name = "heads"

    def __init__(self, layout: str, outputs: Sequence[TensorSpec], shape: Shape, size: Size) -> None:
        """Take the network's layout, its outputs with their sizes, classes and strides, and the image's (W, H)."""
        self._layout, self._outputs, self._shape, self._size = layout, outputs, shape, size

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``.

        Raises:
            ConversionError: DepthAI decodes no network of this layout, or of these strides.
        """
        form = yolo_form_for(self._layout)
        if form is None or self._shape.strides != STRIDES[0]:
            there = ", ".join(form.layout for form in FORMS)
            raise ConversionError(
                f"heads {YOLO}: expected a detector laid out as {there}, with strides {STRIDES[0]}; got "
                f"{self._layout} with {self._shape.strides}; leave out --heads, and the host decodes it"
            )
        form.append(model.graph, self._outputs, self._shape, self._size)
        set_outputs(model.graph, *form.names)
        return form.names


def _map(tensors: Tensors, name: str, channels: int) -> NDArray[np.float32]:
    array = tensors[name]
    if array.ndim != 4 or array.shape[:2] != (1, channels):
        raise BackendError(f"output {name}: expected (1, {channels}, rows, columns), got {array.shape}")
    return np.asarray(array[0], np.float32)
