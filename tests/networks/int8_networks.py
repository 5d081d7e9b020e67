"""Networks that INT8 is hard or easy on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (64, 48)
"""(W, H) of their images."""

HARD = "wide"
"""The layer whose inputs 256 steps do not hold."""


def write_wide_range(path: Path, *, range_of_one: float = 100.0) -> None:
    """Three convolutions; one channel before the second is ``range_of_one`` times as large as those that matter.

    The second convolution all but ignores the large channel, so that float loses nothing of the others; an activation's
    one scale for all channels leaves these no step.
    """
    rng = np.random.default_rng(7)
    first = (0.2 * rng.standard_normal((8, 3, 3, 3))).astype(np.float32)
    first[0] = range_of_one * np.abs(first[0])  # never dark
    wide = (0.2 * rng.standard_normal((8, 8, 3, 3))).astype(np.float32)
    wide[:, 0] *= 0.01 / range_of_one
    last = (0.2 * rng.standard_normal((3, 8, 3, 3))).astype(np.float32)
    nodes, given, weights = [], "image", []
    for name, values in (("easy", first), (HARD, wide), ("last", last)):
        weights.append(numpy_helper.from_array(values, f"{name}.weight"))
        nodes.append(helper.make_node("Conv", [given, f"{name}.weight"], [f"{name}.out"], name=name, pads=[1, 1, 1, 1]))
        given = f"{name}.out"
        if name != "last":
            nodes.append(helper.make_node("Relu", [given], [f"{name}.relu"], name=f"{name}.act"))
            given = f"{name}.relu"
    width, height = SIZE
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [1, 3, height, width])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
