"""Mean and scale in the device graph: on levels 0–255 it gives what the host gives on the normalised image."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from broken_inputs import channels_swapped, mean_over_border, without_mean, without_scale
from hypothesis import given, settings
from hypothesis import strategies as st
from image_stems import SIZE, Stem, in_float32, model_of, run
from onnx import TensorProto, numpy_helper

from oakpoint.bundle.interface import image_interface
from oakpoint.convert.device_graph import DeviceInput, device_graph, device_inputs
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.image.layout import InputLayout
from oakpoint.convert.rewrites.image.normalisation import InputNormalisation
from oakpoint.images.preprocess import Preprocess

IMAGENET = {
    "mean": tuple(255 * m for m in (0.485, 0.456, 0.406)),
    "scale": tuple(1 / (255 * s) for s in (0.229, 0.224, 0.225)),
}
NUMBERS: dict[str, dict[str, Any]] = {
    "0 to 1": {"mean": 0.0, "scale": 1 / 255},
    "ImageNet": IMAGENET,
    "-1 to 1": {"mean": 127.5, "scale": 1 / 127.5},
    "one mean": {"mean": 114.3, "scale": (0.01, 0.02, 0.03)},
}
_rng = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return _rng.normal(0, 0.4, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def channels(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


W3, W1, B4 = weights(4, 3, 3, 3), weights(4, 1, 3, 3), weights(4)
PAD = {"pads": [1, 1, 1, 1]}
CONV = ("Conv", ["image", "w", "b"], "y", PAD)
CONV_X = ("Conv", ["x", "w", "b"], "y", PAD)
CONSTANTS = {"w": W3, "b": B4}

FOLDED: dict[str, Stem] = {
    "unpadded": Stem([("Conv", ["image", "w", "b"], "y", {})], CONSTANTS),
    "unpadded, no bias": Stem([("Conv", ["image", "w"], "y", {"strides": [2, 2]})], CONSTANTS),
    "valid by name": Stem([("Conv", ["image", "w"], "y", {"auto_pad": "VALID"})], CONSTANTS),
    "depthwise": Stem(
        [("Conv", ["image", "w", "b"], "y", {"group": 3})], {"w": weights(6, 1, 3, 3), "b": weights(6)}
    ),
    "two outputs of one convolution's weights": Stem(
        [("Conv", ["image", "w"], "y", {}), ("Relu", ["image"], "r", {}), ("Conv", ["r", "w"], "z", {})],
        CONSTANTS,
        outputs=("y", "z"),
    ),
    "standardised": Stem(
        [("Sub", ["image", "m"], "a", {}), ("Div", ["a", "s"], "x", {}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "m": channels(0.4, 0.5, 0.6), "s": channels(0.2, 0.3, 0.4)},
    ),
    "two times minus one": Stem(
        [("Mul", ["two", "image"], "a", {}), ("Sub", ["a", "one"], "x", {}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "two": floats(2)[0], "one": floats(1)},
    ),
    "one minus": Stem(
        [("Sub", ["one", "image"], "a", {}), ("Neg", ["a"], "x", {}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "one": floats(1)},
    ),
    "batch norm": Stem(
        [("BatchNormalization", ["image", "g", "h", "m", "v"], "x", {"epsilon": 1e-3}),
         ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "g": floats(1, 2, 3), "h": floats(0.1, -0.2, 0.3), "m": floats(0.4, 0.5, 0.6),
         "v": floats(0.2, 0.1, 0.3)},
    ),
    "channels in another order": Stem(
        [("Gather", ["image", "bgr"], "x", {"axis": 1}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "bgr": ints(2, 1, -3)},
    ),
    "space to depth by slices": Stem(
        [
            *[("Slice", ["image", f"b{i}", "e", "axes", "steps"], f"x{i}", {}) for i in range(4)],
            ("Concat", [f"x{i}" for i in range(4)], "x", {"axis": 1}),
            ("Conv", ["x", "w"], "y", {}),
        ],
        {
            "w": weights(4, 12, 3, 3), "e": ints(999, 999), "axes": ints(2, 3), "steps": ints(2, 2),
            **{f"b{i}": ints(i // 2, i % 2) for i in range(4)},
        },
    ),
    "pixel unshuffle": Stem(
        [
            ("Reshape", ["image", "s1"], "x1", {}), ("Transpose", ["x1"], "x2", {"perm": [0, 1, 3, 5, 2, 4]}),
            ("Reshape", ["x2", "s2"], "x", {}), ("Conv", ["x", "w"], "y", {}),
        ],
        {"s1": ints(1, 3, 8, 2, 12, 2), "s2": ints(1, 12, 8, 12), "w": weights(4, 12, 3, 3)},
    ),
    "patches to tokens": Stem(
        [
            ("Reshape", ["image", "s1"], "x1", {}), ("Transpose", ["x1"], "x2", {"perm": [0, 2, 4, 1, 3, 5]}),
            ("Reshape", ["x2", "s2"], "x", {}), ("MatMul", ["x", "w"], "y", {}),
        ],
        {"s1": ints(1, 3, 2, 8, 3, 8), "s2": ints(1, 6, 192), "w": weights(192, 5)},
    ),
    "fully connected": Stem(
        [("Flatten", ["image"], "x", {}), ("Gemm", ["x", "w", "b"], "y", {"transB": 1, "alpha": 0.5, "beta": 2.0})],
        {"w": weights(5, 3 * SIZE[0] * SIZE[1]), "b": weights(5)},
    ),
    "fully connected, no bias": Stem(
        [("Flatten", ["image"], "x", {}), ("Gemm", ["x", "w"], "y", {})], {"w": weights(3 * SIZE[0] * SIZE[1], 5)}
    ),
    "smaller by interpolation": Stem(
        [("Resize", ["image", "", "f"], "x", {"mode": "linear"}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "f": floats(1, 1, 0.5, 0.5)},
    ),
    "larger by nearest": Stem(
        [("Resize", ["image", "", "", "to"], "x", {"mode": "nearest"}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "to": ints(1, 3, 32, 48)},
    ),
    "cubic": Stem(
        [("Resize", ["image", "", "f"], "x", {"mode": "cubic"}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "f": floats(1, 1, 1.5, 1.5)},
    ),
    "average pool": Stem(
        [("AveragePool", ["image"], "x", {"kernel_shape": [4, 4], "strides": [4, 4]}),
         ("Conv", ["x", "w", "b"], "y", {})],
        CONSTANTS,
    ),
    "average pool, border left out": Stem(
        [("AveragePool", ["image"], "x", {"kernel_shape": [3, 3], **PAD}), ("Conv", ["x", "w", "b"], "y", {})],
        CONSTANTS,
    ),
    "max pool": Stem(
        [("MaxPool", ["image"], "x", {"kernel_shape": [3, 3], **PAD}), ("Conv", ["x", "w", "b"], "y", {})], CONSTANTS
    ),
    "mean of the image subtracted": Stem(
        [("ReduceMean", ["image"], "m", {"axes": [2, 3]}), ("Sub", ["image", "m"], "x", {}),
         ("Conv", ["x", "w", "b"], "y", PAD)],
        CONSTANTS,
    ),
    "global average": Stem(
        [("GlobalAveragePool", ["image"], "m", {}), ("Flatten", ["m"], "x", {}), ("Gemm", ["x", "w", "b"], "y", {})],
        {"w": weights(3, 5), "b": weights(5)},
    ),
    "mirrored border": Stem(
        [("Pad", ["image", "p"], "x", {"mode": "reflect"}), ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "p": ints(0, 0, 1, 2, 0, 0, 3, 1)},
    ),
    "halves": Stem(
        [("Split", ["image", "n"], ["u", "v"], {"axis": 3}), ("Add", ["u", "v"], "x", {}),
         ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "n": ints(12, 12)},
    ),
    "through FP16": Stem(
        [("Cast", ["image"], "x", {"to": TensorProto.FLOAT}), ("Conv", ["x", "w", "b"], "y", {})], CONSTANTS
    ),
    "no output of the levels": Stem([("Mul", ["image", "k"], "x", {}), ("Conv", ["x", "w"], "y", {})],
                                    {"k": floats(0.125), "w": W3}),
}  # fmt: skip
"""Where nothing of scale and mean is left but numbers of other layers."""

EXPLICIT: dict[str, Stem] = {
    "padded": Stem([CONV], CONSTANTS),
    "strided and padded unevenly": Stem(
        [("Conv", ["image", "w", "b"], "y", {"pads": [0, 1, 2, 0], "strides": [2, 2]})], CONSTANTS
    ),
    "padded by rule": Stem([("Conv", ["image", "w", "b"], "y", {"auto_pad": "SAME_UPPER"})], CONSTANTS),
    "dilated": Stem([("Conv", ["image", "w"], "y", {"pads": [2, 2, 2, 2], "dilations": [2, 2]})], CONSTANTS),
    "depthwise, padded": Stem(
        [("Conv", ["image", "w", "b"], "y", {"group": 3, **PAD})], {"w": weights(6, 1, 3, 3), "b": weights(6)}
    ),
    "deconvolution": Stem([("ConvTranspose", ["image", "w", "b"], "y", {"strides": [2, 2]})],
                          {"w": weights(3, 4, 3, 3), "b": B4}),
    "deconvolution in groups": Stem([("ConvTranspose", ["image", "w"], "y", {"strides": [2, 2], "group": 3, **PAD})],
                                    {"w": weights(3, 2, 4, 4)}),
    "zeros around, then unpadded": Stem(
        [("Pad", ["image", "p"], "x", {}), ("Conv", ["x", "w", "b"], "y", {"strides": [2, 2]})],
        {**CONSTANTS, "p": ints(0, 0, 0, 0, 0, 0, 1, 1)},
    ),
    "zeros around, then padded": Stem(
        [("Pad", ["image", "p"], "x", {}), CONV_X], {**CONSTANTS, "p": ints(0, 0, 0, 0, 0, 0, 1, 1)}
    ),
    "grey around": Stem(
        [("Pad", ["image", "p", "v"], "x", {}), CONV_X],
        {**CONSTANTS, "p": ints(0, 0, 2, 0, 0, 0, 1, 1), "v": np.array(0.5, np.float32)},
    ),
    "standardised, padded": Stem(
        [("Sub", ["image", "m"], "a", {}), ("Div", ["a", "s"], "x", {}), CONV_X],
        {**CONSTANTS, "m": channels(0.4, 0.5, 0.6), "s": channels(0.2, 0.3, 0.4)},
    ),
    "standardised the other way round": Stem(
        [("Mul", ["image", "s"], "a", {}), ("Add", ["a", "m"], "x", {}), CONV_X],
        {**CONSTANTS, "m": channels(0.4, 0.5, 0.6), "s": channels(0.2, -0.3, 0.4)},
    ),
    "average pool that counts its border": Stem(
        [("AveragePool", ["image"], "x", {"kernel_shape": [3, 3], "count_include_pad": 1, **PAD}), CONV_X], CONSTANTS
    ),
    "local contrast": Stem(
        [("AveragePool", ["image"], "m", {"kernel_shape": [9, 9], "count_include_pad": 1, "pads": [4, 4, 4, 4]}),
         ("Sub", ["image", "m"], "x", {}), CONV_X],
        CONSTANTS,
    ),
    "skip of the image": Stem(
        [("Conv", ["image", "w", "b"], "u", {"strides": [2, 2], **PAD}),
         ("AveragePool", ["image"], "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
         ("Conv", ["p", "w1"], "v", {}), ("Add", ["u", "v"], "y", {})],
        {**CONSTANTS, "w1": weights(4, 3, 1, 1)},
    ),
    "image beside coordinates": Stem(
        [("Concat", ["image", "xy"], "x", {"axis": 1}), ("Conv", ["x", "w", "b"], "y", PAD)],
        {"w": weights(4, 5, 3, 3), "b": B4, "xy": weights(1, 2, SIZE[1], SIZE[0])},
    ),
    "image beside features": Stem(
        [("Conv", ["image", "w", "b"], "f", PAD), ("Sigmoid", ["f"], "g", {}),
         ("Concat", ["g", "image"], "x", {"axis": 1}), ("Conv", ["x", "w7"], "y", PAD)],
        {**CONSTANTS, "w7": weights(4, 7, 3, 3)},
    ),
    "sigmoid first": Stem([("Sigmoid", ["image"], "x", {}), CONV_X], CONSTANTS),
    "squared": Stem([("Mul", ["image", "image"], "x", {}), CONV_X], CONSTANTS),
    "one over": Stem([("Div", ["one", "image"], "y", {})], {"one": floats(1)}),
    "softmax of pixels": Stem([("Softmax", ["image"], "x", {"axis": 1}), CONV_X], CONSTANTS),
    "relu": Stem([("Relu", ["image"], "x", {}), CONV_X], CONSTANTS),
    "clipped": Stem([("Clip", ["image", "lo", "hi"], "x", {}), CONV_X],
                    {**CONSTANTS, "lo": np.array(0.1, np.float32), "hi": np.array(0.6, np.float32)}),
    "instance norm": Stem([("InstanceNormalization", ["image", "g", "h"], "x", {"epsilon": 1e-3}), CONV_X],
                          {**CONSTANTS, "g": floats(1, 2, 3), "h": floats(0, 0.1, 0.2)}),
    "vignette": Stem([("Mul", ["image", "k"], "x", {}), CONV_X],
                     {**CONSTANTS, "k": np.abs(weights(1, 1, SIZE[1], SIZE[0]))}),
    "grey of the colours": Stem(
        [("Mul", ["image", "k"], "a", {}), ("ReduceSum", ["a", "axes"], "x", {}), ("Conv", ["x", "w"], "y", PAD)],
        {"k": channels(0.299, 0.587, 0.114), "axes": ints(1), "w": W1},
    ),
    "the image is an output": Stem([CONV, ("Identity", ["image"], "z", {})], CONSTANTS, outputs=("y", "z")),
    "normalised image is an output": Stem(
        [("Mul", ["image", "k"], "x", {}), CONV_X], {**CONSTANTS, "k": floats(2)}, outputs=("y", "x")
    ),
    "twice an output": Stem(
        [("Transpose", ["image"], "x", {"perm": [0, 1, 3, 2]}), ("Identity", ["x"], "z", {}), CONV_X],
        CONSTANTS,
        outputs=("x", "y", "z"),
    ),
    "a matrix from the left": Stem([("MatMul", ["m", "image"], "x", {}), CONV_X],
                                   {**CONSTANTS, "m": weights(16, 16)}),
    "size alone": Stem([CONV, ("Shape", ["image"], "s", {}), ("Cast", ["s"], "z", {"to": TensorProto.FLOAT})],
                       CONSTANTS, outputs=("y", "z")),
}  # fmt: skip
"""Where a layer of its own may be needed, for a border or for something that nothing can be folded into."""

GREY: dict[str, Stem] = {
    "grey": Stem([CONV], {"w": W1, "b": B4}, channels=1),
    "repeated": Stem([("Expand", ["image", "to"], "x", {}), CONV_X], {**CONSTANTS, "to": ints(1, 3, 1, 1)}, channels=1),
    "tiled": Stem([("Tile", ["image", "n"], "x", {}), CONV_X], {**CONSTANTS, "n": ints(1, 3, 1, 1)}, channels=1),
    "joined": Stem([("Concat", ["image", "image", "image"], "x", {"axis": 1}), CONV_X], CONSTANTS, channels=1),
    "repeated and standardised": Stem(
        [("Expand", ["image", "to"], "a", {}), ("Sub", ["a", "m"], "c", {}), ("Div", ["c", "s"], "x", {}),
         ("Conv", ["x", "w", "b"], "y", {})],
        {**CONSTANTS, "to": ints(1, 3, 1, 1), "m": channels(0.485, 0.456, 0.406), "s": channels(0.229, 0.224, 0.225)},
        channels=1,
    ),
    "repeated by broadcasting, padded": Stem(
        [("Sub", ["image", "m"], "c", {}), ("Div", ["c", "s"], "x", {}), CONV_X],
        {**CONSTANTS, "m": channels(0.485, 0.456, 0.406), "s": channels(0.229, 0.224, 0.225)},
        channels=1,
    ),
    "repeated for a depthwise": Stem(
        [("Expand", ["image", "to"], "x", {}), ("Conv", ["x", "w", "b"], "y", {"group": 3, **PAD})],
        {"w": weights(6, 1, 3, 3), "b": weights(6), "to": ints(1, 3, 1, 1)},
        channels=1,
    ),
    "repeated, pooled, resized": Stem(
        [("Expand", ["image", "to"], "a", {}), ("MaxPool", ["a"], "c", {"kernel_shape": [2, 2], "strides": [2, 2]}),
         ("Resize", ["c", "", "f"], "x", {"mode": "linear"}), CONV_X],
        {**CONSTANTS, "to": ints(1, 3, 1, 1), "f": floats(1, 1, 2, 2)},
        channels=1,
    ),
    "repeated for a deconvolution": Stem(
        [("Expand", ["image", "to"], "x", {}), ("ConvTranspose", ["x", "w"], "y", {"strides": [2, 2]})],
        {"w": weights(3, 4, 2, 2), "to": ints(1, 3, 1, 1)},
        channels=1,
    ),
    "repeated along rows": Stem(
        [("ReduceMean", ["image"], "r", {"axes": [2]}), ("Expand", ["r", "to"], "x", {}),
         ("Conv", ["x", "w", "b"], "y", PAD)],
        {"w": W1, "b": B4, "to": ints(1, 1, 16, 24)},
        channels=1,
    ),
    "instance norm": Stem(
        [("InstanceNormalization", ["image", "g", "h"], "x", {"epsilon": 1e-5}), CONV_X],
        {"w": W1, "b": B4, "g": floats(1), "h": floats(0)},
        channels=1,
    ),
    "contrast": Stem(
        [("ReduceMean", ["image"], "m", {"axes": [2, 3]}), ("Sub", ["image", "m"], "c", {}),
         ("Mul", ["c", "c"], "q", {}), ("ReduceMean", ["q"], "v", {"axes": [2, 3]}), ("Add", ["v", "e"], "ve", {}),
         ("Sqrt", ["ve"], "sd", {}), ("Div", ["c", "sd"], "x", {}), CONV_X],
        {"w": W1, "b": B4, "e": floats(1e-5)},
        channels=1,
    ),
    "windows": Stem(
        [("Reshape", ["image", "s1"], "x1", {}), ("Transpose", ["x1"], "x2", {"perm": [0, 1, 3, 5, 2, 4]}),
         ("Reshape", ["x2", "s2"], "x", {}), ("Conv", ["x", "w"], "y", {})],
        {"s1": ints(1, 1, 2, 8, 3, 8), "s2": ints(1, 64, 2, 3), "w": weights(4, 64, 1, 1)},
        channels=1,
    ),
    "without its channel": Stem(
        [("Squeeze", ["image", "one"], "a", {}), ("Unsqueeze", ["a", "one"], "x", {}), CONV_X],
        {"w": W1, "b": B4, "one": ints(1)},
        channels=1,
    ),
}  # fmt: skip
ALL = {**FOLDED, **EXPLICIT, **{f"grey: {name}": stem for name, stem in GREY.items()}}


def numbers_for(stem: Stem, name: str) -> dict[str, Any]:
    numbers = NUMBERS[name]
    return numbers if stem.channels == 3 else {k: np.mean(v).item() for k, v in numbers.items()}


def normalised(levels: np.ndarray, numbers: dict[str, Any]) -> np.ndarray:
    mean, scale = (np.reshape(numbers[name], (1, -1, 1, 1)) for name in ("mean", "scale"))
    return ((levels - mean) * scale).astype(np.float32)


def levels_for(stem: Stem, seed: int = 0) -> np.ndarray:
    """Noise, with black and white areas that reach the borders."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, (1, stem.channels, SIZE[1], SIZE[0]))
    levels[..., :4, :9] = 255
    levels[..., 12:, 13:] = 0
    return levels


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Borders, and separately what is inside, each to a share of its largest value."""
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * max(1.0, np.abs(value).max()))
        if value.ndim == 4 and min(value.shape[2:]) > 4:
            inside = (..., slice(2, -2), slice(2, -2))
            atol = tolerance * max(1.0, np.abs(value[inside]).max())
            np.testing.assert_allclose(got[name][inside], value[inside], rtol=0, atol=atol)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", ALL)
def test_the_rewrite_is_exact_borders_included(name: str, numbers: str) -> None:
    stem, host = ALL[name], model_of(ALL[name])
    given = numbers_for(stem, numbers)
    levels = levels_for(stem)
    levels = np.maximum(levels, 1) if name == "one over" else levels
    if name == "one over":  # where the mean is a level, the host divides by zero
        given = given | {"mean": 0.0}
    device = model_of(stem)
    apply_all(device, [InputNormalisation("image", given["mean"], given["scale"])])
    onnx.checker.check_model(device, full_check=True)
    expected = run(host, normalised(levels, given))
    assert_equal(run(device, levels.astype(np.float32)), expected, 2e-5)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", FOLDED)
def test_nothing_is_left_to_calculate_where_it_can_be_folded(name: str, numbers: str) -> None:
    stem, device = FOLDED[name], model_of(FOLDED[name])
    before = Counter(node.op_type for node in device.graph.node)
    given = numbers_for(stem, numbers)
    apply_all(device, [InputNormalisation("image", given["mean"], given["scale"])])
    after = Counter(node.op_type for node in device.graph.node)
    sums_of_matmul = Counter({"Add": before["MatMul"]})
    if name == "two outputs of one convolution's weights":  # a ReLU wants its zero
        return
    assert not after - before - sums_of_matmul


def test_grey_for_a_colour_network_stays_one_channel() -> None:
    for name in ("repeated", "tiled", "joined", "repeated and standardised", "repeated for a depthwise"):
        device = model_of(GREY[name])
        apply_all(device, [InputNormalisation("image", 0.0, 1 / 255)])
        (convolution,) = (node for node in device.graph.node if node.op_type == "Conv")
        kernel = next(t for t in device.graph.initializer if t.name == convolution.input[1])
        assert (kernel.dims[1], convolution.input[0]) == (1, "image"), name
        assert [node.op_type for node in device.graph.node] == ["Conv"], name


@st.composite
def random_cases(draw: st.DrawFn) -> tuple[Stem, dict[str, Any], int]:
    """A convolution of any kind behind an affine layer, a move and a pool of any kind, and any numbers."""
    count = draw(st.sampled_from([1, 3]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}
    last, planes = "image", count
    for index in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["Mul", "Sub", "Add", "AveragePool", "MaxPool", "Pad", "Transpose", "Concat"]))
        new = f"t{index}"
        if kind in ("Mul", "Sub", "Add"):
            each = draw(st.sampled_from([1, planes]))
            constants[f"c{index}"] = rng.uniform(-1.5, 1.5, (1, each, 1, 1)).astype(np.float32)
            nodes.append((kind, [last, f"c{index}"], new, {}))
        elif kind.endswith("Pool"):
            pads = [draw(st.integers(0, 1)) for _ in range(4)]
            counts = {"count_include_pad": draw(st.integers(0, 1))} if kind == "AveragePool" else {}
            nodes.append((kind, [last], new, {"kernel_shape": [2, 3], "pads": pads, **counts}))
        elif kind == "Pad":
            pads = [draw(st.integers(0, 2)) for _ in range(4)]
            constants[f"p{index}"] = ints(0, 0, *pads[:2], 0, 0, *pads[2:])
            constants[f"v{index}"] = np.array(draw(st.sampled_from([0.0, 0.0, 0.7])), np.float32)
            mode = draw(st.sampled_from(["constant", "reflect", "edge"]))
            nodes.append(("Pad", [last, f"p{index}", f"v{index}"], new, {"mode": mode}))
        elif kind == "Transpose":
            nodes.append(("Transpose", [last], new, {"perm": [0, 1, 3, 2]}))
        else:
            nodes.append(("Concat", [last, last], new, {"axis": 1}))
            planes *= 2
        last = new
    groups = draw(st.sampled_from([1, planes]))
    transposed = draw(st.booleans())
    attributes: dict[str, Any] = {"group": groups, "pads": [draw(st.integers(0, 1)) for _ in range(4)]}
    attributes["strides"] = [draw(st.integers(1, 2))] * 2
    outputs = 2 * groups
    shape = (planes, outputs // groups, 3, 3) if transposed else (outputs, planes // groups, 3, 3)
    constants["w"] = rng.normal(0, 0.4, shape).astype(np.float32)
    operands = ["w"]
    if draw(st.booleans()):
        constants["b"] = rng.normal(0, 0.4, outputs).astype(np.float32)
        operands.append("b")
    nodes.append(("ConvTranspose" if transposed else "Conv", [last, *operands], "y", attributes))
    each = st.floats(0, 255) if count == 1 or draw(st.booleans()) else st.tuples(*[st.floats(0, 255)] * 3)
    spread = st.floats(0.002, 0.05)
    scale = draw(spread) if count == 1 or draw(st.booleans()) else draw(st.tuples(spread, spread, spread))
    mean = draw(st.one_of(st.just(0.0), each))
    return Stem(nodes, constants, channels=count), {"mean": mean, "scale": scale}, seed


@given(random_cases())
@settings(max_examples=120)
def test_any_chain_before_any_convolution(case: tuple[Stem, dict[str, Any], int]) -> None:
    stem, numbers, seed = case
    device = model_of(stem)
    apply_all(device, [InputNormalisation("image", numbers["mean"], numbers["scale"])])
    onnx.checker.check_model(device, full_check=True)
    levels = levels_for(stem, seed)
    expected = run(model_of(stem), normalised(levels, numbers))
    assert_equal(run(device, levels.astype(np.float32)), expected, 5e-5)


def saved(folder: Path, stem: Stem, **options: Any) -> Path:
    path = folder / "host.onnx"
    onnx.save(model_of(stem, **options), path)
    return path


def device_of(folder: Path, stem: Stem, numbers: dict[str, Any], **options: Any) -> onnx.ModelProto:
    path = saved(folder, stem, **options)
    return device_graph(path, [DeviceInput(name="image", shape=(1, stem.channels, SIZE[1], SIZE[0]), **numbers)]).model


TAKEN_BY_DEVICE = sorted(set(ALL) - {"size alone", "one over", "cubic"})


@pytest.mark.parametrize("name", TAKEN_BY_DEVICE)
def test_with_weights_rounded_to_fp16(tmp_path: Path, name: str) -> None:
    stem = ALL[name]
    numbers = numbers_for(stem, "ImageNet")
    levels = levels_for(stem)
    got = run(in_float32(device_of(tmp_path, stem, numbers)), levels.astype(np.float32))
    assert_equal(got, run(model_of(stem), normalised(levels, numbers)), 4e-3)


@pytest.mark.parametrize("name", ["standardised", "padded", "pixel unshuffle", "fully connected"])
def test_channels_last(tmp_path: Path, name: str) -> None:
    """The device takes channels first; of both transpositions none is left."""
    stem, preprocess = ALL[name], Preprocess(size=SIZE, resize="stretch", interpolation="area", colour="rgb",
                                             layout="nhwc", **IMAGENET)  # fmt: skip
    path = saved(tmp_path, stem, layout="nhwc")
    model = device_graph(path, device_inputs(image_interface("image", preprocess))).model
    image = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    levels = image_interface("image", preprocess).on_device().feed(image)["image"]
    assert levels.shape == (1, 3, SIZE[1], SIZE[0])
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == list(levels.shape)
    expected = run(onnx.load(path), np.asarray(preprocess.apply(image)[0], np.float32))
    assert_equal(run(in_float32(model), levels.astype(np.float32)), expected, 4e-3)
    before = Counter(node.op_type for node in model_of(stem).graph.node)
    assert Counter(node.op_type for node in model.graph.node)["Transpose"] == before["Transpose"]


def test_channels_last_through_every_layer() -> None:
    """Layers that calculate before the transposition, per channel, which comes last there."""
    stem = Stem([("Sub", ["image", "m"], "a", {}), ("Transpose", ["a"], "x", {"perm": [0, 3, 1, 2]}),
                 ("Conv", ["x", "w", "b"], "y", {})],
                {**CONSTANTS, "m": floats(1, 2, 3)}, channels=SIZE[1])  # fmt: skip
    host = model_of(stem, size=(3, SIZE[0]))
    device = onnx.ModelProto.FromString(host.SerializeToString())
    apply_all(device, [InputLayout("image"), InputNormalisation("image", *IMAGENET.values())])
    assert [node.op_type for node in device.graph.node] == ["Conv"]
    levels = levels_for(ALL["padded"])
    expected = run(host, np.ascontiguousarray(normalised(levels, IMAGENET).transpose(0, 2, 3, 1)))
    assert_equal(run(device, levels.astype(np.float32)), expected, 2e-5)


def test_a_network_that_takes_levels_and_scales_them_itself(tmp_path: Path) -> None:
    """uint8 in, Cast, Mul: the image is given as it is, and the factor goes into the convolution all the same."""
    stem = Stem([("Cast", ["image"], "a", {"to": TensorProto.FLOAT}), ("Mul", ["a", "k"], "x", {}), CONV_X],
                {**CONSTANTS, "k": floats(1 / 255)})  # fmt: skip
    preprocess = Preprocess(size=SIZE, resize="stretch", interpolation="area", colour="bgr", baked=True)
    path = saved(tmp_path, stem, kind=TensorProto.UINT8)
    model = device_graph(path, device_inputs(image_interface("image", preprocess))).model
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    levels = levels_for(stem)
    expected = run(model_of(stem, kind=TensorProto.UINT8), levels.astype(np.uint8))
    assert_equal(run(in_float32(model), levels.astype(np.float32)), expected, 2e-3)


def test_without_a_mean_only_the_weights_change() -> None:
    host, device = model_of(EXPLICIT["padded"]), model_of(EXPLICIT["padded"])
    (done,) = apply_all(device, [InputNormalisation("image", 0.0, 1 / 255)])
    assert done.layers == ("layer 'Conv_y' (Conv)",)
    before, after = ({t.name: numpy_helper.to_array(t) for t in m.graph.initializer} for m in (host, device))
    assert after["w"].tobytes() == (before["w"].astype(np.float64) * (1 / 255)).astype(np.float32).tobytes()
    assert after["b"].tobytes() == before["b"].tobytes()
    assert [str(node) for node in device.graph.node] == [str(node) for node in host.graph.node]


def test_nothing_to_do_is_nothing_done() -> None:
    host, device = model_of(EXPLICIT["padded"]), model_of(EXPLICIT["padded"])
    assert apply_all(device, [InputNormalisation("image", 0.0, 1.0)]) == ()
    assert device.SerializeToString() == host.SerializeToString()


def test_the_journal_says_what_an_explicit_layer_costs() -> None:
    device = model_of(EXPLICIT["padded"])
    (done,) = apply_all(device, [InputNormalisation("image", 127.5, 1 / 255)])
    assert done.layers == (
        "layer 'Conv_y' (Conv): mean subtracted in front of it by a layer of its own, about 0.03 ms for 3×16×24 values",
        "layer 'Conv_y' (Conv)",
    )
    device = model_of(EXPLICIT["sigmoid first"])
    (done,) = apply_all(device, [InputNormalisation("image", 0.0, 1 / 255)])
    assert done.layers[0].startswith("layer 'Sigmoid_x' (Sigmoid): scaled by a layer of its own, about 0.03 ms")


def test_levels_are_not_squared_beyond_fp16() -> None:
    """An instance norm squares its input: 255² just fits, the square of a sum of two levels does not."""
    norm = ("InstanceNormalization", ["x", "g", "h"], "z", {"epsilon": 1e-3})
    constants = {"g": floats(1), "h": floats(0), "w": W1}
    direct = [("Transpose", ["image"], "x", {"perm": [0, 1, 3, 2]}), norm, ("Conv", ["z", "w"], "y", PAD)]
    summed = [("Add", ["image", "image"], "x", {}), norm, ("Conv", ["z", "w"], "y", PAD)]
    for nodes, kinds in ((direct, {"Transpose", "InstanceNormalization", "Conv"}),
                         (summed, {"Add", "Mul", "InstanceNormalization", "Conv"})):  # fmt: skip
        stem = Stem(nodes, constants, channels=1)
        device = model_of(stem)
        apply_all(device, [InputNormalisation("image", 0.0, 1 / 255)])
        assert {node.op_type for node in device.graph.node} == kinds
        levels = levels_for(stem)
        expected = run(model_of(stem), normalised(levels, {"mean": 0.0, "scale": 1 / 255}))
        assert_equal(run(device, levels.astype(np.float32)), expected, 2e-5)


def test_one_layer_serves_all_who_need_it() -> None:
    stem = Stem([("Conv", ["image", "w"], "y", PAD), ("Conv", ["image", "w"], "z", {"pads": [2, 2, 2, 2]}),
                 ("Sigmoid", ["image"], "u", {}), ("Tanh", ["image"], "v", {})],
                CONSTANTS, outputs=("y", "z", "u", "v"))  # fmt: skip
    device = model_of(stem)
    apply_all(device, [InputNormalisation("image", *IMAGENET.values())])
    assert Counter(node.op_type for node in device.graph.node) == {
        "Conv": 2,
        "Sigmoid": 1,
        "Tanh": 1,
        "Add": 1,
        "Mul": 1,
    }
    levels = levels_for(stem)
    assert_equal(run(device, levels.astype(np.float32)), run(model_of(stem), normalised(levels, IMAGENET)), 2e-5)


def test_what_verification_has_to_catch_is_far_off(tmp_path: Path) -> None:
    """The faults of ``broken_inputs`` are real ones: each differs from the host by far more than rounding."""
    stem = EXPLICIT["strided and padded unevenly"]
    path, levels = saved(tmp_path, stem), levels_for(stem)
    good = DeviceInput(name="image", shape=(1, 3, SIZE[1], SIZE[0]), **IMAGENET)
    expected = run(model_of(stem), normalised(levels, IMAGENET))["y"]
    model = device_graph(path, [good]).model
    broken = {
        "no scale": device_graph(path, [without_scale(good)]).model,
        "no mean": device_graph(path, [without_mean(good)]).model,
        "swapped": channels_swapped(model),
        "border": mean_over_border(model),
    }
    for name, graph in broken.items():
        error = np.abs(run(in_float32(graph), levels.astype(np.float32))["y"] - expected)
        assert error.max() > 0.2 * np.abs(expected).max(), name
        if name == "border":
            assert error[..., 1:-1, 1:-1].max() < 5e-3 * np.abs(expected).max()
