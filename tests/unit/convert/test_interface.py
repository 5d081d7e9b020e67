"""What a network takes and gives: images found out, shapes fixed by name."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import graph, run
from hypothesis import given, settings
from hypothesis import strategies as st

from oakpoint.convert.interface import fixed, image_inputs, parse_shape
from oakpoint.convert.onnx_intake import given_outputs
from oakpoint.errors import ConversionError, UsageError

W3 = {"w": np.ones((8, 3, 3, 3), np.float32), "three": np.ones(3, np.float32)}
NCHW, NHWC = "nchw", "nhwc"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1x3x320x320", ("x", (1, 3, 320, 320))),
        ("a=b=1x2", ("a=b", (1, 2))),
        ("input:0=5", ("input:0", (5,))),
        ("x = 1,3,4", ("x", (1, 3, 4))),
    ],
)
def test_a_shape_as_it_is_given(text: str, expected: object) -> None:
    assert parse_shape(text) == expected


@pytest.mark.parametrize("text", ["", "x", "=1x2", "x=", "x=1x-2", "x=1xN", "x=0x2", "x=1x", "1x3x320x320"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(UsageError, match=r"^shape: expected"):
        parse_shape(text)


@given(
    name=st.text(min_size=1).filter(lambda s: s.strip() == s and s), shape=st.lists(st.integers(1, 9999), min_size=1)
)
@settings(max_examples=50)
def test_any_name_and_shape_come_back(name: str, shape: list[int]) -> None:
    assert parse_shape(f"{name}={'x'.join(map(str, shape))}") == (name, tuple(shape))


IMAGES = {
    "a convolution": ("float[n, 3, h, w] x", "y = Conv (x, w)", (NCHW, 3, (None, None))),
    "all open": ("float[n, c, h, w] x", "y = Conv (x, w)", (NCHW, 3, (None, None))),
    "normalised first": ("float[n, c, 40, 60] x", "a = Sub (x, three)\n y = Conv (a, w)", (NCHW, 3, (60, 40))),
    "channels last, turned": (
        "float[n, 40, 60, 3] x", "t = Transpose <perm = [0, 3, 1, 2]> (x)\n y = Conv (t, w)", (NHWC, 3, (60, 40)),
    ),
    "channels last, four either way": (
        "float[1, 3, 3, 3] x", "t = Transpose <perm = [0, 3, 1, 2]> (x)\n y = Conv (t, w)", (NHWC, 3, (3, 3)),
    ),
    "by shape alone, first": ("float[1, 1, 40, 60] x", "y = Relu (x)", (NCHW, 1, (60, 40))),
    "by shape alone, last": ("float[1, 40, 60, 4] x", "y = Relu (x)", (NHWC, 4, (60, 40))),
    "by shape alone, either": ("float[1, 2, 60, 4] x", "y = Relu (x)", (NCHW, 2, (4, 60))),
    "whole numbers": ("uint8[1, 3, 40, 60] x", "a = Cast <to = 1> (x)\n y = Conv (a, w)", (NCHW, 3, (60, 40))),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_found_out(name: str) -> None:
    inputs, body, (layout, channels, size) = IMAGES[name]
    (image,) = image_inputs(graph(body, inputs=inputs, weights=W3))
    assert (image.layout, image.channels, image.size) == (layout, channels, size)
    assert image.why


@pytest.mark.parametrize(
    "inputs", ["float[1, 256, 40, 60] x", "float[1, 40] x", "int64[1, 3, 40, 60] x", "float[n, c, h, w] x", "float x"]
)
def test_a_tensor_is_no_image(inputs: str) -> None:
    assert image_inputs(graph("y = Relu (x)", inputs=inputs)) == ()


def test_a_convolution_of_many_channels_takes_no_image() -> None:
    weights = {"w": np.ones((8, 64, 3, 3), np.float32)}
    assert image_inputs(graph("y = Conv (x, w)", inputs="float[n, c, h, w] x", weights=weights)) == ()


TWO = "float[n, 3, h, w] image, float[n, tokens, 16] text"
BODY = "a = Conv (image, w)\n y = GlobalAveragePool (a)\n z = Relu (text)"


def two() -> object:
    return graph(BODY, inputs=TWO, outputs="float y, float z", weights=W3)


def test_several_inputs_are_fixed_by_name() -> None:
    shapes = {"image": (1, 3, 40, 60), "text": (1, 7, 16)}
    made = fixed(two(), shapes)
    assert [spec.shape for spec in given_outputs(made)] == [(1, 8, 1, 1), (1, 7, 16)]
    feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    assert [value.shape for value in run(made, feeds)] == [(1, 8, 1, 1), (1, 7, 16)]


def test_a_shape_that_the_network_does_not_take() -> None:
    model = graph("y = MatMul (x, m)", inputs="float[n, k] x", weights={"m": np.ones((5, 2), np.float32)})
    assert given_outputs(fixed(model, {"x": (3, 5)}))[0].shape == (3, 2)
    with pytest.raises(ConversionError, match="does not take inputs of x 3x4"):
        fixed(model, {"x": (3, 4)})


def test_sizes_that_arithmetic_decides_are_inferred_and_operators_stay() -> None:
    body = "s = Shape (x)\n f = Cast <to = 1> (s)\n g = Mul (f, half)\n k = Cast <to = 7> (g)\n y = Expand (one, k)"
    weights = {"half": np.array(1.5, np.float32), "one": np.ones(1, np.float32)}
    model = graph(body, inputs="float[n, 2, h, 8] x", weights=weights)
    made = fixed(model, {"x": (2, 2, 4, 8)})
    assert given_outputs(made)[0].shape == (3, 3, 6, 12)
    assert len(made.graph.node) == len(model.graph.node)


def test_a_size_that_values_decide_stays_open() -> None:
    model = graph("y = NonZero (x)", inputs="float[n, 2] x", outputs="int64 y")
    (output,) = given_outputs(fixed(model, {"x": (2, 2)}))
    assert output.shape[0] == 2
    assert isinstance(output.shape[1], str)


def test_a_sequence_is_no_tensor() -> None:
    model = graph("y = Relu (x)")
    model.graph.output[0].type.Clear()
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    with pytest.raises(ConversionError, match="y: expected a tensor, got sequence"):
        given_outputs(model)
