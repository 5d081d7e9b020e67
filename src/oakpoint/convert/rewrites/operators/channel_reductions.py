"""Means, sums and maxima over the channels of an image, which the compiler takes alone and fails on in a network."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class ChannelReductions(LocalRewrite):
    """A mean or sum over channels becomes a 1×1 convolution, a maximum one of halves, until one channel is left.

    The compiler makes pools with as many rows as there are channels of them, for which it finds no memory where the
    image is used once more, as in spatial attention or a normalisation (spelt «Memory allocation failed»). The weights
    of the convolution are a power of two, so that the sum stays in the range of its elements; the rest of the factor
    comes after it. A maximum over channels and image is first one over the image. After a mean of squares, a ``Relu``
    that changes nothing keeps an epsilon from becoming the convolution's bias, where 1e-5 is rounded to 1.5e-5.
    """

    name = "channel-reductions"
    operators: ClassVar[frozenset[str]] = frozenset({"ReduceMax", "ReduceMean", "ReduceSum"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        axes = reduced_axes(place)
        if len(place.shape) != 4 or not place.floating or 1 not in axes or place.shape[1] == 1:
            return False
        editor, channels, operator = place.editor, place.shape[1], place.node.op_type
        if operator == "ReduceMax":
            x = editor.op("ReduceMax", place.x, axes=[2, 3], keepdims=1) if axes == [1, 2, 3] else place.x
            if axes not in ([1], [1, 2, 3]):
                return False
            result = _largest(place, x, channels)
        elif axes != [1] or math.prod(place.shape[2:]) == 1:
            return False
        else:
            weight = 2.0 ** -math.ceil(math.log2(channels))
            weights = editor.constant(np.full((1, channels, 1, 1), weight))
            result = editor.op("Conv", place.x, weights, kernel_shape=[1, 1])
            if _is_square(place):
                result = editor.op("Relu", result)
            factor = 1 / weight if operator == "ReduceSum" else 1 / (weight * channels)
            result = result if factor == 1 else editor.op("Mul", result, editor.constant(factor))
        if not place.attributes.get("keepdims", 1):
            result = editor.op("Squeeze", result, editor.constant(axes, "int64"))
        editor.op("Identity", result, output=place.output)
        return True


def reduced_axes(place: Place) -> list[int]:
    """The axes of a reduction, from 0 on and in order; empty where they are computed."""
    rank, given = len(place.shape), place.attributes.get("axes")
    if place.node.op_type == "ReduceSum" and place.tensor(1):
        constant = place.constant(1)
        given = [] if constant is None else constant.tolist()
        if not given:
            return []
    return sorted(axis % rank for axis in (given or range(rank)))


def _is_square(place: Place) -> bool:
    """Whether no element can be negative, since each is one multiplied with itself."""
    node = place.known.producers.get(place.x)
    return node is not None and node.op_type == "Mul" and node.input[0] == node.input[1]


def _largest(place: Place, x: str, channels: int) -> str:
    """The maximum over channels: of two halves, again and again; an odd one counts in both."""
    editor = place.editor
    while channels > 1:
        half = -(-channels // 2)
        parts = []
        for begin, end in ((0, half), (channels - half, channels)):
            bounds = [editor.constant([value], "int64") for value in (begin, end, 1)]
            parts.append(editor.op("Slice", x, *bounds))
        x, channels = editor.op("Max", *parts), half
    return x
