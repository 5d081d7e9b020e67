"""Constants that FP16 does not hold: masks become its largest value, other weights are findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from oakpoint.convert.rewrites.base import Rewrite, label, name_of
from oakpoint.errors import Finding, UnsupportedNetworkError
from oakpoint.fp16 import LARGEST

_CHOSEN: Final = {"Clip", "Equal", "Greater", "Less", "Max", "Min", "Pad", "Where"}
"""Operators that choose a constant or compare with it, and do not calculate: ±65504 is as far as anything goes."""

_FINITE: Final = {"Clip", "Equal", "Greater", "Less"}
"""Those of them that put no infinite constant out."""

_ADDED: Final = {"Add", "Sub"}
"""A mask that is added: half as much, so that the sum stays in the range. The softmax behind it is 0 either way."""

_CARRYING: Final = {
    "Add", "Cast", "Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Sub",
    "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
"""Operators through which an infinite value passes."""

_AS_INFINITE: Final = LARGEST / 4
"""What counts as infinite where a tensor is compared with infinity: a mask, whatever is added to it."""


class Fp16Range(Rewrite):
    """Constants beyond ±65504, infinite ones among them, become ±65504 where they are chosen, ±32752 where added.

    That is what they are there for: a place that a maximum or softmax never takes. «Equal to infinity», as attention
    asks of a row that is masked as a whole, becomes «beyond ±16376». Any other such constant is a finding
    of every layer that reads it, and so is one whose infinite values are put out.
    """

    name = "fp16-range"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        touched, findings, put = [], [], _put_out(graph)
        for tensor in [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]:
            values = numpy_helper.to_array(tensor)
            beyond = ~(np.abs(values) <= LARGEST)
            if not beyond.any():
                continue
            readers = [node for node in graph.node if tensor.name in node.input]
            kept = [
                node
                for node in readers
                if node.op_type in _CHOSEN | _ADDED
                and not np.isnan(values).any()
                and not (np.isinf(values).any() and put.intersection(node.output) and node.op_type not in _FINITE)
            ]
            findings += [_finding(node, values) for node in readers if node not in kept]
            for node in kept:
                if node.op_type == "Equal" and np.isinf(values).all() and np.unique(values).size == 1:
                    _compare_with_infinity(graph, node, tensor.name, float(values.flat[0]))
                    touched.append(label(node))
                    continue
                limit = LARGEST / 2 if node.op_type in _ADDED else LARGEST
                held = np.where(beyond, np.copysign(np.float32(limit), values), values)
                name = f"{tensor.name}_{limit:.0f}"
                if all(other.name != name for other in graph.initializer):
                    graph.initializer.append(numpy_helper.from_array(held, name))
                node.input[:] = [name if read == tensor.name else read for read in node.input]
                touched.append(label(node))
            if len(kept) == len(readers):
                graph.initializer.remove(tensor)
        if findings:
            raise UnsupportedNetworkError(findings)
        return touched


def _compare_with_infinity(graph: onnx.GraphProto, node: onnx.NodeProto, infinite: str, value: float) -> None:
    """Make of ``Equal`` the comparison with a number that only what was infinite passes, in place."""
    limit = f"{node.output[0]}_limit"
    graph.initializer.append(numpy_helper.from_array(np.array(np.copysign(_AS_INFINITE, value), np.float32), limit))
    other = next(name for name in node.input if name != infinite)
    node.op_type = "Greater" if value > 0 else "Less"
    node.input[:] = [other, limit]


def _put_out(graph: onnx.GraphProto) -> set[str]:
    """Tensors whose values the graph puts out, as they are or in another shape or type."""
    put = {output.name for output in graph.output}
    for node in reversed(graph.node):  # against the order of execution: consumers come first
        if node.op_type in _CARRYING and put.intersection(node.output):
            put.update(node.input)
    return put


def _finding(node: onnx.NodeProto, values: np.ndarray) -> Finding:
    if np.isnan(values).any():
        problem, remedy = "one of its weights is not a number", "train or export the network anew"
    elif np.isinf(values).any():
        problem = "puts out a constant that is infinite, which the device's numbers are not meant to be"
        remedy = "put out what is before it"
    else:
        largest = float(np.abs(values).max())
        problem = f"has a weight of {largest:.4g}, and FP16 ends at {LARGEST:.0f}"
        remedy = "scale the layer down, and what reads it up"
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)
