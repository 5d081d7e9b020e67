"""CumSum, which the compiler does not take."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError


class CumSum(LocalRewrite):
    """A running sum becomes a product with a triangle of ones, over the last axis; other axes are swapped with it."""

    name = "cum-sum"
    operators: ClassVar[frozenset[str]] = frozenset({"CumSum"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        axis = place.constant(1)
        if axis is None:
            raise UnsupportedLayerError("its axis is computed", "make it a constant")
        if not place.floating:
            return False
        editor, rank = place.editor, len(place.shape)
        along = int(axis.reshape(())) % rank
        size = place.shape[along]
        triangle = np.triu(np.ones((size, size)), 1 if place.attributes.get("exclusive") else 0)
        if place.attributes.get("reverse"):
            triangle = triangle.T
        if rank == 1:  # a product with a vector is none of two matrices
            row = editor.op("Unsqueeze", place.x, editor.constant([0], "int64"))
            summed = editor.op("MatMul", row, editor.constant(triangle))
            editor.op("Squeeze", summed, editor.constant([0], "int64"), output=place.output)
            return True
        order = list(range(rank))
        order[along], order[-1] = order[-1], order[along]
        x = place.x if along == rank - 1 else editor.op("Transpose", place.x, perm=order)
        summed = editor.op("MatMul", x, editor.constant(triangle))
        if along == rank - 1:
            editor.op("Identity", summed, output=place.output)
        else:
            editor.op("Transpose", summed, perm=order, output=place.output)
        return True
