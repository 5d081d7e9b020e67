"""Comparisons and logic that the compiler refuses, in those that it takes."""

from __future__ import annotations

from typing import ClassVar

from onnx import TensorProto

from oakpoint.convert.rewrites.local import LocalRewrite, Place

_NEGATED = {"GreaterOrEqual": "Less", "LessOrEqual": "Greater"}
_WHOLE = (TensorProto.INT32, TensorProto.INT64)


class TruthValues(LocalRewrite):
    """Every comparison is ``Greater``, ``Less`` or ``Equal`` of floating point, all logic ``Not`` and ``And``.

    * ``a ≥ b`` is ``¬(a < b)``, ``a ≤ b`` is ``¬(a > b)``; with not-a-number alone they differ.
    * Whole numbers are compared by their difference with zero, which is exact.
    * ``a ∨ b`` is ``¬(¬a ∧ ¬b)``, ``a ⊻ b`` is ``¬(a = b)``.
    * A number is true where it does not equal zero.
    """

    name = "truth-values"
    operators: ClassVar[frozenset[str]] = frozenset({
        "Cast", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor",
    })  # fmt: skip

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, operator = place.editor, place.node.op_type
        whole = place.known.kind(place.x) in _WHOLE
        if operator == "Or":
            neither = editor.op("And", *(editor.op("Not", name) for name in place.node.input))
            editor.op("Not", neither, output=place.output)
        elif operator == "Xor":
            editor.op("Not", editor.op("Equal", *place.node.input), output=place.output)
        elif operator == "Cast":
            if place.attributes["to"] != TensorProto.BOOL or not place.floating:
                return False
            editor.op("Not", editor.op("Equal", place.x, editor.constant(0.0)), output=place.output)
        elif operator not in _NEGATED and not whole:
            return False
        else:
            operands = list(place.node.input)
            if whole:
                apart = editor.op("Cast", editor.op("Sub", *operands), to=TensorProto.FLOAT)
                operands = [apart, editor.constant(0.0)]
            if operator in _NEGATED:
                editor.op("Not", editor.op(_NEGATED[operator], *operands), output=place.output)
            else:
                editor.op(operator, *operands, output=place.output)
        return True
