"""Abs, and what is built on it, which the compiler does not take."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class Absolute(LocalRewrite):
    """``|x|`` becomes ``max(x, −x)``: every bit the same.

    A PRelu with slope −1 would be one stage; behind a convolution the compiler makes something else of it.

    With it ``ReduceL1``, the sum of ``|x|``, and ``Softsign``, ``x / (1 + |x|)``, both by their definitions.
    """

    name = "absolute"
    operators: ClassVar[frozenset[str]] = frozenset({"Abs", "ReduceL1", "Softsign"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating:
            return False
        editor, operator = place.editor, place.node.op_type
        if operator == "Abs":
            editor.op("Identity", absolute(place), output=place.output)
        elif operator == "Softsign":
            editor.op("Div", place.x, editor.op("Add", absolute(place), editor.constant(1.0)), output=place.output)
        else:
            given = place.attributes.get("axes")
            axes = [editor.constant(given, "int64")] if given else []
            keep = place.attributes.get("keepdims", 1)
            editor.op("ReduceSum", absolute(place), *axes, output=place.output, keepdims=keep)
        return True


def absolute(place: Place) -> str:
    """Append ``|x|`` of a layer's first input, in one layer, and return its name."""
    editor = place.editor
    return editor.op("Max", place.x, editor.op("Mul", place.x, editor.constant(-1.0)))
