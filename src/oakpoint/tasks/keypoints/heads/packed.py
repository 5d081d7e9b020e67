"""``packed``: half the bytes over USB: values quantised to 8 bits, four of them in each int32.

The compiler gives outputs as FP16 or S32 and refuses U8 («"U8" is not a valid precision for output layer»), so the
bytes are put together on the device, in integers. Values are rounded by ``Floor`` beforehand, so that nothing depends
on how the device rounds when it converts to integers, and kept in −127 … 127, so that no sum leaves int32.

``features.packed`` is the other side, and says what a byte means.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto

from oakpoint.backends.base import Tensors
from oakpoint.convert.graph_edit import GraphEditor, set_outputs
from oakpoint.errors import ConversionError
from oakpoint.features.packed import (
    DESCRIPTOR_LEVELS,
    LEVELS_PER_OCTAVE,
    SMALLEST_PROBABILITY,
    VALUES,
    ZERO,
    descriptors_from_packed,
    heatmap_from_packed,
)
from oakpoint.features.types import LOGIT_CHANNELS, HeatmapOutputs
from oakpoint.tasks.keypoints.heads.base import DESC, SEMI, Form, Head, Heads
from oakpoint.tasks.keypoints.heads.normalised import at_unit_norm

HEATMAP_PACKED, DESCRIPTORS_PACKED = "heatmap_packed", "descriptors_packed"

EPSILON = 2.0**-14
"""Added to a cell's largest value, so that an all-zero descriptor stays zero: FP16's smallest normal number."""


class Packed(Head):
    """``heatmap_packed`` int32 (1, 16, H/8, W/8) and ``descriptors_packed`` int32 (1, D/4, H/8, W/8)."""

    name = "packed"
    tensors = (HEATMAP_PACKED, DESCRIPTORS_PACKED)

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``."""
        del size, heads
        append_packed_heatmap(graph, SEMI, HEATMAP_PACKED)
        append_packed_descriptors(graph, DESC, DESCRIPTORS_PACKED)
        set_outputs(graph, HEATMAP_PACKED, DESCRIPTORS_PACKED, kind=TensorProto.INT32)

    def read(self, tensors: Tensors) -> HeatmapOutputs:
        """See ``Head.read``."""
        return HeatmapOutputs(
            heatmap_from_packed(tensors[HEATMAP_PACKED][0]), descriptors_from_packed(tensors[DESCRIPTORS_PACKED][0])
        )

    def reference_form(self) -> Form:
        """See ``Head.reference_form``."""
        return at_unit_norm


def append_packed_heatmap(graph: onnx.GraphProto, semi: str, target: str) -> None:
    """Append softmax over the channels of ``semi`` (1, 65, Hc, Wc), and its first 64 packed, as ``target``.

    Args:
        graph: changed in place; opset 13.
        semi: detector logits.
        target: int32 (1, 16, Hc, Wc); see ``features.packed.heatmap_from_packed``.
    """
    edit = GraphEditor(graph, target)
    integers = [edit.constant([value], np.int64) for value in (0, LOGIT_CHANNELS - 1, 1)]
    cells = edit.op("Slice", edit.op("Softmax", semi, axis=1), *integers)
    cells = edit.op("Clip", cells, edit.constant(SMALLEST_PROBABILITY), edit.constant(1.0))
    levels = edit.op("Mul", edit.op("Log", cells), edit.constant(LEVELS_PER_OCTAVE / math.log(2)))
    levels = edit.op("Add", levels, edit.constant(255 - ZERO + 0.5))  # p = 1 is 255
    _pack(edit, edit.op("Floor", levels), LOGIT_CHANNELS - 1, target)


def append_packed_descriptors(graph: onnx.GraphProto, desc: str, target: str) -> None:
    """Append ``desc`` (1, D, Hc, Wc), each cell divided by its largest absolute value, packed, as ``target``.

    Nothing is squared and nothing needs to be known of the norms; the host restores unit norm.

    Args:
        graph: changed in place; opset 13.
        desc: coarse descriptors of any norm.
        target: int32 (1, D/4, Hc, Wc); see ``features.packed.descriptors_from_packed``.

    Raises:
        ConversionError: D is no multiple of 4.
    """
    channels = _channels(graph, desc)
    edit = GraphEditor(graph, target)
    magnitude = edit.op("Max", desc, edit.op("Mul", desc, edit.constant(-1.0)))  # the compiler does not take Abs
    largest = edit.op("ReduceMax", magnitude, axes=[1], keepdims=1)
    levels = edit.op("Div", desc, edit.op("Add", largest, edit.constant(EPSILON)))
    levels = edit.op("Add", edit.op("Mul", levels, edit.constant(DESCRIPTOR_LEVELS)), edit.constant(0.5))
    _pack(edit, edit.op("Floor", levels), channels, target)


def _channels(graph: onnx.GraphProto, desc: str) -> int:
    inferred = onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph, opset_imports=_OPSET)).graph
    shape = next(output for output in inferred.output if output.name == desc).type.tensor_type.shape.dim
    channels = int(shape[1].dim_value) if len(shape) == 4 else 0
    if channels < VALUES or channels % VALUES:
        raise ConversionError(
            f"heads packed: expected descriptors of a multiple of {VALUES} values, got {channels}; take --heads heatmap"
        )
    return channels


_OPSET = [onnx.helper.make_opsetid("", 13)]


def _pack(edit: GraphEditor, values: str, channels: int, target: str) -> None:
    """Whole numbers −127 … 127 (1, C, Hc, Wc) to int32 (1, C/4, Hc, Wc): the sum of value i times 256^i, by Horner.

    Value i of packed channel c is channel i · C/4 + c.
    """
    sizes = edit.constant([channels // VALUES] * VALUES, np.int64)
    names = [f"{target}_part{index}" for index in range(VALUES)]
    parts = edit.split("Split", values, sizes, outputs=names, axis=1)
    whole = [edit.op("Cast", part, to=TensorProto.INT32) for part in parts]
    base = edit.constant(256, np.int32)
    total = whole[-1]
    for index in reversed(range(VALUES - 1)):
        total = edit.op("Add", edit.op("Mul", total, base), whole[index], output="" if index else target)
