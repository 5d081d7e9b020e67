"""Which operator computes each output of a graph."""

from __future__ import annotations

import onnx

MOVING = frozenset(
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout", "DepthToSpace", "Slice"}
)
"""Operators that leave values as they are."""


def output_operators(model: onnx.ModelProto) -> dict[str, str]:
    """The type of the operator that computes each output, by the output's name.

    Those that only move values do not count; an output that is an input or a constant is left out.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, str] = {}
    for output in model.graph.output:
        node = producers.get(output.name)
        while node is not None and node.op_type in MOVING:
            node = producers.get(node.input[0])
        if node is not None:
            found[output.name] = node.op_type
    return found
