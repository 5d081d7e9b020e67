"""What the compiler takes and the simulator does not: a whole blob, which is told from a damaged one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import NotModelledError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

TO_THE_BEGINNING = -(2**31)
LAYERS: dict[str, tuple[str, list[list[int]], dict[str, Any]]] = {
    "flipped": ("Slice", [[-1], [TO_THE_BEGINNING], [3], [-1]], {}),
    "flipped both ways": ("Slice", [[-1, -1], [TO_THE_BEGINNING] * 2, [2, 3], [-1, -1]], {}),
    "every third backwards": ("Slice", [[30], [5], [3], [-3]], {}),
    "picked from the end": ("Gather", [[-1, 0, -3]], {"axis": 1}),
    "rounded": ("Round", [], {}),
    "largest as one": ("Hardmax", [], {"axis": 1}),
}
"""Operator, further integer inputs, attributes."""


def network(name: str) -> onnx.ModelProto:
    """A convolution and behind it the layer."""
    kind, integers, attributes = LAYERS[name]
    constants = [numpy_helper.from_array(np.full((16, 8, 3, 3), 0.1, np.float16), "weights")]
    constants += [numpy_helper.from_array(np.array(v, np.int64), f"input{i}") for i, v in enumerate(integers)]
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["convolved"], pads=[1] * 4),
        helper.make_node(kind, ["convolved", *(c.name for c in constants[1:])], ["y"], **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, (1, 8, 24, 40))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_compiled_and_not_modelled_is_no_damage(compile_onnx: Callable[..., Blob], name: str) -> None:
    blob = compile_onnx(network(name))
    with pytest.raises(NotModelledError, match="not modelled"):
        Simulator(blob).run({"x": np.ones((1, 8, 24, 40), np.uint8)})
