"""Pads that the compiler refuses: of a first dimension, of one, two or five dimensions, and those that crop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class PadForms(LocalRewrite):
    """``Pad`` is brought to what the compiler takes: three or four dimensions, of which the first is not padded.

    Else one axis after the other is padded, which is the same, since padding of one axis does not look at another: with
    a constant as the middle one of a tensor (1, before, axis, behind), else by taking elements by index. Negative pads
    become a slice.
    """

    name = "pad-forms"
    operators: ClassVar[frozenset[str]] = frozenset({"Pad"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        shape, pads = place.shape, place.constant(1)
        if pads is None or not place.floating:
            return False
        rank = len(shape)
        before, after = [int(pad) for pad in pads[:rank]], [int(pad) for pad in pads[rank:]]
        crops = min(before + after, default=0) < 0
        taken = rank in (3, 4) and before[0] == after[0] == 0
        if taken and not crops:
            return False
        x, sizes = place.x, list(shape)
        if crops:
            first = [max(-pad, 0) for pad in before]
            last = [size - max(-pad, 0) for size, pad in zip(sizes, after, strict=True)]
            bounds = [place.editor.constant(values, "int64") for values in (first, last, range(rank))]
            x = place.editor.op("Slice", x, *bounds)
            sizes = [end - begin for begin, end in zip(first, last, strict=True)]
            before, after = [max(pad, 0) for pad in before], [max(pad, 0) for pad in after]
        if taken and any(before + after):
            x = _padded(place, x, [*before, *after])
        elif not taken:
            for axis in range(rank):
                if before[axis] or after[axis]:
                    x = _padded_along(place, x, sizes, axis, before[axis], after[axis])
        place.editor.op("Identity", x, output=place.output)
        return True


def _padded(place: Place, x: str, pads: Sequence[int]) -> str:
    value = [place.tensor(2)] if place.tensor(2) else []
    mode = place.attributes.get("mode", b"constant")
    return place.editor.op("Pad", x, place.editor.constant(pads, "int64"), *value, mode=mode)


def _padded_along(place: Place, x: str, sizes: list[int], axis: int, before: int, after: int) -> str:
    """Pad one axis; ``sizes`` is that of x, and is changed with it."""
    editor, mode = place.editor, place.attributes.get("mode", b"constant")
    if mode != b"constant":
        taken = np.pad(np.arange(sizes[axis]), (before, after), "reflect" if mode == b"reflect" else "edge")
        sizes[axis] = len(taken)
        return editor.op("Gather", x, editor.constant(taken, "int64"), axis=axis)
    flat = [1, math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :])]
    x = editor.op("Reshape", x, editor.constant(flat, "int64"))
    x = _padded(place, x, [0, 0, before, 0, 0, 0, after, 0])
    sizes[axis] += before + after
    return editor.op("Reshape", x, editor.constant(sizes, "int64"))
