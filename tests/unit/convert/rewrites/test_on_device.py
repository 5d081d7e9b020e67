"""Rewritten operators, compiled and executed: what the compiler makes of them is what ONNX Runtime computes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from rewritten import Layer, differences, graph_of, layer, on_device, random_inputs, rewritten, run

from oakpoint.convert.rewrites.operators.fp16_range import Fp16Range
from oakpoint.convert.rewrites.operators.named_outputs import NamedOutputs
from oakpoint.convert.rewrites.operators.registry import OPERATOR_REWRITES
from oakpoint.myriad.blob import read_blob

pytestmark = pytest.mark.compiler

IMAGE = (1, 4, 6, 8)
TOLERANCE = 4e-3
"""Of an output's largest value: FP16 has 11 bits, and most of these are several stages."""

RNG = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def compiled_and_executed(
    layers: Sequence[Layer],
    inputs: Mapping[str, Sequence[int]],
    constants: Mapping[str, Any],
    folder: Path,
    given: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Every tensor that no layer reads is an output; each is compared."""
    read = {name for _, names, _, _ in layers for name in names}
    outputs = [name for _, _, put, _ in layers for name in put if name not in read]
    model = graph_of(layers, inputs, constants, outputs)
    values = random_inputs(model, np.random.default_rng(1)) | dict(given or {})
    expected = run(model, values)
    found = on_device(model, [*OPERATOR_REWRITES, Fp16Range()], values, folder)
    off = {}
    for name, wanted in expected.items():
        wanted = wanted.astype(np.float64)
        assert found[name].shape == wanted.shape, name
        error = np.abs(found[name] - wanted).max() / max(np.abs(wanted).max(), 1e-6)
        if not error < TOLERANCE:
            off[name] = error
    assert not off


def test_one_value_at_a_time(tmp_path: Path) -> None:
    functions = ["Abs", "Sign", "Selu", "Softsign", "Sinh", "Cosh", "Asinh", "HardSigmoid"]
    layers = [layer(name, "x", name) for name in functions]
    layers += [
        layer("HardSigmoid", "x", "gate", alpha=1 / 6, beta=0.5), layer("Mul", "x gate", "hard-swish"),
        layer("Clip", "x low high", "clip-infinite"), layer("Clip", "x one one", "clip-equal"),
        layer("Clip", "x one high", "clip-swapped"), layer("Clip", "x z", "clip-computed"),
        layer("PRelu", "x full", "prelu-full"), layer("PRelu", "x row", "prelu-row"),
        layer("PRelu", "x channel", "prelu-channel"), layer("PRelu", "x x", "prelu-computed"),
        layer("Tanh", "x", "t"), layer("Atanh", "t", "atanh"),
        layer("Abs", "x", "a"), layer("Add", "a one", "b"), layer("Acosh", "b", "acosh"),
    ]  # fmt: skip
    constants = {"low": np.float32(-np.inf), "high": np.float32(0.5), "one": np.float32(1),
                 "full": weights(4, 6, 8), "row": weights(8), "channel": weights(4, 1, 1)}  # fmt: skip
    compiled_and_executed(layers, {"x": IMAGE, "z": ()}, constants, tmp_path)


def test_along_axes(tmp_path: Path) -> None:
    layers = [layer("LogSoftmax", "x", f"log-softmax-{axis}", axis=axis) for axis in range(4)]
    layers += [layer("CumSum", f"x axis{axis}", f"cumsum-{axis}", reverse=axis % 2) for axis in (1, 3)]
    layers += [layer("Hardmax", "x", f"hardmax-{axis}", axis=axis) for axis in (1, 3)]
    layers += [
        layer("Mul", "x forty", "large"), layer("ReduceLogSumExp", "large", "lse", axes=[1, 3]),
        layer("ReduceLogSumExp", "x", "lse-all", keepdims=0),
        layer("ReduceProd", "x", "product", axes=[2]),
        layer("ReduceL1", "x", "l1", axes=[1], keepdims=0), layer("Mul", "x faint", "small"),
        layer("InstanceNormalization", "x s b", "norm"), layer("InstanceNormalization", "small s b", "norm-of-faint"),
        layer("Add", "x eight", "far"), layer("ReduceMean", "far", "m", axes=[3]), layer("Mul", "far far", "q"),
        layer("Mul", "m m", "mm"), layer("ReduceMean", "q", "mq", axes=[3]), layer("Sub", "mq mm", "variance"),
    ]  # fmt: skip
    constants = {"forty": np.float32(40), "eight": np.float32(8), "faint": np.float32(2**-8),
                 "s": weights(4) + 1, "b": weights(4), "axis1": np.array(1), "axis3": np.array(3)}  # fmt: skip
    compiled_and_executed(layers, {"x": IMAGE}, constants, tmp_path)


def normalised(x: str, axes: list[int], name: str, *, inside: bool = True) -> list[Layer]:
    """A normalisation as exporters before opset 17 write it; ε under the root, or beside it."""
    parts = [
        layer("ReduceMean", x, f"{name}-mean", axes=axes), layer("Sub", f"{x} {name}-mean", f"{name}-apart"),
        layer("Pow", f"{name}-apart two", f"{name}-square"),
        layer("ReduceMean", f"{name}-square", f"{name}-variance", axes=axes),
    ]  # fmt: skip
    if inside:
        parts += [layer("Add", f"{name}-variance e", f"{name}-a"), layer("Sqrt", f"{name}-a", f"{name}-b")]
    else:
        parts += [layer("Sqrt", f"{name}-variance", f"{name}-a"), layer("Add", f"{name}-a e", f"{name}-b")]
    return [*parts, layer("Div", f"{name}-apart {name}-b", name)]


def test_normalisations_that_are_spelt_out(tmp_path: Path) -> None:
    layers = [layer("Mul", "x faint", "small"), layer("Reshape", "x row", "rows")]
    for x in ("x", "small"):
        for axes in ([1], [3], [2, 3], [1, 2, 3]):
            layers += normalised(x, axes, f"{x}-{''.join(map(str, axes))}")
    layers += normalised("rows", [2], "rows-2") + normalised("rows", [2], "rows-outside", inside=False)
    layers += [layer("Pow", "x two", "square"), layer("ReduceSum", "square one", "sum"), layer("Sqrt", "sum", "norm"),
               layer("Div", "x norm", "unit"), layer("ReduceSumSquare", "x", "squares", axes=[3])]  # fmt: skip
    constants = {"two": np.float32(2), "e": np.float32(1e-5), "faint": np.float32(2**-8), "row": np.array([1, 12, 16]),
                 "one": np.array([1])}  # fmt: skip
    compiled_and_executed(layers, {"x": IMAGE}, constants, tmp_path)


def test_windows(tmp_path: Path) -> None:
    borders = itertools.product(([1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]), ([1, 1], [2, 2]), (0, 1))
    layers = [
        layer("AveragePool", "x", f"average-{number}", kernel_shape=[3, 3], pads=pads, strides=strides,
              count_include_pad=border)
        for number, (pads, strides, border) in enumerate(borders)
    ]  # fmt: skip
    layers += [
        layer("AveragePool", "x", f"average-{automatic}", kernel_shape=[2, 2], auto_pad=automatic)
        for automatic in ("SAME_UPPER", "SAME_LOWER")
    ]
    layers += [
        layer("AveragePool", "x", "average-up", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1),
        layer("MaxPool", "x", "max-dilated", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2]),
        layer("MaxPool", "x", "max-dilated-strided", kernel_shape=[2, 3], dilations=[3, 2], strides=[2, 1]),
        layer("MaxPool", "x", "max-up", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        layer("AveragePool", "row", "average-of-a-row", kernel_shape=[3], pads=[1, 1]),
    ]
    compiled_and_executed(layers, {"x": (1, 3, 9, 11), "row": (1, 3, 11)}, {}, tmp_path)


def test_transposed_convolutions(tmp_path: Path) -> None:
    constants = {"k2": weights(8, 4, 2, 2), "k3": weights(8, 4, 3, 3), "k4": weights(8, 4, 4, 4), "b": weights(4),
                 "own": weights(8, 1, 3, 3), "group": weights(8, 2, 3, 3), "row3": weights(8, 4, 3)}  # fmt: skip
    layers = [
        layer("ConvTranspose", "x k2 b", "plain", strides=[2, 2]),
        layer("ConvTranspose", "x k4", "same-upper", strides=[2, 2], auto_pad="SAME_UPPER"),
        layer("ConvTranspose", "x k3", "same-lower", strides=[2, 2], auto_pad="SAME_LOWER"),
        layer("ConvTranspose", "x k3 b", "shape", strides=[2, 2], output_shape=[10, 12]),
        layer("ConvTranspose", "x k3 b", "cropped", strides=[2, 2], output_shape=[10, 8], auto_pad="SAME_UPPER"),
        layer("ConvTranspose", "x k3", "dilated", dilations=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]),
        layer("ConvTranspose", "x own", "depthwise", strides=[2, 2], group=8, output_padding=[1, 1], pads=[1, 1, 1, 1]),
        layer("ConvTranspose", "x group b", "groups", strides=[2, 2], group=2),
        layer("ConvTranspose", "row row3 b", "of-a-row", strides=[2], pads=[1, 1], output_padding=[1]),
    ]
    compiled_and_executed(layers, {"x": (1, 8, 5, 6), "row": (1, 8, 7)}, constants, tmp_path)


def test_resizes(tmp_path: Path) -> None:
    constants = {"down": np.array([1, 1, 0.6, 0.6], np.float32), "odd": np.array([1, 4, 9, 11]),
                 "batched": np.array([2, 3, 8, 9]), "row": np.array([1, 3, 9])}  # fmt: skip
    layers = [
        layer("Resize", "x - down", "linear-by-scales", mode="linear"),
        layer("Resize", "x - down", "nearest-by-scales", mode="nearest", nearest_mode="floor"),
        layer("Resize", "x - - odd", "cubic", mode="cubic"),
        layer("Resize", "x - - odd", "linear", mode="linear"),
        layer("Resize", "z - - batched", "linear-batch", mode="linear"),
        layer("Resize", "x - - odd", "nearest-corners", coordinate_transformation_mode="align_corners"),
        layer("Resize", "r - - row", "nearest-of-a-row", coordinate_transformation_mode="asymmetric"),
    ]
    compiled_and_executed(layers, {"x": IMAGE, "z": (2, 3, 4, 5), "r": (1, 3, 5)}, constants, tmp_path)


def test_values_moved(tmp_path: Path) -> None:
    constants = {"first": np.array([1, 0, 0, 0, 1, 2, 0, 0]), "crop": np.array([0, 0, -1, 2, 0, 0, 1, -2]),
                 "row": np.array([1, 2]), "five": np.array([0, 0, 1, 1, 0, 0, 1, 0, 1, 2]), "last": np.array([-1, 0]),
                 "corner": np.array(-1)}  # fmt: skip
    layers = [
        layer("Pad", "x first", "pad-first"), layer("Pad", "x crop", "pad-and-crop"),
        layer("Pad", "r row", "pad-a-row", mode="reflect"), layer("Pad", "v five", "pad-five", mode="edge"),
        layer("Gather", "x last", "gather", axis=1), layer("Gather", "x corner", "gather-one", axis=2),
        layer("ReduceMax", "x", "one", axes=[0, 1, 2, 3]), layer("Squeeze", "one", "scalar"),
        layer("ReduceMean", "x", "mean", keepdims=0), layer("Mul", "mean r", "calculated-with"),
        layer("Mul", "v w", "five-by-three"), layer("Add", "v x4", "five-by-four"),
    ]  # fmt: skip
    shapes = {"x": IMAGE, "r": (5,), "v": (1, 2, 3, 4, 5), "w": (3, 1, 5), "x4": (2, 3, 4, 5)}
    compiled_and_executed(layers, shapes, constants, tmp_path)


def test_truth_values(tmp_path: Path) -> None:
    layers = [layer(operator, "x z", operator) for operator in ("GreaterOrEqual", "LessOrEqual")]
    layers += [layer("Greater", "x z", "a"), layer("Less", "x half", "b"), layer("Or", "a b", "or"),
               layer("Xor", "a b", "xor"), layer("Cast", "c", "true", to=TensorProto.BOOL),
               layer("Where", "true x z", "chosen"), layer("Cast", "c", "i", to=TensorProto.INT32),
               layer("Greater", "i one", "whole"), layer("ArgMax", "x", "place", axis=1)]  # fmt: skip
    numbers = RNG.integers(-2, 3, IMAGE).astype(np.float32)
    constants = {"half": np.float32(0.5), "one": np.int32(1)}
    shapes = {"x": IMAGE, "z": IMAGE, "c": IMAGE}
    compiled_and_executed(layers, shapes, constants, tmp_path, {"x": numbers, "c": numbers[:, ::-1].copy()})


def test_small_and_large_numbers(tmp_path: Path) -> None:
    layers = [layer("ReduceL2", "x", "n", axes=[1]), layer("Clip", "n e", "m"), layer("Div", "x m", "unit"),
              layer("Add", "x mask", "masked"), layer("Softmax", "masked", "attention", axis=3),
              layer("Where", "c x far", "w"), layer("Softmax", "w", "chosen", axis=3)]  # fmt: skip
    where = np.arange(8) % 3 > 0
    constants = {"e": np.float32(1e-12), "mask": np.where(where, 0, -np.inf).astype(np.float32), "c": where,
                 "far": np.float32(-1e9)}  # fmt: skip
    x = RNG.normal(0, 1, IMAGE).astype(np.float16).astype(np.float32)
    x[:, :, 2, 3] = 0
    compiled_and_executed(layers, {"x": IMAGE}, constants, tmp_path, {"x": x})


def test_what_the_compiler_cannot_lay_out(tmp_path: Path) -> None:
    """As a network has it: an image whose channels are reduced, and which is used again."""
    layers = [
        layer("Conv", "x k", "image", pads=[1, 1, 1, 1]),
        layer("ReduceMean", "image", "mean", axes=[1]), layer("Sub", "image mean", "apart"),
        layer("ReduceMax", "image", "most", axes=[1]), layer("Mul", "image most", "times"),
        layer("ReduceL2", "image", "norm", axes=[1]), layer("Div", "image norm", "unit"),
        layer("ReduceMax", "image", "all", axes=[1, 2, 3]), layer("Sub", "image all", "below"),
        layer("MatMul", "image w", "rows"), layer("Add", "rows b", "linear"),
        layer("LpNormalization", "x", "lp", axis=1, p=1), layer("LpPool", "x", "lp-pool", kernel_shape=[3, 2]),
        layer("Softmax", "x", "softmax"),
    ]  # fmt: skip
    constants = {"k": weights(24, 3, 3, 3), "w": weights(20, 16), "b": weights(16)}
    compiled_and_executed(layers, {"x": (1, 3, 16, 20)}, constants, tmp_path)


def test_many_short_rows_are_reduced_in_few_stages(tmp_path: Path) -> None:
    """The classes of 600 boxes and of an image's pixels, which the compiler would cut into pieces of twelve."""
    layers = [layer("ReduceMax", "boxes", "best", axes=[2], keepdims=0), layer("LogSoftmax", "boxes", "log", axis=2),
              layer("LogSoftmax", "image", "log-image", axis=3)]  # fmt: skip
    compiled_and_executed(layers, {"boxes": (1, 600, 5), "image": (1, 24, 24, 5)}, {}, tmp_path)
    assert len(read_blob(tmp_path / "device.blob").stages) < 60


def test_outputs_of_operators_with_several_keep_their_names(tmp_path: Path) -> None:
    layers = [layer("Split", "x two", "a b", axis=1), layer("Relu", "a", "c"), layer("TopK", "x k", "best places")]
    model = graph_of(layers, {"x": IMAGE}, {"two": np.array([1, 3]), "k": np.array([2])}, ["a", "b", "c", "best"])
    values = random_inputs(model, np.random.default_rng(1))
    found = on_device(model, [NamedOutputs()], values, tmp_path)
    for name, wanted in run(model, values).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-3)
    assert differences(model, NamedOutputs(), values) == dict.fromkeys("abc", 0) | {"best": 0}
    alone = graph_of([layer("Relu", "x")], {"x": IMAGE})
    assert rewritten(alone, NamedOutputs()) == (alone, ())
