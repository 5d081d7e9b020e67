"""Norms whose sum of squares would leave FP16 before the root is taken."""

from __future__ import annotations

import math
from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class ReduceL2(LocalRewrite):
    """``√Σ x²`` over n elements becomes ``√n · √(mean of x²)``, which is equal, in as many stages.

    A sum of squares over 65504 is reached by 256 elements of 16; their mean is 256.
    """

    name = "reduce-l2"
    operators: ClassVar[frozenset[str]] = frozenset({"ReduceL2"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, shape = place.editor, place.shape
        if not shape or not place.floating:
            return False
        axes = sorted(axis % len(shape) for axis in place.attributes.get("axes") or range(len(shape)))
        square = editor.op("Mul", place.x, place.x)
        mean = editor.op("ReduceMean", square, axes=axes, keepdims=place.attributes.get("keepdims", 1))
        count = math.prod(shape[axis] for axis in axes)
        editor.op("Mul", editor.op("Sqrt", mean), editor.constant(math.sqrt(count)), output=place.output)
        return True
