"""L2 normalisation on the device without leaving the range of FP16.

The device squares descriptors in FP16, whose largest value is 65504: raw norms of 256 and more overflow, and
SuperPoint's run from 190 to 2900. A power of two brings them down (or up, so that no square vanishes); it is folded
into the convolution that the descriptors come from, where it costs nothing, and being a power of two it changes no
digit of a weight unless the weight becomes subnormal.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from oakpoint.convert.graph_edit import GraphEditor, producer_of
from oakpoint.errors import ConversionError

LARGEST_NORM = 64.0
"""The largest measured norm is brought to this or to at least half of it.

The square of 64 is a sixteenth of FP16's largest value: norms may be four times those measured before one overflows.
"""

SMALLEST_NORM = 0.25
"""A network whose largest norm lies from here to ``LARGEST_NORM`` is left as it is: it normalises its own descriptors,
for instance, and there is no convolution at its end to fold a factor into."""

EPSILON = 2.0**-14
"""Added to the squared norm, so that an all-zero descriptor stays zero: FP16's smallest normal number."""

_CARRYING_OPS = {"Identity", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators through which a positive factor passes unchanged."""


def scale_for_norms(largest: float) -> float:
    """The power of two that brings norms up to ``largest`` safely within FP16.

    Args:
        largest: the largest norm of a descriptor that was measured, over real images.

    Raises:
        ConversionError: it is zero or not a number: the network gives no descriptors to scale.
    """
    if not (math.isfinite(largest) and largest > 0):
        raise ConversionError(f"descriptors: expected norms over 0 to scale by, the largest measured is {largest}")
    if SMALLEST_NORM <= largest <= LARGEST_NORM:
        return 1.0
    return 2.0 ** math.floor(math.log2(LARGEST_NORM / largest))


def scale_descriptors(graph: onnx.GraphProto, tensor: str, scale: float) -> None:
    """Multiply a tensor by folding the factor into weights and bias of the convolution that it comes from.

    Args:
        graph: changed in place.
        tensor: name of the descriptors.
        scale: over 0.

    Raises:
        ConversionError: they come from another operator than a convolution with constant weights, or what lies between
            the two is used elsewhere as well.
    """
    if scale == 1.0:
        return
    node = producer_of(graph, tensor)
    while node.op_type in _CARRYING_OPS:
        _require_sole_use(graph, node.input[0])
        node = producer_of(graph, node.input[0])
    constants = {initializer.name: initializer for initializer in graph.initializer}
    if node.op_type != "Conv" or not all(name in constants for name in node.input[1:]):
        raise ConversionError(
            f"layer {node.name or node.output[0]!r} ({node.op_type}): descriptors are scaled by {scale:g} to be "
            "normalised on the device, and the factor has to be folded into the convolution that they come from; "
            "expected a convolution with constant weights; take --heads heatmap, which leaves descriptors as they are"
        )
    for index, name in enumerate(node.input[1:], start=1):
        scaled = (numpy_helper.to_array(constants[name]).astype(np.float64) * scale).astype(np.float32)
        # A copy of their own: another layer may use the same weights.
        graph.initializer.append(numpy_helper.from_array(scaled, f"{name}_of_descriptors"))
        node.input[index] = f"{name}_of_descriptors"
        if not any(name in other.input for other in graph.node):
            graph.initializer.remove(constants[name])


def _require_sole_use(graph: onnx.GraphProto, tensor: str) -> None:
    users = [node for node in graph.node if tensor in node.input]
    if len(users) != 1 or any(output.name == tensor for output in graph.output):
        raise ConversionError(f"{tensor}: cannot be scaled for the descriptors alone, other layers use it as well")


def append_unit_descriptors(graph: onnx.GraphProto, source: str, target: str) -> None:
    """Append x / √(Σ x² + ε) over the channels of ``source`` (1, D, Hc, Wc), as ``target``."""
    edit = GraphEditor(graph, target)
    squares = edit.op("Pow", source, edit.constant(2.0))
    total = edit.op("ReduceSum", squares, edit.constant([1], np.int64), keepdims=1)
    norm = edit.op("Sqrt", edit.op("Add", total, edit.constant(EPSILON)))
    edit.op("Div", source, norm, output=target)
