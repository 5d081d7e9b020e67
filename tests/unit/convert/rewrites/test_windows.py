"""Pools and transposed convolutions: the same windows in other words."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.shape_inference import InferenceError
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten

from oakpoint.convert.rewrites.operators.average_pool import AveragePoolBorder
from oakpoint.convert.rewrites.operators.conv_transpose import TransposedConvolution
from oakpoint.convert.rewrites.operators.lp_pool import LpPool
from oakpoint.convert.rewrites.operators.max_pool import MaxPoolWindows
from oakpoint.errors import UnsupportedNetworkError

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def pools(draw: st.DrawFn, *, dilated: bool) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape (1, C, …) with one or two axes, and attributes of a pool over it."""
    axes = draw(st.integers(1, 2))
    kernel = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    attributes: dict[str, Any] = {"kernel_shape": kernel, "ceil_mode": int(draw(st.booleans()))}
    attributes["strides"] = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    if dilated:
        attributes["dilations"] = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    automatic = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    # ONNX Runtime takes no windows that lie apart here, and no dilation.
    assume(not automatic.startswith("SAME") or all(map(int.__le__, attributes["strides"], kernel)))
    if automatic == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in (*kernel, *kernel)]
    else:
        assume(not any(d > 1 for d in attributes.get("dilations", [])) or automatic == "VALID")
        attributes |= {"auto_pad": automatic, "ceil_mode": 0}
    sizes = [draw(st.integers(1, 11)) for _ in range(axes)]
    return (1, 2, *sizes), attributes


