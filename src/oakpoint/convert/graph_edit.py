"""Small changes to an ONNX graph that the heads are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import ConversionError


@dataclass(frozen=True, slots=True)
class GraphEditor:
    """Appends operators to a graph; names of new tensors begin with ``prefix``.

    Attributes:
        graph: changed in place.
        prefix: of new names; keep it unlike the names of the network.
    """

    graph: onnx.GraphProto
    prefix: str

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """Add a constant, and return its name."""
        name = f"{self.prefix}_constant{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append an operator with one output, and return the output's name."""
        return self.split(operator, *inputs, outputs=(output or self._free_name(operator),), **attributes)[0]

    def split(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> tuple[str, ...]:
        """Append an operator with several outputs, and return their names."""
        node = helper.make_node(operator, list(inputs), list(outputs), name=f"{outputs[0]}_{operator}", **attributes)
        self.graph.node.append(node)
        return tuple(outputs)

    def _free_name(self, operator: str) -> str:
        return f"{self.prefix}_{operator.lower()}{len(self.graph.node)}"


def producer_of(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto:
    """The operator that puts out a tensor.

    Raises:
        ConversionError: none does: it is an input of the graph, or a constant.
    """
    for node in graph.node:
        if tensor in node.output:
            return node
    raise ConversionError(f"expected an operator that computes {tensor}, got an input or a constant")


def rename_tensor(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give a tensor another name where it is computed and wherever it is used; outputs of the graph keep theirs."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def set_outputs(graph: onnx.GraphProto, *names: str, kind: int = TensorProto.FLOAT) -> None:
    """Make these tensors the graph's outputs, in place of those it has; their sizes are inferred later."""
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in names)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove operators and constants from which nothing follows any more."""
    used = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # against the order of execution: consumers come first
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used.update(node.input)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
