"""``heatmap``: the softmax is done on the device; descriptors as they are."""

from __future__ import annotations

import numpy as np
import onnx

from oakpoint.backends.base import Tensors
from oakpoint.convert.graph_edit import GraphEditor, rename_tensor, set_outputs
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS, HeatmapOutputs
from oakpoint.tasks.keypoints.heads.base import DESC, DESCRIPTORS, HEATMAP, SEMI, Head, Heads


class Heatmap(Head):
    """``heatmap`` (1, H, W), softmax over 65 without the dustbin; ``descriptors`` (1, D, H/8, W/8), as ``desc``."""

    name = "heatmap"

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``."""
        del heads
        append_heatmap(graph, size)
        rename_tensor(graph, DESC, DESCRIPTORS)
        set_outputs(graph, HEATMAP, DESCRIPTORS)

    def read(self, tensors: Tensors) -> HeatmapOutputs:
        """See ``Head.read``."""
        return HeatmapOutputs(tensors[HEATMAP][0], tensors[DESCRIPTORS][0])


def append_heatmap(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    """``semi`` to ``heatmap``: softmax, dustbin dropped, channel 8·r + c of a cell to its pixel (r, c)."""
    rows, columns = size[1] // CELL_PX, size[0] // CELL_PX
    edit = GraphEditor(graph, HEATMAP)

    def integers(*values: int) -> str:
        return edit.constant(values, np.int64)

    probabilities = edit.op("Softmax", SEMI, axis=1)
    cells = edit.op("Slice", probabilities, integers(0), integers(LOGIT_CHANNELS - 1), integers(1))
    cells = edit.op("Transpose", cells, perm=[0, 2, 3, 1])
    pixels = edit.op("Reshape", cells, integers(1, rows, columns, CELL_PX, CELL_PX))
    pixels = edit.op("Transpose", pixels, perm=[0, 1, 3, 2, 4])
    edit.op("Reshape", pixels, integers(1, rows * CELL_PX, columns * CELL_PX), output=HEATMAP)
