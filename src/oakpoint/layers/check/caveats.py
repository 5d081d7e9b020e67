"""What may go wrong with a layer although the device takes it: its numbers in FP16, and traps that its form tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.convert.split.parts import shape_of
from oakpoint.fp16 import LARGEST, SMALLEST, SMALLEST_NORMAL
from oakpoint.layers.check.ranges import Range

VANISHING_SHARE: Final = 0.01
"""Values smaller than FP16's smallest number that are worth a word: with fewer, they are noise about zero."""

COARSE_SHARE: Final = 0.25
"""The same of values below the smallest normal number, which lose digits only."""

_STAYS_IN_FLOAT32: Final = 0.75
"""Share of a tensor's values beyond FP16 from which OpenVINO does not compress it."""

_SAFE: Final = LARGEST / 4
"""What a layer may reach on the images at hand, so that others do not overflow."""

MOVING: Final = {
    "Cast", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Pad",
    "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators that put values elsewhere and do not change them."""

_CALCULATING: Final = {"Div", "Gemm", "MatMul", "Mul", "Pow", "PRelu"}
"""Layers of which one number is a factor, a divisor or an exponent."""

_SQUARING: Final = {"GlobalLpPool", "LRN"}
"""Layers of the device graph that square within; of other norms the squares are a layer of their own there."""

_TILED_PX: Final = 64 * 64
"""Pixels of a map from which a max pool of stride 1 is cut into tiles worth a word; at 320×200 there were 88 to 156."""


def of_not_finite(numbers: Range) -> list[str]:
    """Caveats about what a layer gives, on any target."""
    return [f"{numbers.not_finite:,} of its values are not finite in float32 already"] if numbers.not_finite else []


def of_stored_weights(name: str, values: NDArray[np.float32]) -> list[str]:
    """Caveats about weights that OpenVINO's IR stores in FP16 and computes with in float32.

    Source: what ``openvino.save_model`` of 2026.4 wrote, tried with weights of each kind. Where three values in four or
    more are beyond FP16 on either side, the tensor stays in float32; else those above become 65504, infinite ones among
    them, and those below 0.
    """
    magnitudes = np.abs(values)
    over = np.count_nonzero(magnitudes > LARGEST)
    under = np.count_nonzero((magnitudes > 0) & (magnitudes < SMALLEST))
    if not values.size or (over + under) / values.size >= _STAYS_IN_FLOAT32:
        return []
    caveats = []
    if over:
        caveats.append(f"{over:,} of its weights {name!r} become {LARGEST:.0f} in the IR, whose weights are FP16; the "
                       f"largest is {magnitudes.max():.4g}")  # fmt: skip
    if under / values.size >= VANISHING_SHARE:
        caveats.append(f"{under / values.size:.1%} of its weights {name!r} vanish in the IR, whose weights are FP16")
    return caveats


def of_numbers(numbers: Range, *, infinite_first: bool, carried: bool = False, moves: bool = False) -> list[str]:
    """Caveats about what a layer gives.

    Args:
        numbers: its range.
        infinite_first: whether it is the first of the network to overflow.
        carried: whether its largest number is one that it was given.
        moves: whether it only moves values: what it hands on is told of the layer that computed it.
    """
    caveats = of_not_finite(numbers)
    if numbers.overflows and carried:
        caveats.append(f"hands on what overflows FP16 before it, {numbers.largest:.4g}")
    elif numbers.overflows:
        first = ", the first infinity of the network" if infinite_first else ""
        caveats.append(
            f"overflows FP16: reaches {numbers.largest:.4g}, and the largest number is {LARGEST:.0f}{first}; scale "
            f"what goes into it down until this stays below {_SAFE:.0f} here, and what comes out of it back"
        )
    elif numbers.largest > LARGEST / 2 and not moves and not carried:
        caveats.append(
            f"reaches {numbers.largest:.4g} here, and FP16 ends at {LARGEST:.0f}: on other images it may overflow"
        )
    if moves:
        return caveats
    if numbers.below_smallest >= VANISHING_SHARE:
        caveats.append(f"{numbers.below_smallest:.1%} of its values vanish: below {SMALLEST:.1e} FP16 has 0 alone")
    elif numbers.below_normal >= COARSE_SHARE:
        caveats.append(f"{numbers.below_normal:.1%} of its values lose digits: they are subnormal, below "
                       f"{SMALLEST_NORMAL:.1e}")  # fmt: skip
    return caveats


def of_constants(node: onnx.NodeProto, ranges: Mapping[str, Range], sizes: Mapping[str, int]) -> list[str]:
    """Caveats about constants of a layer, as they are before FP16, that FP16 does not hold.

    Args:
        node: of the device graph.
        ranges: of the constants of floating point, by name.
        sizes: how many values each has.
    """
    caveats = []
    for number, name in enumerate(node.input):
        held = ranges.get(name)
        if held is None:
            continue
        if sizes[name] == 1:
            caveats += _of_number(node, number, held.largest)
        elif held.below_smallest >= VANISHING_SHARE:
            caveats.append(f"{held.below_smallest:.1%} of its weights {name!r} vanish in FP16")
        elif held.below_normal >= COARSE_SHARE:
            caveats.append(f"{held.below_normal:.1%} of its weights {name!r} are subnormal in FP16 and lose digits")
    return caveats


def _of_number(node: onnx.NodeProto, number: int, value: float) -> list[str]:
    """Caveats about a constant that is one number; next to what it is compared with or added to, 0 is as good."""
    if node.op_type not in _CALCULATING or not 0 < value <= SMALLEST / 2:
        return []
    divides = node.op_type == "Div" and number == 1
    what = "it divides by 0, where that makes infinities or no numbers" if divides else "what comes of it is 0"
    return [f"its constant {value:.4g} is 0 in FP16, and {what}; scale it, and what is behind it, apart"]


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


def of_squared_norm(output: str, squared: float, safe_heads: str) -> list[str]:
    """Caveats about vectors that are not normalised yet.

    Args:
        output: that holds them.
        squared: their largest squared norm.
        safe_heads: heads that scale them before they are normalised on the device; empty where there are none.
    """
    if squared <= LARGEST:
        return []
    remedy = f"--heads {safe_heads} scales it first" if safe_heads else "do it on the host, or scale it down first"
    return [
        f"the squared norms of {output} reach {squared:.4g}: an L2 normalisation behind it, on the device, would "
        f"overflow FP16 ({LARGEST:.0f}); {remedy}"
    ]


def of_squares_within(node: onnx.NodeProto, largest: float) -> list[str]:
    """Caveats about a layer that squares what it is given and does not give the squares.

    Args:
        node: of the device graph.
        largest: magnitude of what it is given.
    """
    if node.op_type not in _SQUARING or attributes_of(node).get("p", 2) != 2 or largest**2 <= LARGEST:
        return []
    return [
        f"squares what it is given, up to {largest:.4g}, within: {largest**2:.4g} may overflow FP16 ({LARGEST:.0f}); "
        "scale what goes into it down"
    ]
