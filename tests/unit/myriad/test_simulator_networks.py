"""Compiled networks of every operation that the compatibility table calls taken, simulated, against ONNX Runtime.

The reference calculates in float32 from the same FP16 weights. Operations are grouped into networks with one output for
each, since the compiler's start costs more than its work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

TOLERANCE = 4e-3
"""Share of an output's largest value: a few layers, each rounded to the 11 bits of FP16."""

INPUT_SCALE, INPUT_SHIFT = 1 / 64, -2.0
"""Puts the device's U8 input on [-2, 2), exactly in FP16."""

Reference = Callable[[onnx.ModelProto, dict[str, NDArray[Any]]], dict[str, NDArray[np.float32]]]
Branch = Callable[["Network", str], str]


class Network:
    """Collects the nodes and FP16 constants of an ONNX model."""

    def __init__(self, *shapes: tuple[int, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.shapes = shapes
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: dict[str, int] = {}

    def constant(self, values: Any, dtype: Any = np.float16) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def random(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant(self.rng.standard_normal(shape) * scale)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"node{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, *, stride: Any = 1,
        pads: list[int] | None = None, group: int = 1, dilation: int = 1, kind: str = "Conv", **attributes: Any,
    ) -> str:  # fmt: skip
        ky, kx = (kernel, kernel) if isinstance(kernel, int) else kernel
        first, second = (outputs, inputs // group) if kind == "Conv" else (inputs, outputs // group)
        weights = self.random(first, second, ky, kx, scale=(inputs // group * ky * kx) ** -0.5)
        return self.op(
            kind, x, weights, self.random(outputs, scale=0.2), kernel_shape=[ky, kx],
            strides=[stride] * 2 if isinstance(stride, int) else stride, group=group,
            pads=[dilation * (ky // 2), dilation * (kx // 2)] * 2 if pads is None else pads,
            dilations=[dilation] * 2, **attributes,
        )  # fmt: skip

    def relu(self, x: str) -> str:
        return self.op("Relu", x)

    def output(self, name: str, x: str, kind: int = TensorProto.FLOAT16) -> None:
        self.outputs[name] = kind
        producer = next(node for node in self.nodes if x in node.output)
        for node in self.nodes:
            for index, value in enumerate(node.input):
                if value == x:
                    node.input[index] = name
        producer.output[list(producer.output).index(x)] = name

    def model(self) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT16, shape) for i, shape in enumerate(self.shapes)
        ]
        outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in self.outputs.items()]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        return shape_inference.infer_shapes(model)

    def scaled(self, index: int = 0) -> str:
        """An input on [-2, 2)."""
        scaled = self.op("Mul", f"x{index}", self.constant(INPUT_SCALE))
        return self.op("Add", scaled, self.constant(INPUT_SHIFT))


def clip(n: Network, x: str, low: float, high: float) -> str:
    return n.op("Clip", x, n.constant(low), n.constant(high))


def resize(**attributes: str) -> Callable[[int, int], Branch]:
    def sized(height: int, width: int) -> Branch:
        return lambda n, x: n.op("Resize", n.conv(x, 16, 16), "", "", n.integers(1, 16, height, width), **attributes)

    return sized


def transposed(kernel: int, pad: int, group: int = 1, **attributes: Any) -> Branch:
    return lambda n, x: n.conv(
        x, 16, 16 if group > 1 else 8, kernel, stride=2, pads=[pad] * 4, kind="ConvTranspose", group=group, **attributes
    )


def pool(kind: str, kernel: int, stride: int, pad: int = 0, **attributes: Any) -> Branch:
    return lambda n, x: n.op(
        kind, n.conv(x, 16, 16), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, **attributes
    )


def strided(n: Network, x: str) -> str:
    return n.op("Slice", x, n.integers(0, 1), n.integers(24, 40), n.integers(2, 3), n.integers(2, 2))


def normalised(n: Network, x: str) -> str:
    y = n.conv(x, 16, 32, 1)
    return n.op("Div", y, n.op("ReduceL2", y, axes=[1], keepdims=1))


def shuffled(n: Network, x: str) -> str:
    """Softmax over 65 channels, the last dropped, to a full-resolution map."""
    y = n.op("Softmax", n.conv(x, 16, 65, 1), axis=1)
    y = n.op("Slice", y, n.integers(0), n.integers(64), n.integers(1))
    y = n.op("Reshape", n.op("Transpose", y, perm=[0, 2, 3, 1]), n.integers(1, 24, 40, 8, 8))
    return n.op("Reshape", n.op("Transpose", y, perm=[0, 1, 3, 2, 4]), n.integers(1, 192, 320))


PLACES = np.random.default_rng(3).integers(0, 16, (1, 16, 24, 40))
nearest = resize(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
linear = resize(mode="linear", coordinate_transformation_mode="half_pixel")
aligned = resize(mode="linear", coordinate_transformation_mode="align_corners")
asymmetric = resize(mode="linear", coordinate_transformation_mode="asymmetric")

GROUPS: dict[str, dict[str, Branch]] = {
    "convolutions": {
        "plain": lambda n, x: n.conv(x, 16, 24),
        "pointwise": lambda n, x: n.conv(x, 16, 33, 1),
        "five": lambda n, x: n.conv(x, 16, 8, 5),
        "seven": lambda n, x: n.conv(x, 16, 8, 7, stride=2),
        "flat": lambda n, x: n.conv(x, 16, 16, (1, 3)),
        "tall": lambda n, x: n.conv(x, 16, 16, (3, 1)),
        "even": lambda n, x: n.conv(x, 16, 16, 2, stride=2, pads=[0] * 4),
        "strided": lambda n, x: n.relu(n.conv(x, 16, 24, stride=2)),
        "strided three": lambda n, x: n.conv(x, 16, 24, stride=3),
        "two strides": lambda n, x: n.conv(x, 16, 24, stride=[1, 2]),
        "no border": lambda n, x: n.conv(x, 16, 13, pads=[0] * 4),
        "lopsided": lambda n, x: n.conv(x, 16, 24, pads=[0, 1, 2, 1]),
    },
    "grouped convolutions": {
        "groups": lambda n, x: n.conv(x, 16, 24, group=4),
        "depthwise": lambda n, x: clip(n, n.conv(x, 16, 16, group=16), 0.0, 6.0),
        "depthwise strided": lambda n, x: n.conv(x, 16, 16, stride=2, group=16),
        "depthwise five": lambda n, x: n.relu(n.conv(x, 16, 16, 5, group=16)),
        "multiplied": lambda n, x: n.conv(x, 16, 32, group=16),
        "dilated": lambda n, x: n.conv(x, 16, 16, dilation=2),
        "dilated wide": lambda n, x: n.conv(x, 16, 16, dilation=4, pads=[0] * 4),
        "depthwise dilated": lambda n, x: n.conv(x, 16, 16, group=16, dilation=2),
        "transposed two": transposed(2, 0),
        "transposed four": transposed(4, 1),
        "transposed output padding": transposed(3, 1, output_padding=[1, 1]),
        "transposed depthwise": transposed(4, 1, group=16),
    },
    "activations": {
        "relu": lambda n, x: n.relu(x),
        "relu6": lambda n, x: clip(n, n.conv(x, 16, 16), 0.0, 6.0),
        "clipped": lambda n, x: clip(n, x, -0.5, 0.7),
        "leaky": lambda n, x: n.op("LeakyRelu", n.conv(x, 16, 16), alpha=0.1),
        "leaky alone": lambda n, x: n.op("LeakyRelu", x, alpha=0.1),
        "parametric": lambda n, x: n.op(
            "PRelu", n.conv(x, 16, 16), n.constant(np.linspace(-0.3, 0.9, 16).reshape(16, 1, 1))
        ),
        "elu": lambda n, x: n.op("Elu", x, alpha=1.3),
        "sigmoid": lambda n, x: n.op("Sigmoid", x),
        "swish": lambda n, x: n.op("Mul", x, n.op("Sigmoid", x)),
        "tanh": lambda n, x: n.op("Tanh", x),
        "exponential": lambda n, x: n.op("Exp", x),
    },
    "arithmetic": {
        "sum": lambda n, x: n.op("Add", n.conv(x, 16, 16), x),
        "sum and relu": lambda n, x: n.relu(n.op("Add", n.conv(x, 16, 16), x)),
        "difference": lambda n, x: n.op("Sub", n.conv(x, 16, 16), x),
        "product": lambda n, x: n.op("Mul", n.conv(x, 16, 16), x),
        "quotient": lambda n, x: n.op("Div", x, n.op("Add", n.relu(n.conv(x, 16, 16)), n.constant(1.0))),
        "maximum": lambda n, x: n.op("Max", n.conv(x, 16, 16), x),
        "minimum": lambda n, x: n.op("Min", n.conv(x, 16, 16), x),
        "factor": lambda n, x: n.op("Mul", x, n.constant(0.37)),
        "each channel": lambda n, x: n.op("Mul", x, n.constant(np.linspace(0.1, 2, 16).reshape(1, 16, 1, 1))),
        "each column": lambda n, x: n.op("Add", x, n.constant(np.linspace(-1, 1, 40))),
        "gate": lambda n, x: n.op("Mul", x, n.op("Sigmoid", n.conv(n.op("GlobalAveragePool", x), 16, 16, 1))),
        "chosen": lambda n, x: n.op("Where", n.op("Greater", x, n.constant(0.0)), x, n.op("Mul", x, n.constant(0.5))),
    },
    "arrangement": {
        "joined": lambda n, x: n.op("Concat", n.conv(x, 16, 8), x, n.conv(x, 16, 5, 1), axis=1),
        "joined rows": lambda n, x: n.op("Concat", n.conv(x, 16, 16), x, axis=2),
        "part of channels": lambda n, x: n.op("Slice", n.conv(x, 16, 20), n.integers(3), n.integers(11), n.integers(1)),
        "part of pixels": lambda n, x: n.op("Slice", x, n.integers(2, 5), n.integers(20, 33), n.integers(2, 3)),
        "every second": strided,
        "channels last": lambda n, x: n.op("Transpose", n.conv(x, 16, 20), perm=[0, 2, 3, 1]),
        "reshaped": lambda n, x: n.op("Reshape", n.conv(x, 16, 20), n.integers(1, 20, 960)),
        "depth to space": lambda n, x: n.op("DepthToSpace", n.conv(x, 16, 64), blocksize=8),
        "depth to space CRD": lambda n, x: n.op("DepthToSpace", n.conv(x, 16, 16), blocksize=2, mode="CRD"),
        "space to depth": lambda n, x: n.op("SpaceToDepth", x, blocksize=4),
        "bordered": lambda n, x: n.op("Pad", x, n.integers(0, 0, 1, 2, 0, 0, 3, 4), n.constant(1.5)),
        "mirrored": lambda n, x: n.op("Pad", x, n.integers(0, 0, 1, 2, 0, 0, 3, 4), mode="reflect"),
        "picked": lambda n, x: n.op("Gather", n.conv(x, 16, 16), n.integers(3, 1, 15, 0, 7), axis=1),
        "each picked": lambda n, x: n.op("GatherElements", x, n.constant(PLACES, np.int64), axis=1),
        "heat map": shuffled,
    },
    "sizes": {
        "nearest up": nearest(48, 80),
        "nearest down": nearest(12, 20),
        "linear up": linear(48, 80),
        "linear odd": linear(37, 51),
        "aligned corners": aligned(48, 80),
        "asymmetric": asymmetric(37, 51),
        "maximum two": pool("MaxPool", 2, 2),
        "maximum three": pool("MaxPool", 3, 2, 1),
        "maximum in place": pool("MaxPool", 3, 1, 1),
        "suppression": pool("MaxPool", 9, 1, 4),
        "mean two": pool("AveragePool", 2, 2),
        "mean counting the border": pool("AveragePool", 3, 1, 1, count_include_pad=1),
        "mean of all": lambda n, x: n.op("GlobalAveragePool", n.conv(x, 16, 16)),
        "maximum of all": lambda n, x: n.op("GlobalMaxPool", n.conv(x, 16, 16)),
    },
    "reductions": {
        "softmax": lambda n, x: n.op("Softmax", n.conv(x, 16, 65, 1), axis=1),
        "softmax of rows": lambda n, x: n.op("Softmax", x, axis=3),
        "sum": lambda n, x: n.op("ReduceSum", x, n.integers(1), keepdims=1),
        "mean": lambda n, x: n.op("ReduceMean", x, axes=[1], keepdims=1),
        "mean of pixels": lambda n, x: n.op("ReduceMean", x, axes=[2, 3], keepdims=0),
        "maximum": lambda n, x: n.op("ReduceMax", x, axes=[1], keepdims=1),
        "minimum": lambda n, x: n.op("ReduceMin", x, axes=[2], keepdims=1),
        "unit length": normalised,
        "matrix": lambda n, x: n.op("Gemm", n.op("Flatten", pool("MaxPool", 8, 8)(n, x)), n.random(240, 20, scale=0.1)),
    },
}  # fmt: skip


def inputs_of(model: onnx.ModelProto) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.integers(0, 256, shape).astype(np.uint8) for name, shape in shapes.items()}


def check(model: onnx.ModelProto, blob: Blob, reference: Reference) -> None:
    inputs = inputs_of(model)
    outputs = Simulator(blob).run(dict(inputs))
    wrong = []
    expected = reference(model, dict(inputs))
    assert set(outputs) == set(expected)
    for name, values in expected.items():
        assert outputs[name].shape == values.shape, name
        error = np.abs(outputs[name].astype(np.float64) - values).max() / np.abs(values).max()
        if not error <= TOLERANCE:
            wrong.append(f"{name}: {error:.2g}")
    assert not wrong


@pytest.mark.parametrize("shape", [(1, 16, 24, 40)], ids=str)
@pytest.mark.parametrize("group", GROUPS)
def test_operations(
    compile_onnx: Callable[..., Blob], reference: Reference, group: str, shape: tuple[int, ...]
) -> None:
    network = Network(shape)
    x = network.scaled()
    for name, branch in GROUPS[group].items():
        network.output(name, branch(network, x))
    model = network.model()
    check(model, compile_onnx(model), reference)


@pytest.mark.parametrize(
    ("channels", "outputs", "height", "width", "stride"),
    [(1, 1, 8, 8, 1), (1, 8, 9, 11, 1), (7, 13, 31, 45, 2), (17, 33, 77, 101, 1), (512, 300, 7, 7, 1)],
)  # fmt: skip
def test_odd_sizes(
    compile_onnx: Callable[..., Blob],
    reference: Reference,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    stride: int,
) -> None:
    network = Network((1, channels, height, width))
    y = network.relu(network.conv(network.scaled(), channels, outputs, stride=stride))
    network.output("y", network.conv(y, outputs, 10, 1))
    model = network.model()
    check(model, compile_onnx(model), reference)


def inverted_residuals() -> onnx.ModelProto:
    network = Network((1, 3, 96, 128))
    x, channels = clip(network, network.conv(network.scaled(), 3, 16, stride=2), 0.0, 6.0), 16
    for outputs, stride in ((24, 2), (24, 1), (40, 2), (40, 1)):
        y = clip(network, network.conv(x, channels, channels * 4, 1), 0.0, 6.0)
        y = clip(network, network.conv(y, channels * 4, channels * 4, stride=stride, group=channels * 4), 0.0, 6.0)
        y = network.conv(y, channels * 4, outputs, 1)
        x, channels = network.op("Add", x, y) if outputs == channels and stride == 1 else y, outputs
    network.output("y", x)
    return network.model()


@pytest.mark.slow
def test_every_number_of_shaves_gives_the_same_bits(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    network = Network((1, 1, 120, 160))
    x, channels = network.scaled(), 1
    for outputs, stride in ((32, 1), (32, 2), (64, 1), (64, 2), (128, 1), (128, 2)):
        x, channels = network.relu(network.conv(x, channels, outputs, stride=stride)), outputs
    network.output("probability", network.op("Softmax", network.conv(x, 128, 65, 1), axis=1))
    network.output("descriptors", network.conv(x, 128, 128, 1))
    for model in (network.model(), inverted_residuals()):
        inputs = inputs_of(model)
        first = None
        for shaves in (1, 4, 6, 8, 16):
            blob = compile_onnx(model, shaves=shaves)
            assert blob.header.shaves == shaves
            check(model, blob, reference)
            outputs = Simulator(blob).run(dict(inputs))
            first = first or outputs
            for name, values in first.items():
                np.testing.assert_array_equal(values, outputs[name])


def test_two_inputs_and_three_outputs(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    network = Network((1, 3, 40, 56), (1, 3, 40, 56))
    first, second = (network.relu(network.conv(network.scaled(i), 3, 16, stride=2)) for i in (0, 1))
    network.output("joined", network.op("Concat", first, second, axis=1))
    network.output("difference", network.op("Sub", first, second))
    network.output("product", network.op("Mul", first, second))
    model = network.model()
    check(model, compile_onnx(model), reference)


def test_largest_values_and_their_places(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    network = Network((1, 1, 24, 40))
    flat = network.op("Reshape", network.conv(network.scaled(), 1, 1), network.integers(1, 960))
    network.nodes.append(helper.make_node("TopK", [flat, network.integers(50)], ["values", "places"], axis=1))
    network.outputs = {"values": TensorProto.FLOAT16, "places": TensorProto.INT64}
    model = network.model()
    inputs = inputs_of(model)
    outputs = Simulator(compile_onnx(model)).run(dict(inputs))
    expected = reference(model, dict(inputs))
    values, places = outputs["places.0"].astype(np.float32), outputs["places.1"]
    np.testing.assert_allclose(values, expected["values"], atol=4e-3)
    assert len(np.intersect1d(places, expected["places"])) >= 48


def test_whole_numbers_put_together_in_integers(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    """As the heads ``packed`` do it: rounded down in FP16, then sums and products of S32, exact to the last bit."""
    network = Network((1, 16, 24, 40))
    whole = network.op(
        "Floor", clip(network, network.op("Mul", network.scaled(), network.constant(64.0)), -127.0, 127.0)
    )
    parts = [f"part{index}" for index in range(4)]
    network.nodes.append(helper.make_node("Split", [whole, network.integers(4, 4, 4, 4)], parts, axis=1))
    cast = [network.op("Cast", part, to=TensorProto.INT32) for part in parts]
    total, base = cast[-1], network.constant(256, np.int32)
    for part in reversed(cast[:-1]):
        total = network.op("Add", network.op("Mul", total, base), part)
    network.output("y", total, TensorProto.INT32)
    model = network.model()
    inputs = inputs_of(model)
    got = Simulator(compile_onnx(model)).run(dict(inputs))["y"]
    assert got.dtype == np.int32
    assert np.abs(got.astype(np.int64)).max() > 2**30
    np.testing.assert_array_equal(got, reference(model, dict(inputs))["y"])


def test_grouped_transposed_convolution_is_miscompiled(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    """The compiler reads the weights of a grouped transposed convolution in another order than ONNX defines.

    It takes element [i][g · O/G + o] of an array [I/G][O] where ONNX has [g · I/G + i][o] (``split_grouped_conv.cpp``,
    ``deconvolutionRelayout``). The simulator shows it: what it gives is the convolution with the weights misread so.
    """
    groups, channels, kernel = 2, 16, 4
    network = Network((1, channels, 24, 40))
    network.output("y", transposed(kernel, 1, group=groups)(network, network.scaled()))
    model = network.model()
    blob = compile_onnx(model)
    with pytest.raises(AssertionError, match="y: "):
        check(model, blob, reference)
    weights = next(c for c in model.graph.initializer if len(c.dims) == 4)
    values = numpy_helper.to_array(weights)
    per_group = channels // groups
    misread = values.reshape(per_group, groups, per_group, kernel, kernel).transpose(1, 0, 2, 3, 4)
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(misread).reshape(values.shape), weights.name))
    check(model, blob, reference)
