"""Clip with bounds that the compiler refuses, or that FP16 does not hold."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place
from oakpoint.fp16 import LARGEST


class ClipBounds(LocalRewrite):
    """``Clip`` becomes one with two constant bounds within FP16, lower below upper.

    * A bound that is infinite, or beyond ±65504, becomes ±65504: no FP16 value is cut off by it.
    * Computed bounds become ``min(max(x, lower), upper)``, which is the operator's definition. With a lower bound that
      is not below the upper that is the upper one, whatever x: ``0 · x + upper``.
    """

    name = "clip-bounds"
    operators: ClassVar[frozenset[str]] = frozenset({"Clip"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating:
            return False
        editor, names, bounds = place.editor, (place.tensor(1), place.tensor(2)), (place.constant(1), place.constant(2))
        computed = any(name and bound is None for name, bound in zip(names, bounds, strict=True))
        lower, upper = (None if bound is None else float(bound.reshape(())) for bound in bounds)
        if lower is not None and upper is not None and lower >= upper:
            nothing = editor.op("Mul", place.x, editor.constant(0.0))
            editor.op("Add", nothing, editor.constant(np.clip(upper, -LARGEST, LARGEST)), output=place.output)
            return True
        if computed:
            x = place.x
            for operator, name in zip(("Max", "Min"), names, strict=True):
                x = editor.op(operator, x, name) if name else x
            editor.op("Identity", x, output=place.output)
            return True
        if all(bound is None or abs(bound) <= LARGEST for bound in (lower, upper)):
            return False
        held = [
            editor.constant(np.clip(default if bound is None else bound, -LARGEST, LARGEST))
            for bound, default in ((lower, -LARGEST), (upper, LARGEST))
        ]
        editor.op("Clip", place.x, *held, output=place.output)
        return True
