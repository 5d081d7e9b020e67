"""Hyperbolic functions and their inverses, which the compiler does not take (Tanh apart)."""

from __future__ import annotations

import math
from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class Hyperbolic(LocalRewrite):
    """Hyperbolic functions become exponentials, their inverses logarithms, by their definitions.

    ``Sinh(x) = (eˣ − e⁻ˣ) / 2``, ``Cosh(x) = (eˣ + e⁻ˣ) / 2``, ``Asinh(x) = ±ln(|x| + √(x² + 1))`` with the sign of x,
    ``Acosh(x) = ln(x + √(x² − 1))``, ``Atanh(x) = ln((1 + x) / (1 − x)) / 2``. Near zero, where the terms cancel, they
    are as exact as the terms: about 1e-3 in FP16.
    """

    name = "hyperbolic"
    operators: ClassVar[frozenset[str]] = frozenset({"Sinh", "Cosh", "Asinh", "Acosh", "Atanh"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, x, operator = place.editor, place.x, place.node.op_type
        one = editor.constant(1.0)
        if operator in ("Sinh", "Cosh"):
            # Halves as e^(x - ln 2): e^x alone leaves FP16 for x over 11.09, the result only over 11.78.
            log_2 = editor.constant(math.log(2))
            rising = editor.op("Exp", editor.op("Sub", x, log_2))
            falling = editor.op("Exp", editor.op("Sub", editor.op("Neg", x), log_2))
            editor.op("Sub" if operator == "Sinh" else "Add", rising, falling, output=place.output)
        elif operator == "Atanh":
            ratio = editor.op("Div", editor.op("Add", one, x), editor.op("Sub", one, x))
            editor.op("Mul", editor.op("Log", ratio), editor.constant(0.5), output=place.output)
        elif operator == "Acosh":
            root = editor.op("Sqrt", editor.op("Sub", editor.op("Mul", x, x), one))
            editor.op("Log", editor.op("Add", x, root), output=place.output)
        else:  # it cancels for negative x; the function is odd, so each side is computed by itself
            sides = []
            for side in (x, editor.op("Neg", x)):
                positive = editor.op("Relu", side)
                root = editor.op("Sqrt", editor.op("Add", editor.op("Mul", positive, positive), one))
                sides.append(editor.op("Log", editor.op("Add", positive, root)))
            editor.op("Sub", *sides, output=place.output)
        return True
