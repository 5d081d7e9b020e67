"""Resizes: what ONNX's specification says, in the modes that the device has, or as indices and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten

from oakpoint.convert.rewrites.operators.resize import ResizeModes
from oakpoint.errors import UnsupportedNetworkError

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
LAST_TWO = st.tuples(st.integers(1, 9), st.integers(1, 9))


def defined(drawn: tuple[tuple[int, ...], dict[str, Any]], coordinates: str) -> bool:
    """Whether ONNX's specification and its runtimes agree."""
    scaled = drawn[1].get("s", np.ones(1)) * (drawn[0] if "s" in drawn[1] else 1)
    return coordinates != "align_corners" or np.allclose(scaled, np.round(scaled))


def resize(shape: tuple[int, ...], constants: dict[str, Any], **attributes: Any) -> Any:
    names = "x - s" if "s" in constants else "x - - z"
    return graph_of([layer("Resize", names, **attributes)], {"x": shape}, constants)


@st.composite
def ratios(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape, and scales or sizes for its last two axes."""
    front = draw(st.sampled_from([(), (2,), (1, 2), (2, 2), (1, 2, 2)]))
    before = draw(LAST_TWO)
    shape = (*front, *before)
    if draw(st.booleans()):
        return shape, {"z": np.array([*front, *draw(LAST_TWO)])}
    scales = [draw(st.sampled_from([0.4, 0.5, 0.6, 1.0, 1.3, 2.0, 3.0, 2.5])) for _ in range(2)]
    assume(all(size * scale >= 1 for size, scale in zip(before, scales, strict=True)))
    return shape, {"s": np.array([1.0] * len(front) + scales, np.float32)}


@settings(max_examples=60)
@given(drawn=ratios(), coordinates=st.sampled_from(COORDINATES), rounding=st.sampled_from(ROUNDINGS))
def test_nearest(drawn: tuple[tuple[int, ...], dict[str, Any]], coordinates: str, rounding: str) -> None:
    assume(defined(drawn, coordinates))
    model = resize(*drawn, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=rounding)
    inputs = random_inputs(model, np.random.default_rng(0))
    assert differences(model, ResizeModes(), inputs)["y"] == 0


@settings(max_examples=60)
@given(drawn=ratios(), coordinates=st.sampled_from(COORDINATES))
def test_linear(drawn: tuple[tuple[int, ...], dict[str, Any]], coordinates: str) -> None:
    assume(len(drawn[0]) != 3)  # ONNX Runtime takes three dimensions for a volume, and one of size 2 is none
    assume(defined(drawn, coordinates))
    model = resize(*drawn, mode="linear", coordinate_transformation_mode=coordinates)
    assert differences(model, ResizeModes(), random_inputs(model, np.random.default_rng(0)))["y"] < 1e-4


@settings(max_examples=40)
@given(
    drawn=ratios(), coordinates=st.sampled_from(COORDINATES), outside=st.booleans(), a=st.sampled_from([-0.75, -0.5])
)
def test_cubic(drawn: tuple[tuple[int, ...], dict[str, Any]], coordinates: str, outside: bool, a: float) -> None:
    assume(len(drawn[0]) in (2, 4))
    assume(defined(drawn, coordinates))
    model = resize(*drawn, mode="cubic", coordinate_transformation_mode=coordinates,
                   exclude_outside=int(outside), cubic_coeff_a=a)  # fmt: skip
    assert differences(model, ResizeModes(), random_inputs(model, np.random.default_rng(0)))["y"] < 1e-4


@pytest.mark.parametrize(
    ("attributes", "operators"),
    [
        ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, ["Resize"]),
        ({"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}, ["Resize"]),
        (
            {"mode": "nearest", "coordinate_transformation_mode": "align_corners", "nearest_mode": "ceil"},
            ["Gather", "Gather"],
        ),
        ({"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, ["Resize"]),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, ["Resize"]),
        ({"mode": "cubic"}, ["MatMul", "MatMul"]),
    ],
)
def test_what_becomes_of_a_doubled_image(attributes: dict[str, Any], operators: list[str]) -> None:
    model = resize((1, 3, 5, 6), {"z": np.array([1, 3, 10, 12])}, **attributes)
    assert operators_of(rewritten(model, ResizeModes())[0]) == operators


def test_a_doubled_image_as_torch_exports_it_stays() -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    for attributes in (
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    ):
        model = resize((1, 3, 5, 6), scales, **attributes)
        assert rewritten(model, ResizeModes()) == (model, ())


def test_a_scale_that_is_not_the_ratio_of_the_sizes_is_kept() -> None:
    model = resize((1, 1, 2, 4), {"s": np.array([1, 1, 0.6, 0.6], np.float32)}, mode="linear")
    assert operators_of(rewritten(model, ResizeModes())[0]) == ["MatMul", "MatMul"]


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_corners_of_no_whole_size_are_a_finding(mode: str) -> None:
    scales = {"s": np.array([1, 1, 0.6, 0.6], np.float32)}
    model = resize((1, 1, 2, 4), scales, mode=mode, coordinate_transformation_mode="align_corners")
    with pytest.raises(UnsupportedNetworkError, match="give sizes in place of scales"):
        rewritten(model, ResizeModes())
