"""The dense part of decoding inside an OpenVINO model: softmax, and the spreading of cells to pixels.

It costs a runtime with several threads less than NumPy, and less than nothing in part: OpenVINO's convolutions put out
channels last, which is what is wanted here, where outputs with channels first are reordered. What is left, suppression
and sampling at some hundred or thousand pixels, is fastest in NumPy (``benchmarks/fused.py``), and takes its options as
they are at each image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS
from oakpoint.runtimes import import_openvino
from oakpoint.tasks.keypoints.heads.base import DESC, HEATMAP, SEMI

BY_CELL = "descriptors_by_cell"
"""Descriptors with channels last, (1, Hc, Wc, D)."""

LOGITS_BY_CELL = "logits_by_cell"
"""Logits with channels last, (1, Hc, Wc, 65): which tell a probability that is rounded to 0 from that of −∞."""


def with_heatmap(model: Any) -> Any:
    """A model of OpenVINO's that gives ``heatmap`` (1, H, W) and ``…_by_cell`` in the place of its outputs.

    Args:
        model: an ``openvino.Model`` with fixed sizes; changed in place.

    Returns:
        The new model; the one that was given where its outputs are not ``semi`` (1, 65, Hc, Wc) and ``desc``
        (1, D, Hc, Wc).
    """
    outputs = {name: port for port in model.outputs for name in port.get_names() if name in (SEMI, DESC)}
    if len(model.outputs) != 2 or set(outputs) != {SEMI, DESC}:
        return model
    shapes = [outputs[name].get_partial_shape() for name in (SEMI, DESC)]
    if any(shape.is_dynamic or len(shape) != 4 or shape.to_shape()[0] != 1 for shape in shapes):
        return model
    _, channels, rows, columns = shapes[0].to_shape()
    if channels != LOGIT_CHANNELS:
        return model
    openvino = import_openvino()
    op = openvino.opset13
    logits, descriptors = (outputs[name].get_node().input_value(0) for name in (SEMI, DESC))
    last = np.array([0, 2, 3, 1])
    logits_by_cell = op.transpose(logits, last)
    probabilities = op.softmax(logits_by_cell, 3)
    cells = op.slice(probabilities, *(np.array([number]) for number in (0, LOGIT_CHANNELS - 1, 1, 3)))
    spread = op.transpose(op.reshape(cells, np.array([rows, columns, CELL_PX, CELL_PX]), False), np.array([0, 2, 1, 3]))
    heatmap = op.reshape(spread, np.array([1, rows * CELL_PX, columns * CELL_PX]), False)
    by_cell = op.transpose(descriptors, last)
    made = {HEATMAP: heatmap, BY_CELL: by_cell, LOGITS_BY_CELL: logits_by_cell}
    for name, node in made.items():
        node.output(0).set_names({name})
        node.set_friendly_name(name)
    return openvino.Model(
        [op.result(node) for node in made.values()], model.get_parameters(), model.get_friendly_name()
    )


def settled_heatmap(heatmap: NDArray[np.float32], logits_by_cell: NDArray[np.float32]) -> NDArray[np.float32]:
    """A heat map (H, W) of such a model in which cells with a logit of −∞ are 0, as in ``features.heatmap``.

    Softmax makes no number of other logits that are none, which is 0 to decoding; of −∞ alone it makes the 0 of a
    single pixel. Few heat maps have a 0 at all, and of the others logits (Hc, Wc, 65) are not read.
    """
    if heatmap.min() > 0:  # not so either with a NaN anywhere
        return heatmap
    if not (unset := logits_by_cell.min(axis=2) == -np.inf).any():
        return heatmap
    return np.where(unset.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1), np.float32(0), heatmap)
