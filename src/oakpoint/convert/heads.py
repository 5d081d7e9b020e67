"""What the device graph puts out: the network's own tensors, or what a consumer on the camera's other side reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import ConversionError, UsageError
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS

SEMI, DESC = "semi", "desc"


def append_heads(model: onnx.ModelProto, heads: str, *, size: tuple[int, int]) -> None:
    """Append the named heads to a model with the outputs ``semi`` (1, 65, H/8, W/8) and ``desc`` (1, D, H/8, W/8).

    ``dense`` leaves them as they are. ``rtabmap`` gives what RTAB-Map's DepthAI driver reads: ``heatmap`` (1, H, W),
    softmax over 65 without the dustbin with each cell spread to its 8×8 pixels, and ``desc`` (1, H/8, W/8, D), not
    normalised.

    Args:
        model: changed in place; opset 13.
        heads: one of ``HEADS``.
        size: (W, H) in pixels.

    Raises:
        UsageError: unknown heads.
        ConversionError: the model lacks the two outputs.
    """
    if heads not in HEADS:
        raise UsageError(f"heads: expected one of {', '.join(HEADS)}, got {heads!r}")
    names = {output.name for output in model.graph.output}
    if {SEMI, DESC} - names:
        raise ConversionError(f"expected the outputs {SEMI} and {DESC}, got {', '.join(sorted(names))}")
    HEADS[heads](model.graph, size)


def _dense(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    del graph, size


def _rtabmap(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    width, height = size
    rows, columns = height // CELL_PX, width // CELL_PX
    _append_heatmap(graph, rows, columns)
    descriptors = f"{DESC}_planar"
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == DESC:
                node.output[index] = descriptors
    graph.node.append(helper.make_node("Transpose", [descriptors], [DESC], name=f"{DESC}_rows", perm=[0, 2, 3, 1]))
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, (1, height, width)),
            helper.make_tensor_value_info(DESC, TensorProto.FLOAT, None),
        ]
    )


def _append_heatmap(graph: onnx.GraphProto, rows: int, columns: int) -> None:
    """``semi`` to ``heatmap``: softmax, dustbin dropped, channel 8·r + c of a cell to its pixel (r, c)."""
    constants = {
        "heatmap_start": [0],
        "heatmap_end": [LOGIT_CHANNELS - 1],
        "heatmap_axis": [1],
        "heatmap_cells": [1, rows, columns, CELL_PX, CELL_PX],
        "heatmap_size": [1, rows * CELL_PX, columns * CELL_PX],
    }
    graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), name) for name, v in constants.items())
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Softmax", [SEMI], {"axis": 1}),
        ("Slice", ["heatmap_start", "heatmap_end", "heatmap_axis"], {}),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["heatmap_cells"], {}),
        ("Transpose", [], {"perm": [0, 1, 3, 2, 4]}),
        ("Reshape", ["heatmap_size"], {}),
    ]
    previous = ""
    for index, (operator, inputs, attributes) in enumerate(steps):
        output = "heatmap" if index == len(steps) - 1 else f"heatmap_{index}"
        taken = inputs if index == 0 else [previous, *inputs]
        graph.node.append(helper.make_node(operator, taken, [output], name=f"heatmap_{operator}_{index}", **attributes))
        previous = output


HEADS: dict[str, Callable[[onnx.GraphProto, tuple[int, int]], None]] = {"dense": _dense, "rtabmap": _rtabmap}
"""Heads by name."""
