"""What an error of a layer is said to look like: the true cause, and none that is not."""

from __future__ import annotations

import contextlib

import graphs
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from oakpoint.errors import BackendError
from oakpoint.layers.debug.causes import Alternative, cause_of
from oakpoint.layers.debug.layer_faults import faulty_layers
from oakpoint.layers.debug.onnx_layers import OnnxLayers

SHAPE = (16, 24, 32)
"""Of a layer's output, without its batch."""


def values(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, SHAPE).astype(np.float32)


def test_one_channel_that_is_off_by_most_is_not_said_to_be_the_only_one() -> None:
    expected, error = values(), values(1)
    error[1:] *= 0.02  # still a hundred times what float32 rounds
    assert "only channel" not in cause_of(expected, expected + error, rounding=1e-4)


@pytest.mark.parametrize("rounding", [0.0, 1e-3])
def test_the_only_channel_that_is_off(rounding: float) -> None:
    expected = values()
    got = expected + np.float32(rounding) * values(2)
    got[3] = values(1)[3]
    assert "only channel 3 of 16" in cause_of(expected, got, rounding=2 * rounding)


def test_a_border_that_is_off_by_most_is_not_said_to_be_the_only_place() -> None:
    expected, error = values(), values(1) * 0.02
    error[:, 0] *= 50
    assert "border" not in cause_of(expected, expected + error, rounding=1e-4)
    error[:, 1:] = 0
    assert "only within 1 of the border" in cause_of(expected, expected + error, rounding=1e-4)


def test_the_slope_of_negative_values() -> None:
    expected = np.where(values() > 0, values(), np.float32(0.1) * values())
    got = np.where(values() > 0, values(), np.float32(0.2) * values())
    assert "negative values are 2 times" in cause_of(expected, got)


def test_biases_and_scales_of_channels() -> None:
    numbers = np.linspace(0.5, 1.5, len(values()), dtype=np.float32).reshape(-1, 1, 1)
    assert "other biases" in cause_of(values(), values() + numbers)
    assert "from 0.5 to 1.5" in cause_of(values(), values() * numbers)


def test_the_best_explanation_is_taken() -> None:
    expected, got = values(), values(1)
    close = Alternative("close", got + np.float32(0.04) * values(2))
    assert cause_of(expected, got, [close, Alternative("right", got)]) == "right"
    assert cause_of(expected, got, [close, Alternative("far", values(3))]) == "close"


WEIGHTS = np.random.default_rng(0).normal(0, 1, (4, 4, 3, 3)).astype(np.float32)
"""Of a convolution whose kernels and whose numbers of channels are square."""

FAULTS = {
    "conv-flipped": ("y = Conv <pads = [1, 1, 1, 1]> (x, w)", {"w": WEIGHTS[..., ::-1]}, "mirrored left to right"),
    "conv-rows": ("y = Conv <pads = [1, 1, 1, 1]> (x, w)", {"w": WEIGHTS.swapaxes(2, 3)}, "rows stand for columns"),
    "conv-channels": ("y = Conv <pads = [1, 1, 1, 1]> (x, w)", {"w": WEIGHTS.swapaxes(0, 1)}, "channels that go in"),
    "conv-other": ("y = Conv <pads = [1, 1, 1, 1]> (x, v)", {}, "its weights are v"),
    "dilation": ("y = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (x, w)", {}, "dilation: [2, 2] for [1, 1]"),
    "concat": ("y = Concat <axis = 1> (x, z, x)", {}, "stand in each other's place"),
    "add": ("y = Sub (x, z)", {}, "Sub for Add"),
    "add-dropped": ("y = Identity (z)", {}, "gives its second input"),
    "softmax": ("y = Softmax <axis = 1> (x)", {}, "another axis: -3 for -1"),
    "resize": (
        'y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, , s)', {}, "align_corners",
    ),
}  # fmt: skip
HEALTHY = {
    "conv": "y = Conv <pads = [1, 1, 1, 1]> (x, w)",
    "dilation": "y = Conv <pads = [1, 1, 1, 1]> (x, w)",
    "concat": "y = Concat <axis = 1> (z, x, x)",
    "add": "y = Add (x, z)",
    "softmax": "y = Softmax <axis = -1> (x)",
    "resize": 'y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (x, , s)',
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_layer_that_is_otherwise_is_recognised(fault: str) -> None:
    body, changed, said = FAULTS[fault]
    constants = {"w": WEIGHTS, "v": WEIGHTS[::-1] * 0.5, "s": np.array([1, 1, 2, 2], np.float32)}
    inputs = "float[1, 4, 12, 16] x, float[1, 4, 12, 16] z"
    healthy = graphs.graph(HEALTHY[fault.split("-")[0]], inputs=inputs, weights=constants)
    feeds = {name: np.random.default_rng(i).normal(0, 1, (1, 4, 12, 16)).astype("f4") for i, name in enumerate("xz")}
    expected, got = (
        graphs.run(model, feeds)[0][0]
        for model in (healthy, graphs.graph(body, inputs=inputs, weights={**constants, **changed}))
    )
    tried = faulty_layers(OnnxLayers(onnx.shape_inference.infer_shapes(healthy)), "y", ())
    alternatives = []
    for words, run in tried:
        with contextlib.suppress(BackendError):  # a change that leaves no network
            alternatives.append(Alternative(words, run(feeds)["y"][0]))
    assert said in cause_of(expected, got, alternatives)
