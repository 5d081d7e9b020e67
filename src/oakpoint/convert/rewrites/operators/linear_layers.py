"""Products of many rows with constant weights: the compiler makes a stage of every row."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.convert.rewrites.local import Known, LocalRewrite, Place

Array = NDArray[Any]

_ROWS = 4
"""So many rows are quicker one by one than as an image whose axes are moved before and after."""


class LinearLayers(LocalRewrite):
    """``MatMul`` and ``Gemm`` of more than a few rows with constant weights become a 1×1 convolution, bias included.

    The rows (…, K) are taken for the pixels of an image with K channels. The sums are the same; the compiler makes one
    stage for all rows where it would make one for each, which takes it minutes from a thousand rows on.
    """

    name = "linear-layers"
    operators: ClassVar[frozenset[str]] = frozenset({"Add", "Gemm", "MatMul"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        node, known = place.node, place.known
        if node.op_type == "Add":
            product = _biased(known, node)
            if product is None:
                return False
            bias = known.constant(next(name for name in node.input if name != product.output[0]))
        else:
            product = node
            users = known.consumers.get(node.output[0], [])
            if len(users) == 1 and _biased(known, users[0]) is not None:
                return False  # together with the sum behind it
            bias = place.constant(2)
        found = _weights(known, product)
        if found is None:
            return False
        weights, factor = found
        if bias is not None:
            bias = np.broadcast_to(bias.reshape(-1) * factor, weights.shape[:1]).copy()
        _as_convolution(place, product.input[0], weights, bias)
        return True


def _weights(known: Known, node: onnx.NodeProto) -> tuple[Array, float] | None:
    """Weights (N, K) of a product with enough rows, and the factor of its bias; None where it is none."""
    weights, rows = known.constant(node.input[1]), known.shape(node.input[0])
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32 or len(rows) < 2:
        return None
    if node.op_type == "MatMul":
        return (np.ascontiguousarray(weights.T), 1.0) if math.prod(rows[:-1]) > _ROWS else None
    given = attributes_of(node)
    bias_name = node.input[2] if len(node.input) > 2 else ""
    bias = known.constant(bias_name)
    width = known.shape(node.output[0])[-1]
    row = not bias_name or (bias is not None and bias.size in (1, width) and set(bias.shape[:-1]) <= {1})
    if given.get("transA") or rows[0] <= _ROWS or not row:
        return None
    weights = weights if given.get("transB") else weights.T
    return np.ascontiguousarray(weights * np.float32(given.get("alpha", 1.0))), float(given.get("beta", 1.0))


def _biased(known: Known, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The product to which a sum adds a constant row, if nothing else takes it."""
    if node.op_type != "Add" or len(node.input) != 2:
        return None
    for name, other in (tuple(node.input), tuple(reversed(node.input))):
        product, bias = known.producers.get(name), known.constant(other)
        if product is None or product.op_type != "MatMul" or bias is None or name in known.outputs:
            continue
        width = known.shape(name)[-1]
        if bias.shape == (width,) and len(known.consumers[name]) == 1 and _weights(known, product) is not None:
            return product
    return None


def _as_convolution(place: Place, x: str, weights: Array, bias: Array | None) -> None:
    editor, shape = place.editor, place.known.shape(x)
    rows = [1, math.prod(shape[:-2]), shape[-2], shape[-1]]
    if list(shape) != rows:
        x = editor.op("Reshape", x, editor.constant(rows, "int64"))
    x = editor.op("Transpose", x, perm=[0, 3, 1, 2])
    inputs = [editor.constant(weights[:, :, np.newaxis, np.newaxis])]
    inputs += [] if bias is None else [editor.constant(bias)]
    x = editor.op("Conv", x, *inputs, kernel_shape=[1, 1])
    x = editor.op("Transpose", x, perm=[0, 2, 3, 1])
    if list(shape) != rows:
        x = editor.op("Reshape", x, editor.constant([*shape[:-1], len(weights)], "int64"))
    editor.op("Identity", x, output=place.output)
