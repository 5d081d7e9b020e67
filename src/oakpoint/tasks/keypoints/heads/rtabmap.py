"""``rtabmap``: what RTAB-Map's DepthAI driver reads."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from oakpoint.backends.base import Tensors
from oakpoint.convert.graph_edit import rename_tensor, set_outputs
from oakpoint.features.types import HeatmapOutputs
from oakpoint.tasks.keypoints.heads.base import DESC, HEATMAP, Head, Heads
from oakpoint.tasks.keypoints.heads.heatmap import append_heatmap


class RtabMap(Head):
    """``heatmap`` (1, H, W) as in ``heatmap``, and ``desc`` (1, H/8, W/8, D)."""

    name = "rtabmap"
    tensors = (HEATMAP, DESC)

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``."""
        del heads
        append_heatmap(graph, size)
        planar = f"{DESC}_planar"
        rename_tensor(graph, DESC, planar)
        graph.node.append(helper.make_node("Transpose", [planar], [DESC], name=f"{DESC}_rows", perm=[0, 2, 3, 1]))
        set_outputs(graph, HEATMAP, DESC)

    def read(self, tensors: Tensors) -> HeatmapOutputs:
        """See ``Head.read``."""
        return HeatmapOutputs(tensors[HEATMAP][0], np.ascontiguousarray(np.moveaxis(tensors[DESC][0], -1, 0)))
