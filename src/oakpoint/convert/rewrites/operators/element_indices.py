"""Indices that count from the end, which the device takes for places outside the tensor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class ElementIndices(LocalRewrite):
    """Constant indices of ``Gather``, ``GatherElements`` and ``ScatterElements`` count from the beginning.

    −1 becomes n − 1 for an axis of n elements, as ONNX has it. Computed indices stay: they are taken to be such.
    """

    name = "element-indices"
    operators: ClassVar[frozenset[str]] = frozenset({"Gather", "GatherElements", "ScatterElements"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        indices = place.constant(1)
        if indices is None or not (indices < 0).any():
            return False
        size = place.shape[place.attributes.get("axis", 0)]
        counted = place.editor.constant(np.where(indices < 0, indices + size, indices), indices.dtype)
        inputs = [place.x, counted, *place.node.input[2:]]
        place.editor.op(place.node.op_type, *inputs, output=place.output, **place.attributes)
        return True
