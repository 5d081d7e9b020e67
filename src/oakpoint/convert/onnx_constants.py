"""The tensors that an ONNX model holds, wherever it keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]


def onnx_constants(model: onnx.ModelProto) -> Iterator[Array]:
    """Initialisers and ``Constant`` nodes of a model, of the graphs within its nodes, and of its functions.

    What ``DequantizeLinear`` makes numbers of is given as those numbers.

    Args:
        model: with its external data loaded.
    """
    for holder in (model.graph, *model.functions):
        yield from _constants(holder)


def _constants(holder: Any) -> Iterator[Array]:
    """Of a graph or a function."""
    named = _named_constants(holder)
    for node in holder.node:
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else []), *attribute.graphs):
                yield from _constants(graph)
        if node.op_type == "DequantizeLinear" and node.input[0] in named and node.input[1] in named:
            yield _dequantised(node, named)
    yield from named.values()


def _named_constants(holder: Any) -> dict[str, Array]:
    initialisers = holder.initializer if isinstance(holder, onnx.GraphProto) else ()
    named = {tensor.name: _array(tensor) for tensor in initialisers}
    for node in holder.node:
        value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            named[node.output[0]] = _array(value)
    return named


def _array(tensor: onnx.TensorProto) -> Array:
    array: Array = numpy_helper.to_array(tensor)
    # bfloat16 and the 8-bit floats are types of their own, which NumPy cannot calculate with everywhere.
    return array.astype(np.float32) if array.dtype.kind not in "fiubcOSU" else array


def _dequantised(node: onnx.NodeProto, named: dict[str, Array]) -> Array:
    """(values − zero point) · scale, with one scale for all or one for each place along an axis."""
    values, scale = (named[name].astype(np.float32) for name in node.input[:2])
    zero = named.get(node.input[2], np.zeros(1)) if len(node.input) > 2 else np.zeros(1)
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    if scale.size == 1:
        return np.asarray((values - zero.astype(np.float32).ravel()[0]) * scale.ravel()[0])
    shape = [1] * values.ndim
    shape[axis] = -1
    if scale.ndim != 1 or scale.size != values.shape[axis]:
        return values  # in blocks, say: nothing that is recognised
    return np.asarray((values - zero.astype(np.float32).reshape(shape if zero.size > 1 else -1)) * scale.reshape(shape))
