"""What may go wrong with a layer although the device takes it: its numbers in FP16, and traps that its form tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from oakpoint.convert.graph_edit import attributes_of, names_read
from oakpoint.fp16 import LARGEST, SMALLEST, SMALLEST_NORMAL
from oakpoint.layers.parts import shape_of
from oakpoint.layers.ranges import Range, range_of

VANISHING_SHARE: Final = 0.01
"""Values smaller than FP16's smallest number that are worth a word: with fewer, they are noise about zero."""

COARSE_SHARE: Final = 0.25
"""The same of values below the smallest normal number, which lose digits only."""

_SAFE: Final = LARGEST / 4
"""What a layer may reach on the images at hand, so that others do not overflow."""

_TILED_PX: Final = 64 * 64
"""Pixels of a map from which a max pool of stride 1 is cut into tiles worth a word; at 320×200 there were 88 to 156."""


def of_numbers(numbers: Range, *, infinite_first: bool, carried: bool = False) -> list[str]:
    """Caveats about what a layer gives.

    Args:
        numbers: its range.
        infinite_first: whether it is the first of the network to overflow.
        carried: whether its largest number is one that it was given.
    """
    caveats = []
    if numbers.not_finite:
        caveats.append(f"{numbers.not_finite:,} of its values are not finite in float32 already")
    if numbers.overflows and carried:
        caveats.append(f"hands on what overflows FP16 before it, {numbers.largest:.4g}")
    elif numbers.overflows:
        first = ", the first infinity of the network" if infinite_first else ""
        caveats.append(
            f"overflows FP16: reaches {numbers.largest:.4g}, and the largest number is {LARGEST:.0f}{first}; scale "
            f"what goes into it down until this stays below {_SAFE:.0f} here, and what comes out of it back"
        )
    if numbers.below_smallest >= VANISHING_SHARE:
        caveats.append(f"{numbers.below_smallest:.1%} of its values vanish: below {SMALLEST:.1e} FP16 has 0 alone")
    elif numbers.below_normal >= COARSE_SHARE:
        caveats.append(f"{numbers.below_normal:.1%} of its values lose digits: they are subnormal, below "
                       f"{SMALLEST_NORMAL:.1e}")  # fmt: skip
    return caveats


def of_weights(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[str]:
    """Caveats about weights of a layer of the user's own graph, in float32, that FP16 does not hold."""
    caveats = []
    for name in names_read(node):
        tensor = constants.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < 2:
            continue
        weights = range_of(numpy_helper.to_array(tensor))
        if weights.below_smallest >= VANISHING_SHARE:
            caveats.append(f"{weights.below_smallest:.1%} of its weights {name!r} vanish in FP16")
        elif weights.below_normal >= COARSE_SHARE:
            caveats.append(f"{weights.below_normal:.1%} of its weights {name!r} are subnormal in FP16 and lose digits")
    return caveats


def of_form(node: onnx.NodeProto, values: Mapping[str, onnx.ValueInfoProto]) -> list[str]:
    """Caveats that the form of a layer of the device graph tells."""
    if node.op_type != "MaxPool":
        return []
    attributes, shape = attributes_of(node), shape_of(values.get(node.input[0]))
    strides = attributes.get("strides") or [1]
    if shape is None or len(shape) != 4 or max(strides) > 1 or max(attributes["kernel_shape"]) < 3:
        return []
    if shape[2] * shape[3] < _TILED_PX:
        return []
    return [f"exact and slow: a max pool of stride 1 over {shape[3]}x{shape[2]} is cut into many tiles"]


def of_squared_norm(output: str, squared: float) -> list[str]:
    """Caveats about descriptors that are not normalised yet."""
    if squared <= LARGEST:
        return []
    return [
        f"the squared norms of {output} reach {squared:.4g}: an L2 normalisation behind it, on the device, would "
        f"overflow FP16 ({LARGEST:.0f}); --heads normalised scales it first"
    ]
