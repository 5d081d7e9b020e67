"""What later opsets write otherwise, and what only open sizes need, put into the words of the device's opset 13."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

REDUCTIONS = {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"}
"""Reductions that take their axes as an input from opset 18 on, and as an attribute before."""

_BROADCASTING = {"Add", "Div", "Mul", "Sub"}


def fold_static_shapes(model: onnx.ModelProto) -> None:
    """Replace ``Shape`` by the numbers that it gives, and drop ``Expand`` where its consumers broadcast.

    A network that normalises its own descriptors (``torch.nn.functional.normalize``) comes with both, for an open
    batch; with the input's size fixed they say nothing any more.

    Args:
        model: changed in place; its input has a fixed size.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {value.name: _numbers(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)}
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
    _drop_unused(graph)


def lower_reductions(model: onnx.ModelProto) -> None:
    """Give reductions with constant axes the attribute that opset 13 has in place of the later input.

    Args:
        model: changed in place; its operators then mean at opset 13 what they meant before.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in REDUCTIONS or len(node.input) < 2 or node.input[1] not in constants:
            continue
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        untouched = any(a.name == "noop_with_empty_axes" and a.i for a in node.attribute)
        if not axes and untouched:
            continue  # it does nothing; opset 13 cannot say that
        kept = [attribute for attribute in node.attribute if attribute.name != "noop_with_empty_axes"]
        del node.attribute[:]
        node.attribute.extend(kept)
        if axes:
            node.attribute.append(helper.make_attribute("axes", axes))
        del node.input[1:]
    _drop_unused(graph)


def _numbers(value: onnx.ValueInfoProto) -> list[int] | None:
    dimensions = value.type.tensor_type.shape.dim
    known = value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dimensions)
    return [dimension.dim_value for dimension in dimensions] if known else None


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


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove operators and constants from which nothing follows any more."""
    used = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # against the order of execution: consumers come first
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used.update(node.input)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
