"""Tensors of no dimension, for which the compiler's shapes have no word."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place

_REDUCTIONS = frozenset({
    "ReduceL2", "ReduceLogSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare",
})  # fmt: skip


class Scalars(LocalRewrite):
    """One element gets no dimension by ``Gather`` of element 0: the same bits.

    The compiler refuses ``Reshape`` and ``Squeeze`` to no dimension, and gives what a reduction of everything should
    leave as one number four dimensions, and so to all that is calculated with it.
    """

    name = "scalars"
    operators: ClassVar[frozenset[str]] = frozenset({"Reshape", "Squeeze"}) | _REDUCTIONS

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating or not place.shape or place.known.shape(place.output):
            return False
        editor, one, operator = place.editor, place.x, place.node.op_type
        if operator in _REDUCTIONS:
            one = editor.op(operator, *place.node.input, **(place.attributes | {"keepdims": 1}))
        if len(place.shape) > 1:
            one = editor.op("Reshape", one, editor.constant([1], "int64"))
        editor.op("Gather", one, editor.constant(0, "int64"), axis=0, output=place.output)
        return True
