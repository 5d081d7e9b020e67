"""Selu, which the compiler does not take."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place

_ALPHA, _GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
"""Defaults of the operator. Source: ONNX, operator Selu."""


class Selu(LocalRewrite):
    """``Selu(x)`` becomes ``γ · Elu(x)`` with the same α, which is its definition."""

    name = "selu"
    operators: ClassVar[frozenset[str]] = frozenset({"Selu"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, given = place.editor, place.attributes
        bent = editor.op("Elu", place.x, alpha=given.get("alpha", _ALPHA))
        editor.op("Mul", bent, editor.constant(given.get("gamma", _GAMMA)), output=place.output)
        return True
