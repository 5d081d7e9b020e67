"""Exporters' ways of keeping constants and functions, brought to one: initialisers, and operators in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import inliner, numpy_helper

from oakpoint.convert.graph_edit import bypass
from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.errors import ConversionError, first_line


class InlinedFunctions(Rewrite):
    """Put the bodies of the model's own functions where they are called; ONNX's inliner does it, recursively."""

    name = "inlined-functions"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        if not model.functions:
            return ()
        names = {(function.domain, function.name) for function in model.functions}
        called = [label(node) for node in model.graph.node if (node.domain, node.op_type) in names]
        try:
            model.CopyFrom(inliner.inline_local_functions(model, convert_version=True))
        except Exception as error:  # the inliner's own, of several kinds
            raise ConversionError(f"the model's functions cannot be inlined: {first_line(error)}") from error
        del model.graph.value_info[:]
        return called or [f"function {name}" for _, name in sorted(names)]


class Initialisers(Rewrite):
    """Make initialisers of ``Constant`` nodes and sparse tensors, and take out what hands on its input as it is.

    That is ``Identity``, and ``Dropout`` outside training: no value changes. Later rewrites then find weights in one
    place, whichever exporter wrote them.
    """

    name = "initialisers"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        touched = [f"constant {tensor.values.name!r}" for tensor in graph.sparse_initializer]
        graph.initializer.extend(_dense(tensor, tensor.values.name) for tensor in graph.sparse_initializer)
        del graph.sparse_initializer[:]
        for node in list(graph.node):
            if node.op_type == "Constant" and (tensor := _constant(node)) is not None:
                touched.append(label(node))
                graph.initializer.append(tensor)
                graph.node.remove(node)
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in list(graph.node):
            if node.domain in ("", "ai.onnx") and _hands_on(node, constants):
                touched.append(label(node))
                bypass(graph, node)
        return touched


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a ``Constant`` node; None for texts, with which no device calculates."""
    attribute = node.attribute[0]
    name = node.output[0]
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = name
        return tensor
    if attribute.name == "sparse_value":
        return _dense(attribute.sparse_tensor, name)
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        return None
    value: Any = onnx.helper.get_attribute_value(attribute)
    return numpy_helper.from_array(np.array(value, kinds[attribute.name]), name)


def _dense(tensor: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    values, indices = numpy_helper.to_array(tensor.values), numpy_helper.to_array(tensor.indices)
    dense = np.zeros(tuple(tensor.dims), values.dtype)
    if indices.ndim == 1:  # places in the flattened tensor, or one column for each axis
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return numpy_helper.from_array(dense, name)


def _hands_on(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout" or any(node.output[1:]):
        return False
    training = node.input[2] if len(node.input) > 2 else ""
    return not training or (training in constants and not numpy_helper.to_array(constants[training]).any())
