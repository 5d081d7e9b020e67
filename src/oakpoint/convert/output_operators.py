"""Which operator computes each output of a graph."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

MOVING = frozenset(
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout", "DepthToSpace", "Slice"}
)
"""Operators that leave values as they are."""

SELECTING = frozenset({"Compress", "NonMaxSuppression", "NonZero", "TopK", "Unique"})
"""Operators that take some of what they are given, in an order of their own."""

_PICKING = frozenset({"Concat", "Expand", "Gather", "GatherElements", "GatherND", "Split", "Tile"}) | MOVING
"""Operators by which exporters read what was selected."""


def output_operators(model: onnx.ModelProto) -> dict[str, str]:
    """The type of the operator that computes each output, by the output's name.

    Those that only move values do not count; an output that is an input or a constant is left out. Of what is read at
    places that an operator of ``SELECTING`` chose, that one is told; the largest values themselves, which ``TopK``
    gives in their order, are left out as well.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, str] = {}
    for output in model.graph.output:
        name, node = output.name, producers.get(output.name)
        while node is not None and node.op_type in MOVING:
            name, node = node.input[0], producers.get(node.input[0])
        if node is not None and not (node.op_type == "TopK" and name == node.output[0]):
            found[output.name] = _selection(node, producers) or node.op_type
    return found


def _selection(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> str | None:
    """The operator that chose what a layer gives; None where none did."""
    seen, waiting = set[str](), [node]
    while waiting:
        here = waiting.pop()
        if here.op_type in SELECTING:
            return str(here.op_type)
        if here.op_type in _PICKING:
            waiting += [producers[name] for name in here.input if name in producers and name not in seen]
            seen.update(here.input)
    return None
