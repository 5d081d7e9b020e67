"""Hardmax, which the compiler computes over all axes that follow, as before opset 13."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from onnx import TensorProto

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError

_WHOLE = 2048
"""FP16 holds every whole number up to this one."""


class Hardmax(LocalRewrite):
    """``Hardmax`` becomes the comparison of each place with ``ArgMax``: 1 at the first of the largest, else 0."""

    name = "hardmax"
    operators: ClassVar[frozenset[str]] = frozenset({"Hardmax"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, rank = place.editor, len(place.shape)
        axis = place.attributes.get("axis", -1) % rank
        size = place.shape[axis]
        if size > _WHOLE:
            raise UnsupportedLayerError(
                f"its axis has {size} elements, and places over {_WHOLE} are not told apart in FP16",
                "compare with the maximum (ReduceMax, Equal) where no two are equal",
            )
        first = editor.op("Cast", editor.op("ArgMax", place.x, axis=axis, keepdims=1), to=TensorProto.FLOAT)
        places = np.arange(size).reshape([size if other == axis else 1 for other in range(rank)])
        editor.op("Cast", editor.op("Equal", first, editor.constant(places)), to=TensorProto.FLOAT, output=place.output)
        return True
