"""Transposed convolutions in the one way of saying them that the compiler reads rightly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError


class TransposedConvolution(LocalRewrite):
    """A transposed convolution is given explicit pads, no dilation and two dimensions; what it computes stays.

    The compiler ignores ``auto_pad`` and dilations, takes ``output_shape`` for the other side's padding, mixes up
    groups, and refuses one dimension.

    * ``auto_pad`` and ``output_shape`` become the pads and the output padding that ONNX derives from them.
    * A dilated kernel gets the zeros written into its weights; so does one with groups, unless each channel is its own.
    * Padding of the whole kernel or more, which is cropping, becomes a slice of what is computed without.
    * One dimension becomes two, of which the other has size 1.
    """

    name = "transposed-convolution"
    operators: ClassVar[frozenset[str]] = frozenset({"ConvTranspose"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        given, axes, weights = place.attributes, len(place.shape) - 2, place.constant(1)
        if weights is None:
            raise UnsupportedLayerError(
                "its weights are computed; the device wants constants", "make them constants of the network"
            )
        if axes > 2:
            raise UnsupportedLayerError("the device has no 3-D transposed convolution", "use one over two dimensions")
        dilation, group = given.get("dilations") or [1] * axes, given.get("group", 1)
        grouped = group > 1 and weights.shape[:2] != (group, 1)
        spread = _spread(weights, dilation)
        plan = _explicit(given, place.shape[2:], spread.shape[2:])
        crops = any(pad >= size for pad, size in zip(plan.pads, spread.shape[2:] * 2, strict=True))
        implied = given.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in given
        if not (implied or crops or grouped or axes == 1 or dilation != [1] * axes):
            return False
        if grouped:
            spread, group = _ungrouped(spread, group), 1
        put = _transposed(place, spread, plan, group, crops=crops)
        if axes == 1:
            put = place.editor.op("Squeeze", put, place.editor.constant([2], "int64"))
        place.editor.op("Identity", put, output=place.output)
        return True


@dataclass(frozen=True, slots=True)
class _Plan:
    """Strides, pads (before, then after) and output padding along each axis, and the size that comes of them."""

    strides: tuple[int, ...]
    pads: tuple[int, ...]
    beyond: tuple[int, ...]
    put: tuple[int, ...]


def _explicit(given: dict[str, Any], size: tuple[int, ...], extent: tuple[int, ...]) -> _Plan:
    """The plan of a layer that may say it by ``auto_pad`` or ``output_shape``. Source: ONNX, operator ConvTranspose.

    Args:
        given: its attributes.
        size: of the input's axes.
        extent: of the kernel, dilated.
    """
    axes = len(size)
    strides = given.get("strides") or [1] * axes
    beyond = given.get("output_padding") or [0] * axes
    automatic = given.get("auto_pad", b"NOTSET").decode()
    full = [s * (i - 1) + e + o for s, i, e, o in zip(strides, size, extent, beyond, strict=True)]
    if "output_shape" in given:
        put = given["output_shape"][-axes:]
    elif automatic.startswith("SAME"):
        # A kernel shorter than the stride leaves less than ONNX promises; runtimes give what there is.
        put = [min(s * i, f) for s, i, f in zip(strides, size, full, strict=True)]
    else:
        pads = given.get("pads") or [0] * (2 * axes) if automatic == "NOTSET" else [0] * (2 * axes)
        put = [f - before - after for f, before, after in zip(full, pads[:axes], pads[axes:], strict=True)]
        return _Plan(tuple(strides), tuple(pads), tuple(beyond), tuple(put))
    both = [max(f - p, 0) for f, p in zip(full, put, strict=True)]
    further = [o + max(p - f, 0) for o, f, p in zip(beyond, full, put, strict=True)]
    smaller, larger = [b // 2 for b in both], [b - b // 2 for b in both]
    pads = [*smaller, *larger] if automatic == "SAME_UPPER" else [*larger, *smaller]
    return _Plan(tuple(strides), tuple(pads), tuple(further), tuple(put))


def _spread(weights: NDArray[Any], dilation: list[int]) -> NDArray[Any]:
    """Weights (C, M, …) with the zeros of a dilation between them."""
    extent = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilation, strict=True)]
    spread = np.zeros((*weights.shape[:2], *extent), weights.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, d) for d in dilation))] = weights
    return spread


def _ungrouped(weights: NDArray[Any], group: int) -> NDArray[Any]:
    """Weights (C, M, …) of groups as those (C, group · M, …) of one group, zero from each to the others."""
    channels, put = weights.shape[0] // group, weights.shape[1]
    whole = np.zeros((weights.shape[0], group * put, *weights.shape[2:]), weights.dtype)
    for index in range(group):
        own = slice(index * channels, (index + 1) * channels)
        whole[own, index * put : (index + 1) * put] = weights[own]
    return whole


def _transposed(place: Place, weights: NDArray[Any], plan: _Plan, group: int, *, crops: bool) -> str:
    """A transposed convolution over two dimensions, and a slice of it where it is cropped."""
    editor, x, bias = place.editor, place.x, place.tensor(2)
    strides, pads, beyond, put = list(plan.strides), list(plan.pads), list(plan.beyond), list(plan.put)
    if len(strides) == 1:
        x = editor.op("Unsqueeze", x, editor.constant([2], "int64"))
        weights = weights[:, :, np.newaxis]
        strides, pads, beyond, put = [1, *strides], [0, pads[0], 0, pads[1]], [0, *beyond], [1, *put]
    common: dict[str, Any] = {"strides": strides, "output_padding": beyond, "group": group}
    inputs = [x, editor.constant(weights, weights.dtype), *([bias] if bias else [])]
    if not crops:
        return editor.op("ConvTranspose", *inputs, **common, pads=pads)
    whole = editor.op("ConvTranspose", *inputs, **common)
    last = [begin + length for begin, length in zip(pads[:2], put, strict=True)]
    bounds = [editor.constant(values, "int64") for values in (pads[:2], last, [2, 3])]
    return editor.op("Slice", whole, *bounds)
