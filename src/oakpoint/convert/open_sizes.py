"""Why the size of a tensor is not known before the network runs: the image's values decide, or nobody can tell."""

from __future__ import annotations

import onnx

from oakpoint.convert.graph_edit import numbers_of
from oakpoint.convert.rewrites.base import name_of
from oakpoint.errors import Finding

_BY_VALUES = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}
"""Operators that give as many elements as they find."""

_SIZE_INPUTS = {
    "ConstantOfShape": 0, "Expand": 1, "OneHot": 1, "Pad": 1, "Range": 0, "Reshape": 1, "Resize": 2, "Slice": 1,
    "Tile": 1, "TopK": 1,
}  # fmt: skip
"""Operators that are told a size in inputs, from the one of this number on."""

_OF_SIZE_ALONE = {"Shape", "Size"}
"""Operators whose result does not depend on the values of their input."""


def why_open(model: onnx.ModelProto) -> Finding | None:
    """What leaves the size of an output open: the first layer that does; None where every size is a number.

    Args:
        model: with the shapes of its tensors inferred.
    """
    graph = model.graph
    static = {value.name for value in (*graph.input, *graph.value_info, *graph.output) if numbers_of(value) is not None}
    static |= {tensor.name for tensor in graph.initializer}
    opened = [output.name for output in graph.output if output.name not in static]
    if not opened:
        return None
    variable = _dependent_on_values(graph)
    for node in graph.node:  # in the order of execution: the first one is the cause
        unknown = [name for name in node.output if name and name not in static]
        if unknown and all(name in static for name in node.input if name):
            return _finding(node, variable)
    problem = "its size is not known before the network runs; the device needs a fixed one"
    return Finding(layer=opened[0], operator="Output", problem=problem)


def _finding(node: onnx.NodeProto, variable: set[str]) -> Finding:
    told = node.input[_SIZE_INPUTS[node.op_type] :] if node.op_type in _SIZE_INPUTS else ()
    if node.op_type in _BY_VALUES or variable.intersection(told):
        problem = "the size of what it gives depends on the image's values; the device needs a fixed one"
        remedy = "leave this step to the host: cut the network before it"
    else:
        problem = (
            "the size of what it gives cannot be worked out before the network runs, although the image is known; "
            "the device needs a number"
        )
        remedy = "have the network compute it in Python, or write it down"
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)


def _dependent_on_values(graph: onnx.GraphProto) -> set[str]:
    """Tensors that depend on what the image shows, and not on its size alone."""
    variable = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in _OF_SIZE_ALONE and variable.intersection(node.input):
            variable.update(node.output)
    return variable
