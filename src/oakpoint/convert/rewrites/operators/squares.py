"""Squares written as powers, around which the compiler sees a normalisation that it lays out for images alone."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class Squares(LocalRewrite):
    """``x ** 2`` becomes ``x · x``, which is equal, in as many stages.

    Where the difference from a mean is squared by a power, as exporters before opset 17 write a layer norm, the
    compiler takes all of it for one operator, which it has for whole images and their channels alone («Unsupported
    combination of indices»), and in which it adds ε to σ in place of σ².
    """

    name = "squares"
    operators: ClassVar[frozenset[str]] = frozenset({"Pow"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        exponent = place.constant(1)
        if exponent is None or exponent.size != 1 or float(exponent.reshape(())) != 2 or not place.floating:
            return False
        if exponent.ndim > len(place.shape):
            return False
        place.editor.op("Mul", place.x, place.x, output=place.output)
        return True
