"""Networks in FP16, bfloat16 or double precision, in float32 as the host computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from oakpoint.convert.graph_edit import bypass, inferred_values
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import ConversionError

_OTHERS = {TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "double"}

_KIND_ATTRIBUTES = {"to", "dtype", "stash_type"}
"""Attributes that name a type: of ``Cast``, ``EyeLike`` and random numbers, of sums within a normalisation."""


class Float32(Rewrite):
    """Make float32 of every other floating-point type: weights, inputs, outputs, and what is cast between them.

    FP16 and bfloat16 are float32 to every bit; doubles are rounded once. What such a network rounded on its way it no
    longer does on the host, and does again on the device, where everything is FP16.
    """

    name = "float32"
    tolerance = 2.0**-11

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        found = sorted({_OTHERS[kind] for graph in _graphs(model.graph) for kind in _kinds(graph) if kind in _OTHERS})
        if not found:
            return ()
        for graph in _graphs(model.graph):
            _retype(graph)
        drop_needless_casts(model)
        return tuple(f"everything in {kind}" for kind in found)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _kinds(graph: Any) -> Iterator[int]:
    for value in (*graph.input, *graph.output):
        yield value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        yield tensor.data_type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _KIND_ATTRIBUTES:
                yield attribute.i
            if attribute.HasField("t"):
                yield attribute.t.data_type


def _retype(graph: Any) -> None:
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _OTHERS:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in graph.initializer:
        _convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in _KIND_ATTRIBUTES and attribute.i in _OTHERS:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                _convert(attribute.t)


def _convert(tensor: onnx.TensorProto) -> None:
    if tensor.data_type not in _OTHERS:
        return
    before = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        values = before.astype(np.float32)
    if not np.array_equal(np.isfinite(values), np.isfinite(before.astype(np.float64))):
        raise ConversionError(f"{tensor.name}: holds doubles over float32's largest value")
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def drop_needless_casts(model: onnx.ModelProto) -> None:
    """Take out casts from float32 to float32, in place."""
    floats = {name for name, value in inferred_values(model).items() if _is_float(value)}
    floats |= {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.input[0] in floats and node.attribute[0].i == TensorProto.FLOAT:
            bypass(model.graph, node)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)
