"""Rewrites that put other layers in the place of one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.graph_edit import (
    GraphEditor,
    attributes_of,
    drop_unused,
    inferred_values,
    numbers_of,
    rename_tensor,
)
from oakpoint.convert.rewrites.base import Rewrite, first_output, label, name_of
from oakpoint.errors import Finding, UnsupportedNetworkError

_SMALL = 1024
"""Elements of the largest constant that can be a shape: shape inference reads no larger one."""


class UnsupportedLayerError(Exception):
    """A layer has no form that the device computes rightly: a problem and a remedy, each a clause."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy

    def finding(self, node: onnx.NodeProto) -> Finding:
        """The finding about a layer."""
        return Finding(layer=name_of(node), operator=node.op_type, problem=self.problem, remedy=self.remedy)


class _OpenSizeError(Exception):
    """A size is not known: the layer stays, and why that is so is said where open sizes are judged."""


class Known:
    """What is known of the tensors of a graph: shapes, types, constant values, who takes them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = node.attribute[0].t
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._kinds: dict[str, int] = {}
        for name, value in inferred_values(_without_weights(model)).items():
            self._kinds[name] = value.type.tensor_type.elem_type
            if (size := numbers_of(value)) is not None:
                self._shapes[name] = tuple(size)
        self.outputs = {output.name for output in graph.output}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.consumers.setdefault(name, []).append(node)

    def constant(self, name: str) -> NDArray[Any] | None:
        """The values of a tensor; None where they are computed, or the tensor is left out."""
        tensor = self._tensors.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; where it is open, the rewrite that asks leaves the layer as it is."""
        if name in self._tensors:
            return tuple(self._tensors[name].dims)
        if name not in self._shapes:
            raise _OpenSizeError(name)
        return self._shapes[name]

    def is_empty(self, name: str) -> bool:
        """Whether a tensor is known to have no elements."""
        return 0 in self._shapes.get(name, ())

    def kind(self, name: str) -> int:
        """The type of a tensor's elements, ``TensorProto.UNDEFINED`` where it is not known."""
        return self._tensors[name].data_type if name in self._tensors else self._kinds.get(name, 0)


class Place:
    """A layer, what is known around it, and the layers that are to stand in its place.

    Attributes:
        node: the layer.
        known: of the graph as it was before this rewrite.
        editor: of an empty graph; its layers take the node's place, and have to put out what the node did.
        attributes: of the layer, by name.
    """

    def __init__(self, node: onnx.NodeProto, known: Known, prefix: str) -> None:
        self.node, self.known = node, known
        self.editor = GraphEditor(onnx.GraphProto(), prefix)
        self.attributes = attributes_of(node)

    def tensor(self, place: int) -> str:
        """The name of an input; empty where it is left out."""
        return str(self.node.input[place]) if len(self.node.input) > place else ""

    def constant(self, place: int) -> NDArray[Any] | None:
        """The values of an input; None where they are computed, or it is left out."""
        return self.known.constant(self.tensor(place))

    @property
    def x(self) -> str:
        """The name of the first input."""
        return self.tensor(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input, as ``Known.shape``."""
        return self.known.shape(self.x)

    @property
    def output(self) -> str:
        """The name of the first output."""
        return str(self.node.output[0])

    @property
    def floating(self) -> bool:
        """Whether the first input holds numbers of floating point."""
        return self.known.kind(self.x) in (TensorProto.FLOAT, TensorProto.FLOAT16)


class LocalRewrite(Rewrite):
    """Puts other layers in the place of single ones, whose outputs keep their names.

    Attributes:
        operators: those that it looks at.
    """

    operators: ClassVar[frozenset[str]]

    @abstractmethod
    def replace(self, place: Place) -> bool:
        """Append the layers that stand in for one, if it is one that this rewrite is about.

        Args:
            place: of a layer of ``operators``.

        Returns:
            Whether the layer is replaced.

        Raises:
            UnsupportedLayerError: it cannot be, and does not come out right as it is.
        """

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        if not any(node.op_type in self.operators for node in graph.node):
            return ()
        known, nodes, touched, findings = Known(model), [], [], []
        for node in graph.node:
            place = Place(node, known, f"{first_output(node)}_{self.name}")
            try:
                replaced = node.op_type in self.operators and self.replace(place)
            except _OpenSizeError:
                replaced = False
            except UnsupportedLayerError as unsupported:
                findings.append(unsupported.finding(node))
                replaced = False
            if replaced:
                layers = place.editor.graph
                _end_without_identity(layers)
                graph.initializer.extend(layers.initializer)
                touched.append(label(node))
                nodes += layers.node
            else:
                nodes.append(node)
        if touched:
            _take(graph, nodes)
        if findings:
            raise UnsupportedNetworkError(findings)
        return touched


def _end_without_identity(layers: onnx.GraphProto) -> None:
    """Let the layer before a last ``Identity`` put out what that does."""
    last = layers.node[-1]
    if last.op_type == "Identity" and any(last.input[0] in node.output for node in layers.node):
        put, result = last.input[0], last.output[0]
        layers.node.remove(last)
        rename_tensor(layers, put, result)


def _take(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.value_info[:]
    drop_unused(graph)


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with the same shapes whose large constants are inputs: inference copies what it is given."""
    graph = onnx.GraphProto(name=model.graph.name)
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    given = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
