"""LpPool, which the compiler does not know."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError
from oakpoint.convert.rewrites.operators.absolute import absolute
from oakpoint.convert.rewrites.operators.windows import windows_of


class LpPool(LocalRewrite):
    """``(Σ |x|ᵖ)^(1/p)`` over windows becomes a power, a depthwise convolution that sums, and a root.

    The weights of the sum are a power of two, so that it stays in the range of its elements, and is given back exactly.
    Padding adds zeros, as ONNX has it.
    """

    name = "lp-pool"
    operators: ClassVar[frozenset[str]] = frozenset({"LpPool"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor, p, channels, windows = place.editor, place.attributes.get("p", 2), place.shape[1], windows_of(place)
        if len(windows) > 2:
            raise UnsupportedLayerError("the device has no 3-D pool of powers", "use one over two dimensions")
        powered = editor.op("Mul", place.x, place.x) if p == 2 else absolute(place)
        if p > 2:
            powered = editor.op("Pow", powered, editor.constant(p))
        kernel = [w.kernel for w in windows]
        weight = 2.0 ** -math.ceil(math.log2(math.prod(kernel)))
        common: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": [w.stride for w in windows],
            "dilations": [w.dilation for w in windows],
            "pads": [w.before for w in windows] + [max(w.reach, 0) for w in windows],
        }
        weights = editor.constant(np.full((channels, 1, *kernel), weight))
        summed = editor.op("Conv", powered, weights, **common, group=channels)
        summed = editor.op("Mul", summed, editor.constant(1 / weight))
        if p == 1:
            editor.op("Identity", summed, output=place.output)
        elif p == 2:
            editor.op("Sqrt", summed, output=place.output)
        else:
            editor.op("Pow", summed, editor.constant(1 / p), output=place.output)
        return True
