"""Convolution and pooling in three dimensions: compiled and simulated, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import StageType
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

SHAPE = (1, 3, 6, 12, 14)
TOLERANCE = 2e-3
"""Share of an output's largest value."""

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("Conv", {"pads": [1] * 6}),
    "strided": ("Conv", {"pads": [0, 1, 2, 1, 1, 0], "strides": [2, 1, 2]}),
    "dilated": ("Conv", {"dilations": [1, 2, 1]}),
    "mean": ("AveragePool", {"kernel_shape": [3, 3, 2], "pads": [1, 1, 0] * 2, "count_include_pad": 1}),
    "mean of each third": ("AveragePool", {"kernel_shape": [2, 3, 2], "strides": [2, 3, 1]}),
    "mean within the border": ("AveragePool", {"kernel_shape": [3, 3, 2], "pads": [1, 1, 0, 1, 0, 1]}),
    "mean of a strided window": (
        "AveragePool", {"kernel_shape": [3, 5, 3], "pads": [1, 2, 1] * 2, "strides": [2, 3, 2]}
    ),
    "largest": ("MaxPool", {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}),
    "largest in place": ("MaxPool", {"kernel_shape": [3, 3, 3], "pads": [1] * 6}),
}  # fmt: skip
Reference = Callable[[onnx.ModelProto, dict[str, NDArray[Any]]], dict[str, NDArray[np.float32]]]


def network() -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    constants = [
        numpy_helper.from_array((rng.standard_normal((4, 3, 3, 2, 3)) / 8).astype(np.float16), "weights"),
        numpy_helper.from_array(rng.standard_normal(4).astype(np.float16), "bias"),
    ]
    nodes = [
        helper.make_node(kind, ["x", "weights", "bias"] if kind == "Conv" else ["x"], [name], **attributes)
        for name, (kind, attributes) in LAYERS.items()
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in LAYERS],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return onnx.shape_inference.infer_shapes(model)


def test_against_onnxruntime(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    model = network()
    blob = compile_onnx(model)
    assert StageType.POOL_ND in {stage.type for stage in blob.stages}
    inputs = {"x": np.random.default_rng(3).integers(0, 256, SHAPE).astype(np.uint8)}
    got = Simulator(blob).run(dict(inputs))
    for name, wanted in reference(model, dict(inputs)).items():
        np.testing.assert_allclose(got[name], wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max(), err_msg=name)
