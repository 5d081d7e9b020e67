"""Layers that do nothing at the sizes that a network is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from oakpoint.convert.graph_edit import bypass, drop_unused, static_sizes
from oakpoint.convert.rewrites.base import Rewrite, label

Sizes = Mapping[str, list[int] | None]

_SHAPING = {"Expand", "Flatten", "Reshape", "Squeeze", "Tile", "Unsqueeze"}
"""Operators that do nothing where what they give has the size of what they get."""

_JOINING = {"Concat", "Max", "Mean", "Min", "Sum"}


class NoEffect(Rewrite):
    """Take out layers that hand on their input as it is.

    Exporters write an ``Expand``, ``Slice`` or ``Pad`` for whatever size comes, and at the one that comes it often does
    nothing; the compiler makes a stage of it all the same. No value changes.
    """

    name = "no-effect"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        sizes = static_sizes(model)
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if len(tensor.dims) < 2}
        touched = []
        for node in list(graph.node):
            if not node.domain and _does_nothing(node, sizes, constants):
                touched.append(label(node))
                bypass(graph, node)
        if touched:
            drop_unused(graph)
        return touched


def _does_nothing(node: onnx.NodeProto, sizes: Sizes, constants: Mapping[str, np.ndarray]) -> bool:
    if node.op_type in _JOINING:
        return len(node.input) == 1
    if node.op_type == "Split":
        return len(node.output) == 1
    if node.op_type == "Transpose":
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        return order is not None and order == sorted(order)
    size = sizes.get(node.input[0])
    if size is None or size != sizes.get(node.output[0]):
        return False
    if node.op_type == "Slice":  # of the same size, it can only be turned round
        steps = constants.get(node.input[4]) if len(node.input) > 4 and node.input[4] else np.ones(1)
        return steps is not None and bool((steps == 1).all())
    if node.op_type == "Pad":
        pads = constants.get(node.input[1])
        return pads is not None and not pads.any()
    return node.op_type in _SHAPING
