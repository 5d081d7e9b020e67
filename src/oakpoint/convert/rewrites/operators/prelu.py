"""PRelu with slopes that are neither one number nor one for each channel: the compiler reads them as channels'."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class PReluSlopes(LocalRewrite):
    """``PRelu(x)`` becomes ``max(x, 0) + slope · min(x, 0)``, its definition, where the compiler would mistake slopes.

    Constant slopes that are all the same become one number. One slope for each channel (of axis 1) stays as it is, and
    so does one number between 0 and 1. Of −1 the compiler makes something else behind a convolution; other numbers it
    refuses as a ``LeakyRelu``.
    """

    name = "prelu-slopes"
    operators: ClassVar[frozenset[str]] = frozenset({"LeakyRelu", "PRelu"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating:
            return False
        editor = place.editor
        if place.node.op_type == "LeakyRelu":
            alpha = float(place.attributes.get("alpha", 0.01))
            return False if 0 < alpha < 1 else _by_definition(place, editor.constant(alpha))
        slopes = place.constant(1)
        if slopes is not None:
            if slopes.size == 1:
                return False if 0 < float(slopes.ravel()[0]) < 1 else _by_definition(place, place.tensor(1))
            if _of_channels(place.shape, slopes.shape) and (slopes != -1).all():
                return False
            if (slopes == slopes.flat[0]).all() and 0 < float(slopes.flat[0]) < 1:
                one_slope = editor.constant(np.full(1, slopes.flat[0], slopes.dtype), slopes.dtype)
                editor.op("PRelu", place.x, one_slope, output=place.output)
                return True
        return _by_definition(place, place.tensor(1))


def _by_definition(place: Place, slopes: str) -> bool:
    editor = place.editor
    rest = editor.op("Mul", editor.op("Min", place.x, editor.constant(0.0)), slopes)
    editor.op("Add", editor.op("Relu", place.x), rest, output=place.output)
    return True


def _of_channels(shape: tuple[int, ...], slopes: tuple[int, ...]) -> bool:
    """Whether slopes differ along axis 1 alone, once broadcast to a shape."""
    full = (1,) * (len(shape) - len(slopes)) + slopes
    return len(shape) > 1 and full == (1, shape[1], *([1] * (len(shape) - 2)))
