"""Inputs of one fixed shape, and what follows from it written down as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from oakpoint.convert.graph_edit import drop_unused, static_sizes
from oakpoint.convert.rewrites.base import Rewrite

_BROADCASTING = {"Add", "Div", "Mul", "Sub"}


class FixedShapes(Rewrite):
    """Give the inputs their shapes, and fold what only open sizes need: ``Shape``, and ``Expand`` where it broadcasts.

    Nothing that is computed from values changes.
    """

    name = "fixed-shapes"

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Take the shape of each input by name."""
        self._shapes = shapes

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        before = {node.output[0]: node.op_type for node in model.graph.node}
        for value in model.graph.input:
            if value.name in self._shapes:
                kind = value.type.tensor_type.elem_type
                value.CopyFrom(helper.make_tensor_value_info(value.name, kind, self._shapes[value.name]))
        del model.graph.value_info[:]
        for output in model.graph.output:  # sizes follow from the input's
            kind = output.type.tensor_type.elem_type
            output.CopyFrom(helper.make_tensor_value_info(output.name, kind, None))
        _fold_static_shapes(model)
        after = {node.output[0] for node in model.graph.node}
        return [f"layer {name!r} ({kind})" for name, kind in before.items() if name not in after]


def _fold_static_shapes(model: onnx.ModelProto) -> None:
    """Replace ``Shape`` by the numbers that it gives, and drop ``Expand`` where its consumers broadcast.

    A network that normalises its own descriptors (``torch.nn.functional.normalize``) comes with both, for an open
    batch; with the input's size fixed they say nothing any more.

    Args:
        model: changed in place; its input has a fixed size.
    """
    graph = model.graph
    sizes = static_sizes(model)
    for node in list(graph.node):
        size = sizes.get(node.input[0]) if node.op_type == "Shape" else None
        if size is not None:
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            part = size[attributes.get("start", 0) : attributes.get("end", len(size))]
            graph.initializer.append(numpy_helper.from_array(np.array(part, np.int64), node.output[0]))
            graph.node.remove(node)
    for node in list(graph.node):
        if node.op_type == "Expand" and _only_broadcast(graph, node.output[0], sizes):
            for consumer in graph.node:
                consumer.input[:] = [node.input[0] if name == node.output[0] else name for name in consumer.input]
            graph.node.remove(node)
    drop_unused(graph)


def _only_broadcast(graph: onnx.GraphProto, name: str, sizes: dict[str, list[int] | None]) -> bool:
    """Whether a tensor goes to nothing but element-wise operators whose other input has its full size already."""
    size = sizes.get(name)
    consumers = [node for node in graph.node if name in node.input]
    is_output = any(output.name == name for output in graph.output)
    return (
        bool(consumers)
        and not is_output
        and all(
            node.op_type in _BROADCASTING
            and size is not None
            and [sizes.get(other) for other in node.input if other != name] == [size]
            for node in consumers
        )
    )
