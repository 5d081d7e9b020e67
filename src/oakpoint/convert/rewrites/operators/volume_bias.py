"""Convolutions over three dimensions without a bias, which the compiler cannot build."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class VolumeBias(LocalRewrite):
    """A convolution over depth, height and width gets a bias of zeros where it has none: the same bits.

    The compiler makes several convolutions of it and counts their biases wrongly where there are none: it refuses two
    channels or more, and of one it makes a stage that lacks its values. With a bias it computes what ONNX asks.
    """

    name = "volume-bias"
    operators: ClassVar[frozenset[str]] = frozenset({"Conv"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        given = list(place.node.input)
        if len(place.shape) != 5 or any(given[2:]):
            return False
        channels = place.known.shape(given[1])[0]
        zeros = place.editor.constant(np.zeros(channels, np.float32))
        place.editor.op("Conv", *given[:2], zeros, output=place.output, **place.attributes)
        return True
