"""Batch norms whose statistics FP16 does not hold: they go into the convolution before them, or become two layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from oakpoint.convert.graph_edit import attributes_of, drop_unused
from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.convert.rewrites.local import Known, UnsupportedLayerError

_EPSILON = 1e-5
"""ONNX's default."""


class BatchNorms(Rewrite):
    """A batch norm is a factor and an offset for each channel, computed in float64 and rounded once.

    As they stand, a variance may lie beyond FP16 (of activations in the thousands) or below it, and so may the epsilon.
    The factor and the offset go into the weights of a convolution or transposed convolution that only this norm reads;
    elsewhere they become a ``Mul`` and an ``Add``, which is what the compiler makes of a norm.

    A norm whose statistics are computed, or that trains, stays for later rewrites to judge.
    """

    name = "batch-norms"
    tolerance = 1e-5

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
        if not norms:
            return ()
        known, touched = Known(model), []
        for node in norms:
            constants = {tensor.name: tensor for tensor in graph.initializer}
            if any(node.output[1:]) or any(name not in constants for name in node.input[1:]):
                continue
            factor, offset = _affine(node, [numpy_helper.to_array(constants[name]) for name in node.input[1:]])
            before = _read_by_this_alone(graph, node.input[0])
            if before is not None and _has_constants(before, constants):
                _into(graph, before, constants, factor, offset)
                before.output[0] = node.output[0]
                graph.node.remove(node)
            else:
                try:
                    rank = len(known.shape(node.input[0]))
                except UnsupportedLayerError:  # of open size: another rewrite says so
                    continue
                _spell_out(graph, node, *(values.reshape(-1, *[1] * (rank - 2)) for values in (factor, offset)))
            touched.append(label(node))
        if touched:
            drop_unused(graph)
            del graph.value_info[:]
        return touched


def _affine(
    node: onnx.NodeProto, given: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scale, bias, mean, variance = (values.astype(np.float64) for values in given)
    factor = scale / np.sqrt(variance + attributes_of(node).get("epsilon", _EPSILON))
    return factor, bias - mean * factor


def _read_by_this_alone(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto | None:
    """The convolution that computes a tensor which is read once, and is no output."""
    readers = sum(list(node.input).count(tensor) for node in graph.node)
    if readers != 1 or any(tensor == output.name for output in graph.output):
        return None
    return next((n for n in graph.node if tensor in n.output and n.op_type in ("Conv", "ConvTranspose")), None)


def _has_constants(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    return all(name in constants for name in node.input[1:] if name)


def _into(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> None:
    """Multiply a convolution's weights and bias, whose constants others may read as well: it gets its own."""
    weights = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
    bias = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 and node.input[2] else 0.0
    if node.op_type == "Conv":
        scaled = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
    else:  # (C_in, C_out / groups, …): groups lie along the first axis
        groups = attributes_of(node).get("group", 1)
        by_group = weights.reshape(groups, -1, *weights.shape[1:])
        scaled = (by_group * factor.reshape(groups, 1, -1, *[1] * (weights.ndim - 2))).reshape(weights.shape)
    names = [f"{node.output[0]}_normalised_{part}" for part in ("weights", "bias")]
    for name, values in zip(names, (scaled, bias * factor + offset), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    node.input[1:] = names


def _spell_out(
    graph: onnx.GraphProto, node: onnx.NodeProto, factor: NDArray[np.float64], offset: NDArray[np.float64]
) -> None:
    put, place = node.output[0], list(graph.node).index(node)
    names = [f"{put}_{part}" for part in ("factor", "offset")]
    for name, values in zip(names, (factor, offset), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    scaled = f"{put}_scaled"
    graph.node.remove(node)
    graph.node.insert(place, helper.make_node("Mul", [node.input[0], names[0]], [scaled], name=f"{put}_Mul"))
    graph.node.insert(place + 1, helper.make_node("Add", [scaled, names[1]], [put], name=f"{put}_Add"))
