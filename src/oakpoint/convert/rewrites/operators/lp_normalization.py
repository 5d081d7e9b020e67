"""LpNormalization, which the compiler refuses for p = 1, and divides by zero with."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place
from oakpoint.convert.rewrites.operators.absolute import absolute
from oakpoint.convert.rewrites.operators.epsilons import LEAST_DIVISOR


class LpNormalization(LocalRewrite):
    """``x / ‖x‖`` over an axis is spelt out, the norm kept above FP16's least divisor: zeros stay zeros."""

    name = "lp-normalization"
    operators: ClassVar[frozenset[str]] = frozenset({"LpNormalization"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, axis = place.editor, place.attributes.get("axis", -1)
        if place.attributes.get("p", 2) == 1:
            norm = editor.op("ReduceSum", absolute(place), editor.constant([axis], "int64"), keepdims=1)
        else:
            norm = editor.op("ReduceL2", place.x, axes=[axis], keepdims=1)
        divisor = editor.op("Max", norm, editor.constant(LEAST_DIVISOR))
        editor.op("Div", place.x, divisor, output=place.output)
        return True