def pool(operator: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> onnx.ModelProto:
    extents = [(k - 1) * d + 1 for k, d in zip(attributes["kernel_shape"],
               attributes.get("dilations", [1, 1]), strict=False)]  # fmt: skip
    pads = attributes.get("pads", [0] * 4)
    axes = len(extents)
    if attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
        assume(all(s + pads[i] + pads[i + axes] >= extents[i] for i, s in enumerate(shape[2:])))
    try:
        return graph_of([layer(operator, "x", **attributes)], {"x": shape})
    except InferenceError:
        assume(False)
        raise


@settings(max_examples=25)
@given(drawn=pools(dilated=False), border=st.booleans(), seed=SEEDS)
def test_average_pools(drawn: tuple[tuple[int, ...], dict[str, Any]], border: bool, seed: int) -> None:
    shape, attributes = drawn
    model = pool("AveragePool", shape, attributes | {"count_include_pad": int(border)})
    inputs = random_inputs(model, np.random.default_rng(seed))
    assert differences(model, AveragePoolBorder(), inputs)["y"] < 1e-5


@settings(max_examples=25)
@given(drawn=pools(dilated=True), seed=SEEDS)
def test_max_pools(drawn: tuple[tuple[int, ...], dict[str, Any]], seed: int) -> None:
    model = pool("MaxPool", *drawn)
    inputs = random_inputs(model, np.random.default_rng(seed))
    assert differences(model, MaxPoolWindows(), inputs)["y"] == 0


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2]}),
     ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
     ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
     ("MaxPool", {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"})],
)  # fmt: skip
def test_pools_that_come_out_right_stay(operator: str, attributes: dict[str, Any]) -> None:
    model = graph_of([layer(operator, "x", **attributes)], {"x": (1, 2, 9, 11)})
    for rewrite in (AveragePoolBorder(), MaxPoolWindows()):
        assert rewritten(model, rewrite) == (model, ())


def test_a_pool_that_leaves_an_even_border_out_is_corrected_by_one_factor() -> None:
    model = graph_of([layer("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {"x": (1, 2, 9, 11)})
    assert operators_of(rewritten(model, AveragePoolBorder())[0]) == ["AveragePool", "Mul"]


def test_places_of_maxima_are_refused() -> None:
    model = graph_of([layer("MaxPool", "x", "y i", kernel_shape=[2, 2])], {"x": (1, 2, 4, 4)}, outputs=("y", "i"))
    with pytest.raises(UnsupportedNetworkError, match=r"MaxPool.*places of the maxima"):
        rewritten(model, MaxPoolWindows())


@settings(max_examples=25)
@given(drawn=pools(dilated=False), p=st.integers(1, 3), seed=SEEDS)
def test_lp_pools(drawn: tuple[tuple[int, ...], dict[str, Any]], p: int, seed: int) -> None:
    shape, attributes = drawn
    del attributes["ceil_mode"]
    model = pool("LpPool", shape, attributes | {"p": p})
    assert differences(model, LpPool(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-5


@st.composite
def transposed(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of the input and the weights, and attributes of a transposed convolution."""
    axes = draw(st.integers(1, 2))

    def sizes(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(axes)]

    group, kernel, stride, dilation = draw(st.sampled_from([1, 2])), sizes(1, 4), sizes(1, 3), sizes(1, 3)
    size = sizes(1, 5)
    attributes: dict[str, Any] = {"strides": stride, "group": group, "dilations": dilation}
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    kind = draw(st.sampled_from(["pads", "auto_pad", "output_shape"]))
    if kind == "auto_pad":
        attributes["auto_pad"] = draw(st.sampled_from(["VALID", "SAME_UPPER", "SAME_LOWER"]))
        assume(attributes["auto_pad"] == "VALID" or dilation == [1] * axes)
    elif kind == "output_shape":
        full = [(i - 1) * s + e for i, s, e in zip(size, stride, extent, strict=True)]
        attributes["output_shape"] = [draw(st.integers(max(f - 4, 1), f)) for f in full]
        attributes["auto_pad"] = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
    else:
        attributes["pads"] = [draw(st.integers(0, e)) for e in (*extent, *extent)]
        attributes["output_padding"] = [
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        ]
        put = [
            (i - 1) * s + e + o - attributes["pads"][n] - attributes["pads"][n + axes]
            for n, (i, s, e, o) in enumerate(zip(size, stride, extent, attributes["output_padding"], strict=True))
        ]
        assume(min(put) > 0)
    return (1, 4, *size), (4, 4 // group, *kernel), attributes


@settings(max_examples=25)
@given(drawn=transposed(), bias=st.booleans(), seed=SEEDS)
def test_transposed_convolutions(
    drawn: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], bias: bool, seed: int
) -> None:
    shape, weights, attributes = drawn
    rng = np.random.default_rng(seed)
    constants = {"w": rng.normal(0, 1, weights).astype(np.float32)}
    if bias:
        constants["b"] = rng.normal(0, 1, weights[1] * attributes["group"]).astype(np.float32)
    model = graph_of([layer("ConvTranspose", "x w" + " b" * bias, **attributes)], {"x": shape}, constants)
    assert differences(model, TransposedConvolution(), random_inputs(model, rng))["y"] < 1e-5


def test_a_plain_transposed_convolution_stays() -> None:
    constants = {"w": np.ones((4, 2, 3, 3), np.float32)}
    attributes = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
    model = graph_of([layer("ConvTranspose", "x w", **attributes)], {"x": (1, 4, 5, 6)}, constants)
    assert rewritten(model, TransposedConvolution()) == (model, ())


@pytest.mark.parametrize(
    ("shape", "weights", "message"),
    [((1, 4, 3, 3, 3), (4, 2, 2, 2, 2), "3-D"), ((1, 4, 3, 3), None, "weights are computed")],
)
def test_transposed_convolutions_without_a_form(
    shape: tuple[int, ...], weights: tuple[int, ...] | None, message: str
) -> None:
    constants = {"w": np.ones(weights, np.float32)} if weights else {}
    sizes = {"x": shape} | ({} if weights else {"w": (4, 2, 2, 2)})
    model = graph_of([layer("ConvTranspose", "x w")], sizes, constants)
    with pytest.raises(UnsupportedNetworkError, match=message):
        rewritten(model, TransposedConvolution())
