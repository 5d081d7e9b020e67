"""What the compiler takes and the simulator does not: a whole blob, which is told from a damaged one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import NotModelledError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

SHAPE = (1, 8, 24, 208)
Layer = tuple[str, list[NDArray[Any]], dict[str, Any]]


def places(value: int) -> NDArray[np.int64]:
    return np.full((1, 16, 24, 208), value)


LAYERS: dict[str, Layer] = {
    "each picked from the end": ("GatherElements", [places(-2)], {"axis": 1}),
    "picked by vectors from the end": ("GatherND", [np.array([[0, -1]])], {}),
    "placed from the end": ("ScatterElements", [places(-2), places(1).astype(np.float16)], {"axis": 1}),
    "regions of a wide map": (
        "RoiAlign", [np.array([[0, 0, 9, 9]], np.float16), np.array([0])], {"output_height": 3, "output_width": 3}
    ),
}  # fmt: skip
"""Operator, further inputs, attributes."""


def network(name: str) -> onnx.ModelProto:
    """A convolution and behind it the layer."""
    kind, further, attributes = LAYERS[name]
    constants = [numpy_helper.from_array(np.full((16, 8, 3, 3), 0.1, np.float16), "weights")]
    constants += [numpy_helper.from_array(values, f"input{i}") for i, values in enumerate(further)]
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["convolved"], pads=[1] * 4),
        helper.make_node(kind, ["convolved", *(c.name for c in constants[1:])], ["y"], **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_compiled_and_not_modelled_is_no_damage(compile_onnx: Callable[..., Blob], name: str) -> None:
    blob = compile_onnx(network(name))
    with pytest.raises(NotModelledError, match="not modelled"):
        Simulator(blob).run({"x": np.ones(SHAPE, np.uint8)})
