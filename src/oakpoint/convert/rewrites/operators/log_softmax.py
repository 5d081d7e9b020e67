"""Softmaxes and ReduceLogSumExp, which overflow or come out wrong as the compiler writes them."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class SoftmaxAxis(LocalRewrite):
    """``Softmax`` says its axis where it leaves it to the default: the compiler takes 1 for that, ONNX the last."""

    name = "softmax-axis"
    operators: ClassVar[frozenset[str]] = frozenset({"LogSoftmax", "Softmax"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if "axis" in place.attributes:
            return False
        place.editor.op(place.node.op_type, place.x, axis=len(place.shape) - 1, output=place.output)
        return True


class LogSoftmaxAxis(LocalRewrite):
    """``LogSoftmax`` becomes ``d − ln Σ eᵈ`` with ``d = x − max x``, its definition.

    The compiler takes the sum over the wrong axis where that is not the last, and cuts the last one into a stage for
    every twelve rows, hundreds for an image's pixels. No exponent is above zero, so nothing overflows.
    """

    name = "log-softmax-axis"
    operators: ClassVar[frozenset[str]] = frozenset({"LogSoftmax"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, axis = place.editor, place.attributes.get("axis", -1)
        below = editor.op("Sub", place.x, editor.op("ReduceMax", place.x, axes=[axis], keepdims=1))
        total = editor.op("ReduceSum", editor.op("Exp", below), editor.constant([axis], "int64"), keepdims=1)
        editor.op("Sub", below, editor.op("Log", total), output=place.output)
        return True


class LogSumExp(LocalRewrite):
    """``ReduceLogSumExp`` becomes ``m + ln Σ eˣ⁻ᵐ`` with ``m = max x``, which is equal.

    The compiler sums ``eˣ``, which leaves FP16 for x over 11.
    """

    name = "log-sum-exp"
    operators: ClassVar[frozenset[str]] = frozenset({"ReduceLogSumExp"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, rank = place.editor, len(place.shape)
        if not rank:
            editor.op("Identity", place.x, output=place.output)
            return True
        axes = place.attributes.get("axes") or list(range(rank))
        places = editor.constant(axes, "int64")
        largest = editor.op("ReduceMax", place.x, axes=axes, keepdims=1)
        total = editor.op("ReduceSum", editor.op("Exp", editor.op("Sub", place.x, largest)), places, keepdims=1)
        result = editor.op("Add", editor.op("Log", total), largest)
        if not place.attributes.get("keepdims", 1):
            result = editor.op("Squeeze", result, places)
        editor.op("Identity", result, output=place.output)
        return True
