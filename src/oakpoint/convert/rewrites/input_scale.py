"""Pixels as the camera gives them, 0–255, where the network wants them scaled.

U8 pixels are not scaled on the device. The factor is folded into the first convolution's weights; a ``Mul`` node would
stay a SHAVE stage of its own and cost accuracy (heat-map error 5.9e-3 against 1.6e-3 on SuperPoint).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.errors import ConversionError

_CARRYING_OPS = {"Identity", "Reshape", "Transpose", "SpaceToDepth", "Slice", "Split", "Squeeze", "Unsqueeze", "Pad"}
"""Operators that only move pixels (or add zeros), through which a factor can be taken to the convolution behind."""


class InputScale(Rewrite):
    """Fold the factor on an image input into the convolutions behind it."""

    name = "input-scale"
    tolerance = 1e-6

    def __init__(self, tensor: str, scale: float) -> None:
        """Take the input's name, and what its pixels 0–255 are multiplied with."""
        self._tensor, self._scale = tensor, scale

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        return _fold_scale(model, self._tensor, self._scale)


def _fold_scale(model: onnx.ModelProto, tensor: str, scale: float) -> list[str]:
    graph = model.graph
    users = Counter(name for node in graph.node for name in node.input)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    unscaled = {tensor}  # tensors that hold 0–255 where the host's hold [0, 1]
    scaled_weights: dict[str, str] = {}
    convolutions: list[str] = []
    for node in graph.node:  # in the order of execution, as ONNX requires
        touched = {name for name in node.input if name in unscaled}
        if not touched:
            continue
        if node.op_type == "Conv" and touched == {node.input[0]} and node.input[1] in initializers:
            weights = initializers[node.input[1]]
            if weights.name not in scaled_weights:
                scaled_weights[weights.name] = _scaled_weights(graph, weights, scale, users[weights.name])
            node.input[1] = scaled_weights[weights.name]
            convolutions.append(label(node))
        elif _carries(node, touched, initializers):
            unscaled.update(node.output)
        else:
            raise ConversionError(
                f"{label(node)}: the device's input is U8, and 1/255 has to be folded into the convolution behind "
                f"it; expected a convolution with constant weights at the input, got {node.op_type}"
            )
    return convolutions


def _carries(node: onnx.NodeProto, touched: set[str], initializers: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether all that an operator puts out is pixels of the image, or zero: a factor may then come after it."""
    if node.op_type == "Concat":
        return touched == set(node.input)
    if node.op_type not in _CARRYING_OPS or touched != {node.input[0]}:
        return False
    if node.op_type == "Pad" and len(node.input) > 2 and node.input[2]:
        value = initializers.get(node.input[2])
        return value is not None and not numpy_helper.to_array(value).any()
    return True


def _scaled_weights(graph: onnx.GraphProto, weights: onnx.TensorProto, scale: float, users: int) -> str:
    """Scale weights, in a copy of their own where another layer uses them too; returns the name of the scaled ones."""
    # One rounding: float64 product to float32, later to FP16.
    scaled = (numpy_helper.to_array(weights).astype(np.float64) * scale).astype(np.float32)
    if users == 1:
        weights.CopyFrom(numpy_helper.from_array(scaled, weights.name))
        return str(weights.name)
    graph.initializer.append(numpy_helper.from_array(scaled, f"{weights.name}_scaled"))
    return f"{weights.name}_scaled"
