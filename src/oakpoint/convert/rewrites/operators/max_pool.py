"""Max pools that the compiler reads otherwise: dilated ones, whose dilation it ignores, and rounded-up sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError
from oakpoint.convert.rewrites.operators.windows import Windows, windows_of
from oakpoint.fp16 import LARGEST


class MaxPoolWindows(LocalRewrite):
    """A max pool says its windows in the one way that the compiler reads rightly; every bit stays.

    * Dilated: along one axis after the other, the maximum of one slice for each element of the kernel. The border is
      filled with FP16's lowest value first.
    * ``ceil_mode``: padding behind so far as the windows reach, and the size rounded down.
    """

    name = "max-pool-windows"
    operators: ClassVar[frozenset[str]] = frozenset({"MaxPool"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if len(place.node.output) > 1 and place.node.output[1]:
            raise UnsupportedLayerError("the device does not give the places of the maxima", "take the values alone")
        windows = windows_of(place)
        if any(w.dilation > 1 and w.kernel > 1 for w in windows):
            _by_slices(place, windows)
            return True
        if not place.attributes.get("ceil_mode"):
            return False
        pads = [w.before for w in windows] + [max(w.reach, 0) for w in windows]
        common: dict[str, Any] = {"kernel_shape": [w.kernel for w in windows], "strides": [w.stride for w in windows]}
        place.editor.op("MaxPool", place.x, **common, pads=pads, output=place.output)
        return True


def _by_slices(place: Place, windows: Sequence[Windows]) -> None:
    editor, x = place.editor, place.x
    before, after = [w.before for w in windows], [max(w.reach, 0) for w in windows]
    if any(before + after):
        pads = editor.constant([0, 0, *before, 0, 0, *after], "int64")
        x = editor.op("Pad", x, pads, editor.constant(-LARGEST), mode="constant")
    for axis, window in enumerate(windows, 2):
        slices = [_every(place, x, axis, element, window) for element in range(window.kernel)]
        x = slices[0]
        for other in slices[1:]:
            x = editor.op("Max", x, other)
    editor.op("Identity", x, output=place.output)


def _every(place: Place, x: str, axis: int, element: int, window: Windows) -> str:
    """One element of each window."""
    first = element * window.dilation
    last = first + (window.count - 1) * window.stride + 1
    bounds = [place.editor.constant([value], "int64") for value in (first, last, axis, window.stride)]
    return place.editor.op("Slice", x, *bounds)
