"""How much a layer computes, about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import onnx

from oakpoint.convert.graph_edit import attributes_of

Shapes = Mapping[str, tuple[int, ...] | None]
"""The shape of every tensor, constants among them, by name; None where a side of it is not known."""

_RECURRENT = ("LSTM", "GRU", "RNN")


def work_of(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiply-accumulates of a layer for one image; of one that has none, the elements that it reads or gives.

    Convolutions and products of matrices are counted as their shapes say; everything else does about one thing for each
    element. What has no size that is known counts for nothing.
    """
    given, made = _elements(node.input, shapes), _elements(node.output, shapes)
    counted = _COUNTED.get(node.op_type)
    exact = None if counted is None else counted(node, shapes, sum(made))
    return exact if exact is not None else max(*given, *made, 0, 0)


def _elements(names: Sequence[str], shapes: Shapes) -> list[int]:
    return [math.prod(shape) for name in names if (shape := shapes.get(name)) is not None]


def _convolution(node: onnx.NodeProto, shapes: Shapes, made: int) -> int | None:
    weights = shapes.get(node.input[1])
    return None if weights is None else made * math.prod(weights[1:])


def _deconvolution(node: onnx.NodeProto, shapes: Shapes, made: int) -> int | None:
    del made
    weights, given = shapes.get(node.input[1]), shapes.get(node.input[0])
    return None if weights is None or given is None else math.prod(given) * math.prod(weights[1:])


def _product(node: onnx.NodeProto, shapes: Shapes, made: int) -> int | None:
    left = shapes.get(node.input[0])
    if not left:
        return None
    turned = node.op_type == "Gemm" and bool(attributes_of(node).get("transA"))
    return made * (left[0] if turned else left[-1])


def _recurrent(node: onnx.NodeProto, shapes: Shapes, made: int) -> int | None:
    del made
    given = shapes.get(node.input[0])
    weights = sum(_elements(node.input[1:3], shapes))
    return None if given is None else given[0] * given[1] * weights


_COUNTED: dict[str, Callable[[onnx.NodeProto, Shapes, int], int | None]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "Gemm": _product,
    "MatMul": _product,
    **dict.fromkeys(_RECURRENT, _recurrent),
}
