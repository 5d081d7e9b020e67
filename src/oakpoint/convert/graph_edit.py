"""Small changes to an ONNX graph that the heads are made of."""

from __future__ import annotations

import itertools
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
            used.update(node.input, _captured(node))
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


FREE_CONSTANTS_IR = 4
"""The IR version from which constants need not stand among a graph's inputs."""


def drop_weights_among_inputs(graph: onnx.GraphProto) -> None:
    """Leave only what has to be given among a graph's inputs; files of IR version 3 list their weights there, too."""
    weights = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    for value in [value for value in graph.input if value.name in weights]:
        graph.input.remove(value)


def _captured(node: onnx.NodeProto) -> set[str]:
    """Names that the graphs of a node read; tensors from around them are among these."""
    names: set[str] = set()
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            names.update(output.name for output in inner.output)
            for part in inner.node:
                names.update(part.input, _captured(part))
    return names


def names_read(node: onnx.NodeProto) -> list[str]:
    """Names of the tensors that an operator reads, with those that its graphs read from around it."""
    names = dict.fromkeys(name for name in node.input if name)
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {name for part in inner.node for name in part.output} | {value.name for value in inner.input}
            own |= {tensor.name for tensor in inner.initializer}
            read = [name for part in inner.node for name in names_read(part)] + [output.name for output in inner.output]
            names |= dict.fromkeys(name for name in read if name not in own)
    return list(names)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a layer by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def inferred_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Types and shapes of the tensors of a graph by name, as far as they can be inferred."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}


def static_sizes(model: onnx.ModelProto) -> dict[str, list[int] | None]:
    """The size of every tensor whose shape can be inferred; None where a dimension is open."""
    sizes = {name: numbers_of(value) for name, value in inferred_values(model).items()}
    return sizes | {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}


def numbers_of(value: onnx.ValueInfoProto) -> list[int] | None:
    """The shape of a tensor; None where a dimension is no number."""
    dimensions = value.type.tensor_type.shape.dim
    known = value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dimensions)
    return [dimension.dim_value for dimension in dimensions] if known else None


def bypass(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Take an operator out whose first output is its first input; the graph's inputs and outputs keep their names.

    Where both names belong to the graph's own inputs, outputs or constants, it becomes an ``Identity`` instead.
    """
    given, made = node.input[0], node.output[0]
    ends = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    if made not in {value.name for value in graph.output}:
        graph.node.remove(node)
        for consumer in graph.node:
            consumer.input[:] = [given if name == made else name for name in consumer.input]
            _rename_captured(consumer, made, given)
    elif given not in ends:
        graph.node.remove(node)
        for other in graph.node:
            other.output[:] = [made if name == given else name for name in other.output]
            other.input[:] = [made if name == given else name for name in other.input]
            _rename_captured(other, given, made)
    else:
        node.CopyFrom(helper.make_node("Identity", [given], [made], name=node.name))


def replace_node(graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto) -> None:
    """Put a graph in the place of an operator; its ends bear the names of the operator's inputs and outputs.

    Tensors within get names that begin with that of the operator's first output.
    """
    made = next(name for name in node.output if name)
    outer = {*node.input, *node.output}
    taken = {name for other in graph.node for name in other.output} | {tensor.name for tensor in graph.initializer}
    inner = [name for part in body.node for name in part.output] + [tensor.name for tensor in body.initializer]
    names = {name: name if name in outer or name.startswith(made) else f"{made}_{name}" for name in inner if name}
    for name in [name for name, new in names.items() if new in taken and name not in outer]:
        names[name] = next(free for number in itertools.count() if (free := f"{names[name]}_{number}") not in taken)
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, part in enumerate(body.node):
        part.input[:] = [names.get(name, name) for name in part.input]
        part.output[:] = [names.get(name, name) for name in part.output]
        part.name = f"{node.name or made}_{offset}"
        graph.node.insert(place + offset, part)
    present = {tensor.name for tensor in graph.initializer}
    for tensor in body.initializer:
        if tensor.name in outer and tensor.name in present:
            continue
        tensor.name = names[tensor.name]
        graph.initializer.append(tensor)


def _rename_captured(node: onnx.NodeProto, old: str, new: str) -> None:
    """The same within the graphs of a node, which read tensors from around them."""
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for output in inner.output:
                if output.name == old:  # a branch that gives what stands around it
                    inner.node.append(helper.make_node("Identity", [new], [old]))
            for part in inner.node:
                if part.output and old in part.output:
                    continue
                part.input[:] = [new if name == old else name for name in part.input]
                _rename_captured(part, old, new)
