"""What goes wrong with the weights of a layer that are laid out otherwise, or are another layer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_WITH_WEIGHTS: Final = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_CONVOLUTIONS: Final = {"Conv", "ConvTranspose"}
_MOST_OTHERS: Final = 16
"""Layers with weights of the same shape that are tried in a layer's place."""

_RENAMED: Final = "@altered"

Array = NDArray[Any]


def weight_faults(
    node: onnx.NodeProto, graph: onnx.GraphProto
) -> Iterator[tuple[str, Callable[[onnx.NodeProto, onnx.GraphProto], None]]]:
    """What may be wrong with a layer's weights.

    Args:
        node: the layer.
        graph: that it is of.

    Yields:
        Words, and what makes the change in a layer of a graph.
    """
    if node.op_type not in _WITH_WEIGHTS:
        return
    constants = {tensor.name: tensor for tensor in graph.initializer}
    mine = next((name for name in node.input[:2] if name in constants), None)
    if mine is None:
        return
    weights = numpy_helper.to_array(constants[mine])
    for words, values in (*_laid_out(node.op_type, weights), *_of_others(mine, weights, graph)):
        if values.shape == weights.shape and not np.array_equal(values, weights):
            yield words, _with(mine, values)


def _laid_out(operator: str, weights: Array) -> Iterator[tuple[str, Array]]:
    """The same weights, read in another order."""
    if operator in _CONVOLUTIONS:
        yield "its kernels are turned round", np.flip(weights, tuple(range(2, weights.ndim)))
        yield "its kernels are mirrored left to right", np.flip(weights, -1)
        yield "its kernels are mirrored top to bottom", np.flip(weights, 2)
        yield "its kernels' rows stand for columns", np.swapaxes(weights, 2, -1)
        yield "its weights are read with the channels that go in for those that come out", np.swapaxes(weights, 0, 1)
    else:
        yield "its weights are transposed", np.swapaxes(weights, -1, -2)
    yield "its weights are in the opposite order along their first axis", weights[::-1]


def _of_others(mine: str, weights: Array, graph: onnx.GraphProto) -> Iterator[tuple[str, Array]]:
    others = [t for t in graph.initializer if tuple(t.dims) == weights.shape and t.name != mine]
    for other in others[:_MOST_OTHERS]:
        yield f"its weights are {other.name}", numpy_helper.to_array(other)


def _with(name: str, values: Array) -> Callable[[onnx.NodeProto, onnx.GraphProto], None]:
    def change(node: onnx.NodeProto, graph: onnx.GraphProto) -> None:
        node.input[:] = [name + _RENAMED if given == name else given for given in node.input]
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name + _RENAMED))

    return change
