"""Means, sums and maxima of each of many short rows, such as the classes of a detector's boxes."""

from __future__ import annotations

from typing import ClassVar, Final

from oakpoint.convert.rewrites.local import LocalRewrite, Place
from oakpoint.convert.rewrites.operators.channel_reductions import reduced_axes

WINDOW: Final = 15
"""Elements of the longest row that the compiler makes a pool of; a longer one is reduced by a SHAVE. Found by compiling
rows of 8, 12, 15, 16 and 32 elements."""


class RowReductions(LocalRewrite):
    """A reduction of the last of two or three axes becomes that of the last of four, which is equal.

    The compiler makes a batch of images of the rows, and cuts it into a stage for every dozen: of 8400 boxes and 5
    classes, more than a thousand, and minutes of compiling.
    """

    name = "row-reductions"
    operators: ClassVar[frozenset[str]] = frozenset({"ReduceMax", "ReduceMean", "ReduceSum"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, shape, rank = place.editor, place.shape, len(place.shape)
        if rank not in (2, 3) or not place.floating or reduced_axes(place) != [rank - 1] or shape[-1] > WINDOW:
            return False
        image = editor.op("Reshape", place.x, editor.constant([1] * (4 - rank) + list(shape), "int64"))
        if place.node.op_type == "ReduceSum":
            reduced = editor.op("ReduceSum", image, editor.constant([3], "int64"), keepdims=1)
        else:
            reduced = editor.op(place.node.op_type, image, axes=[3], keepdims=1)
        put = shape[:-1] + ((1,) if place.attributes.get("keepdims", 1) else ())
        editor.op("Reshape", reduced, editor.constant(put, "int64"), output=place.output)
        return True
