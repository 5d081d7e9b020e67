"""The weights of a device graph as a compiler may put them into a blob: as they are, turned, with factors folded in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from oakpoint.convert.rewrites.base import COMPUTED

Array = NDArray[np.float32]

Precision = Literal["stored", "stepped", "computed"]
"""How surely bits are known: those of the graph; of one operator that the compiler folds, by FP16 steps as it was seen
to take them (nGraph, ``batch_norm_decomposition.cpp``, ``conv_mul_fusion``); of anything else."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Constants other than the weights of convolutions.

    Attributes:
        values: in any shape.
        precision: of the values.
    """

    values: Array
    precision: Precision


@dataclass(frozen=True, slots=True)
class Kernel:
    """The weights of one convolution or matrix product.

    Attributes:
        name: of the operator.
        values: (O, C, K) output channels, input channels of a group, kernel elements; (O, C · K, 1) of a matrix.
        precision: of the values.
        groups: into how many its channels are divided.
        bias: (O,).
        bias_reach: (O,), the size of what was added up for the bias, to which its rounding is relative.
        has_bias: whether anything is added at all; 0 + −0 would lose a sign.
    """

    name: str
    values: Array
    precision: Precision
    groups: int
    bias: Vector
    bias_reach: Array
    has_bias: bool


@dataclass(frozen=True, slots=True)
class GraphWeights:
    """What a device graph holds.

    Attributes:
        kernels: of convolutions and matrix products, in each form that a compiler gives them.
        vectors: all floating-point constants, and factors and shifts of batch norms.
    """

    kernels: tuple[Kernel, ...]
    vectors: tuple[Vector, ...]


def graph_weights(model: onnx.ModelProto) -> GraphWeights:
    """Collect the weights of a device graph, whose constants are FP16.

    Args:
        model: as ``device_graph`` makes it.
    """
    constants = _constants(model)
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {output.name for output in model.graph.output}
    kernels = []
    for node in model.graph.node:
        for kernel in _kernels_of(node, constants):
            kernels.append(kernel)
            kernels.extend(_with_what_follows(kernel, node.output[0], users, constants, outputs))
    vectors = [vector for vector in constants.values() if vector.values.size]
    for node in model.graph.node:
        if node.op_type == "BatchNormalization" and (steps := _steps_of(node, constants)):
            (_, negative_mean), (_, factor), (_, shift) = steps
            vectors.append(Vector(factor, "stepped"))
            vectors.append(Vector(_half(shift + _half(negative_mean * factor)), "stepped"))
    return GraphWeights(tuple(kernels), tuple(vectors))


def _half(values: Array) -> Array:
    """Rounded to FP16."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _constants(model: onnx.ModelProto) -> dict[str, Vector]:
    """Constants by name, those that operators compute from others included."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    stored = set(known)
    for node in model.graph.node:
        if not set(node.input) <= known.keys() | {""} or any(a.HasField("g") for a in node.attribute):
            continue
        try:
            evaluator = ReferenceEvaluator(_alone(node, model))
            results = evaluator.run(None, {name: known[name] for name in node.input if name})
        except Exception:  # noqa: BLE001, S112 - an operator that the reference lacks leaves a constant unknown
            continue
        known.update(zip(node.output, results, strict=True))
        if node.op_type in ("Constant", "Identity"):
            stored.update(node.output)

    def precision_of(name: str) -> Precision:
        if COMPUTED in name:
            return "stepped"
        return "stored" if name in stored else "computed"

    return {
        name: Vector(np.asarray(values, np.float32), precision_of(name))
        for name, values in known.items()
        if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating)
    }


def _alone(node: onnx.NodeProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """A model of one operator."""
    graph = helper.make_graph(
        [node],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    return helper.make_model(graph, opset_imports=model.opset_import)


def _kernels_of(node: onnx.NodeProto, constants: Mapping[str, Vector]) -> Iterator[Kernel]:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.input) < 2:
        return
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    weights = constants.get(node.input[1])
    if weights is None:
        return
    groups = attributes.get("group", 1)
    for form in _forms(node, weights.values, groups, transposed=bool(attributes.get("transB"))):
        bias, has_bias = Vector(np.zeros(len(form), np.float32), "stored"), False
        if node.op_type != "MatMul" and len(node.input) > 2 and node.input[2]:
            own = constants.get(node.input[2])
            if own is None or own.values.size not in (1, len(form)):
                continue
            bias, has_bias = Vector(np.resize(own.values, len(form)), own.precision), True
        scaled = any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
        precision: Precision = "computed" if scaled else weights.precision
        if scaled:
            form = form * attributes.get("alpha", 1.0)
            bias = Vector(bias.values * attributes.get("beta", 1.0), "computed")
        name = node.name or node.output[0]
        yield Kernel(name, np.ascontiguousarray(form), precision, groups, bias, np.abs(bias.values), has_bias)


def _forms(node: onnx.NodeProto, values: Array, groups: int, *, transposed: bool) -> list[Array]:
    if node.op_type == "Conv":
        return [values.reshape(*values.shape[:2], -1)]
    if node.op_type == "ConvTranspose":
        inputs, outputs = values.shape[0] // groups, values.shape[1]
        split = values.reshape(groups, inputs, outputs, -1).swapaxes(1, 2).reshape(groups * outputs, inputs, -1)
        return [split, split[:, :, ::-1]]
    if values.ndim != 2:
        return []
    return [(values if transposed else values.T)[:, :, np.newaxis]]


def _with_what_follows(
    kernel: Kernel,
    output: str,
    users: Mapping[str, Sequence[onnx.NodeProto]],
    constants: Mapping[str, Vector],
    outputs: set[str],
) -> Iterator[Kernel]:
    """The same with the factors and shifts folded in that follow directly, one after the other."""
    first = True
    while output not in outputs and len(users.get(output, ())) == 1:
        node = users[output][0]
        steps = [(kind, _per_channel(value, len(kernel.values))) for kind, value in _steps_of(node, constants)]
        if not steps or any(value is None for _, value in steps):
            return
        precision: Precision = "stepped" if first and node.op_type != "Div" else "computed"
        for kind, value in steps:
            assert value is not None
            kernel = _after(kernel, kind, value, precision)
        yield kernel
        first, output = False, node.output[0]


Step = tuple[Literal["add", "multiply"], Array]


def _after(kernel: Kernel, kind: str, value: Array, precision: Precision) -> Kernel:
    """A kernel with one step folded in."""
    if kind == "add":
        total = kernel.bias.values + value if kernel.has_bias else value
        bias = Vector(_half(total), _less_sure(kernel.bias.precision, precision))
        return replace(kernel, bias=bias, bias_reach=kernel.bias_reach + np.abs(value), has_bias=True)
    return replace(
        kernel,
        values=_half(kernel.values * value[:, np.newaxis, np.newaxis]),
        precision=_less_sure(kernel.precision, precision),
        bias=Vector(_half(kernel.bias.values * value), _less_sure(kernel.bias.precision, precision)),
        bias_reach=kernel.bias_reach * np.abs(value),
    )


def _less_sure(one: Precision, other: Precision) -> Precision:
    order: tuple[Precision, ...] = ("stored", "stepped", "computed")
    return max(one, other, key=order.index)


def _per_channel(values: Array, channels: int) -> Array | None:
    """A constant as one value for each channel; None where it is something else."""
    shape = values.shape
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0], np.float32)
    along = [axis for axis, size in enumerate(shape) if size > 1]
    return values.reshape(-1) if len(along) == 1 and shape[along[0]] == channels else None


def _steps_of(node: onnx.NodeProto, constants: Mapping[str, Vector]) -> list[Step]:
    """What an operator that adds and multiplies constants does, step by step; nothing for other operators."""
    if node.op_type == "BatchNormalization":
        if not all(name in constants for name in node.input[1:5]):
            return []
        scale, shift, mean, variance = (constants[name].values for name in node.input[1:5])
        epsilon = np.float32(next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5))
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _half(scale / _half(np.sqrt(_half(variance + _half(np.asarray(epsilon))))))
        return [("add", -mean), ("multiply", factor), ("add", shift)]
    known = [index for index, name in enumerate(node.input) if name in constants]
    if len(node.input) != 2 or len(known) != 1 or (known == [0] and node.op_type in ("Sub", "Div")):
        return []
    value = constants[node.input[known[0]]].values
    if node.op_type in ("Add", "Sub"):
        return [("add", value if node.op_type == "Add" else -value)]
    if node.op_type in ("Mul", "Div"):
        with np.errstate(divide="ignore"):
            return [("multiply", value if node.op_type == "Mul" else np.float32(1) / value)]
    return []
