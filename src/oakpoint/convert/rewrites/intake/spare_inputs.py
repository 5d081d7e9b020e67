"""Optional inputs that are left out, but named as empty ones: the compiler looks for them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from oakpoint.convert.rewrites.base import Rewrite, label


class SpareInputs(Rewrite):
    """Empty names at the end of a layer's inputs are dropped, which ONNX says means the same."""

    name = "spare-inputs"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        touched = []
        for node in model.graph.node:
            if node.input and not node.input[-1]:
                touched.append(label(node))
                while node.input and not node.input[-1]:
                    del node.input[-1]
        return touched
