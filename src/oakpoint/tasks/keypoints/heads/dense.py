"""``dense``: the network's own ``semi`` and ``desc``, as they are."""

from __future__ import annotations

import onnx

from oakpoint.backends.base import Tensors
from oakpoint.features.types import DenseOutputs
from oakpoint.tasks.keypoints.heads.base import DESC, SEMI, Head, Heads


class Dense(Head):
    """Logits (1, 65, H/8, W/8) and descriptors (1, D, H/8, W/8)."""

    name = "dense"
    tensors = (SEMI, DESC)

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``: there is nothing to append."""
        del graph, size, heads

    def read(self, tensors: Tensors) -> DenseOutputs:
        """See ``Head.read``."""
        return DenseOutputs(tensors[SEMI][0], tensors[DESC][0])
