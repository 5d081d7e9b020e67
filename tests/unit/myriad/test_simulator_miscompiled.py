"""What the compiler makes something else of shows: the simulator executes what the blob says, not what ONNX means.

Each layer here is one that the compiler takes without a word. That it is rewritten or refused before it gets there is
another matter; this is how one would find out that it was not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

CLEARLY = 0.02
"""Share of an output's largest value; FP16 rounding is a tenth of it."""

SHAPE = (1, 6, 20, 30)
SLOPES = np.linspace(-0.5, 0.9, 6 * 20 * 30).reshape(6, 20, 30)
LAYERS: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "mean with the border": ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "mean of a lower border": ("AveragePool", [], {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
    "largest of every second": ("MaxPool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
    "slope of each pixel": ("PRelu", [SLOPES.astype(np.float16)], {}),
    "logarithm of shares": ("LogSoftmax", [], {"axis": 1}),
    "largest as one": ("Hardmax", [], {"axis": 1}),
    "spread": ("ConvTranspose", [np.full((6, 2, 2, 2), 0.25, np.float16)], {"dilations": [2, 2]}),
    "smaller": ("Resize", ["", np.array([1, 1, 0.55, 0.55], np.float32)], {"mode": "linear"}),
    "picked from the end": ("Gather", [np.array([-1, 0, -3])], {"axis": 1}),
}
"""Operator, further inputs (constants, or an empty name), attributes."""

Reference = Callable[[onnx.ModelProto, dict[str, NDArray[Any]]], dict[str, NDArray[np.float32]]]


def network() -> onnx.ModelProto:
    """Every layer on one tensor, values on [-2, 2)."""
    constants = [numpy_helper.from_array(np.float16(value), name) for name, value in (("step", 1 / 64), ("shift", -2))]
    nodes = [
        helper.make_node("Mul", ["image", "step"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["x"]),
    ]
    for name, (kind, further, attributes) in LAYERS.items():
        inputs = ["x"]
        for place, values in enumerate(further):
            inputs.append("" if isinstance(values, str) else f"{name}{place}")
            if inputs[-1]:
                constants.append(numpy_helper.from_array(values, inputs[-1]))
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT16, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in LAYERS],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return onnx.shape_inference.infer_shapes(model)


def test_every_miscompiled_layer_shows(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    model = network()
    inputs = {"image": np.random.default_rng(11).integers(0, 256, SHAPE).astype(np.uint8)}
    got = Simulator(compile_onnx(model)).run(dict(inputs))
    expected = reference(model, dict(inputs))
    unseen = []
    for name, wanted in expected.items():
        values = got[name].astype(np.float64)
        assert np.isfinite(values).all(), name
        same_shape = values.shape == wanted.shape
        if same_shape and np.abs(values - wanted).max() <= CLEARLY * np.abs(wanted).max():
            unseen.append(name)
    assert not unseen


def test_what_a_gather_from_the_end_gives(compile_onnx: Callable[..., Blob]) -> None:
    image = np.random.default_rng(11).integers(0, 256, SHAPE).astype(np.uint8)
    got = Simulator(compile_onnx(network())).run({"image": image})["picked from the end"]
    assert not got[:, [0, 2]].any()
    np.testing.assert_array_equal(got[:, 1], image[:, 0] / np.float16(64) - 2)
