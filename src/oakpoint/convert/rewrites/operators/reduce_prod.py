"""ReduceProd, which the compiler does not take."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.graph_edit import GraphEditor
from oakpoint.convert.rewrites.local import LocalRewrite, Place


class ReduceProd(LocalRewrite):
    """A product over axes becomes products of halves: each axis is folded on itself until one element is left.

    The factors are multiplied in another order, which rounds differently; as many as 2ⁿ take n layers.
    """

    name = "reduce-prod"
    operators: ClassVar[frozenset[str]] = frozenset({"ReduceProd"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating:
            return False
        editor, shape, product = place.editor, place.shape, place.x
        axes = sorted(axis % len(shape) for axis in place.attributes.get("axes") or range(len(shape)))
        for axis in axes:
            product = _folded(editor, product, axis, shape[axis])
        if axes and not place.attributes.get("keepdims", 1):
            product = editor.op("Squeeze", product, editor.constant(axes, "int64"))
        editor.op("Identity", product, output=place.output)
        return True


def _folded(editor: GraphEditor, tensor: str, axis: int, size: int) -> str:
    def part(begin: int, end: int) -> str:
        bounds = [editor.constant([value], "int64") for value in (begin, end, axis)]
        return editor.op("Slice", tensor, *bounds)

    while size > 1:
        half = size // 2
        product = editor.op("Mul", part(0, half), part(half, 2 * half))
        tensor = editor.op("Concat", product, part(size - 1, size), axis=axis) if size % 2 else product
        size = half + size % 2
    return tensor
