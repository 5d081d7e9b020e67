"""Average pools with a border: the device's pooling hardware counts it, whatever the layer says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError
from oakpoint.convert.rewrites.operators.windows import Windows, windows_of


class AveragePoolBorder(LocalRewrite):
    """An average pool whose windows reach over the border becomes one that counts the border, times a correction.

    The correction is a constant, window size through elements that count, and left out where it is 1 everywhere. With
    the same padding on both sides the pool pads itself. Padding of one side the hardware's average shifts to the other:
    there a depthwise convolution sums the windows, with weights of a power of two, which are exact. ``ceil_mode``
    becomes such padding. Pools without padding stay as they are.
    """

    name = "average-pool-border"
    operators: ClassVar[frozenset[str]] = frozenset({"AveragePool"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        windows, given, editor = windows_of(place), place.attributes, place.editor
        counts = _counts(windows, border=bool(given.get("count_include_pad")))
        full = math.prod(w.kernel for w in windows)
        even = all(w.before == max(w.reach, 0) for w in windows)
        if even and (counts == full).all() and not given.get("ceil_mode"):
            return False
        if len(windows) > 2:
            raise UnsupportedLayerError(
                "a 3-D average pool with padding is computed otherwise on the device", "pad with zeros before it"
            )
        summed, weight = _summed(place, windows, even, full)
        correction = (1 / (weight * counts)).astype(np.float32)
        if (correction == 1).all():
            editor.op("Identity", summed, output=place.output)
        elif (correction == correction.flat[0]).all():
            editor.op("Mul", summed, editor.constant(correction.flat[0]), output=place.output)
        else:
            editor.op("Mul", summed, editor.constant(correction[np.newaxis, np.newaxis]), output=place.output)
        return True


def _summed(place: Place, windows: Sequence[Windows], even: bool, full: int) -> tuple[str, float]:
    """The sum of each window, the border taken for zeros, and what it is multiplied with."""
    editor = place.editor
    pads = [w.before for w in windows] + [max(w.reach, 0) for w in windows]
    kernel = [w.kernel for w in windows]
    common: dict[str, Any] = {"kernel_shape": kernel, "strides": [w.stride for w in windows], "pads": pads}
    if even:
        return editor.op("AveragePool", place.x, **common, count_include_pad=1), 1 / full
    weight = 2.0 ** -math.ceil(math.log2(full))  # a sum of so many stays in the range of its elements
    channels = place.shape[1]
    weights = editor.constant(np.full((channels, 1, *kernel), weight))
    return editor.op("Conv", place.x, weights, **common, group=channels), weight


def _counts(windows: Sequence[Windows], *, border: bool) -> NDArray[np.float64]:
    """Elements of each window that a mean is taken over."""
    counts = np.ones(())
    for window in windows:
        counts = np.multiply.outer(counts, _counted(window, border).astype(np.float64))
    return counts


def _counted(window: Windows, border: bool) -> NDArray[Any]:
    """Along one axis: those of the axis, with its declared padding if asked."""
    first = np.arange(window.count) * window.stride - window.before
    elements = first[:, np.newaxis] + np.arange(window.kernel)
    lowest, highest = (-window.before, window.size + window.after) if border else (0, window.size)
    return np.asarray(((elements >= lowest) & (elements < highest)).sum(axis=1))
