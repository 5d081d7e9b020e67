"""Small numbers that keep a division, a root's or a logarithm's, from zero, where FP16 has no such number."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import onnx

from oakpoint.convert.rewrites.local import Known, LocalRewrite, Place
from oakpoint.fp16 import SMALLEST, SMALLEST_NORMAL

LEAST_DIVISOR: Final = SMALLEST_NORMAL
"""FP16's smallest normal number, 6.1e-5. The device multiplies by reciprocals; those of anything below 1.53e-5 are over
65504, its largest value, and 0 · ∞ is not a number."""

LEAST_POSITIVE: Final = SMALLEST
"""FP16's smallest number above zero, 6e-8."""

_CARRYING = frozenset({"Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_GUARDS = frozenset({"Add", "Clip", "Max"})


class Epsilons(LocalRewrite):
    """A constant that is added to a divisor, or that it is kept above, becomes one that does its work in FP16.

    ``x / max(‖x‖, 1e-12)`` is 0 / 0 for a zero x in FP16, where 1e-12 is 0. So an epsilon rises, to ``LEAST_DIVISOR``
    before a division, to ``LEAST_POSITIVE`` before a root or logarithm; those that are large enough stay. For divisors
    well above the epsilon nothing changes.
    """

    name = "epsilons"
    operators: ClassVar[frozenset[str]] = _GUARDS
    tolerance = 1e-3

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        number = _guarding(place)
        epsilon = place.constant(number) if number is not None else None
        if number is None or epsilon is None or not epsilon.size:
            return False
        smallest, largest = float(epsilon.min()), float(epsilon.max())
        if not 0 < smallest <= largest < 1 / np.finfo(np.float16).max:
            return False
        least = _needed(place.known, place.output)
        if smallest >= least:
            return False
        inputs = list(place.node.input)
        inputs[number] = place.editor.constant(np.maximum(epsilon, least), epsilon.dtype)
        place.editor.op(place.node.op_type, *inputs, output=place.output, **place.attributes)
        return True


def _guarding(place: Place) -> int | None:
    """Which input of a sum, maximum or clip is a constant that keeps the other from zero."""
    if place.node.op_type == "Clip":
        return 1
    if len(place.node.input) != 2:
        return None
    constant = [number for number in (0, 1) if place.constant(number) is not None]
    return constant[0] if len(constant) == 1 else None


def _needed(known: Known, tensor: str, *, rooted: bool = False) -> float:
    """The least value that a tensor may have for what is made of it; 0 where nothing is that needs one."""
    return max((_by(known, tensor, node, rooted=rooted) for node in known.consumers.get(tensor, [])), default=0.0)


def _by(known: Known, tensor: str, node: onnx.NodeProto, *, rooted: bool) -> float:
    if node.op_type in _CARRYING:
        return _needed(known, node.output[0], rooted=rooted)
    if node.op_type == "Log":
        return LEAST_POSITIVE
    if node.op_type == "Sqrt":
        return _needed(known, node.output[0], rooted=True)
    if (node.op_type == "Div" and node.input[1] == tensor) or node.op_type == "Reciprocal":
        return LEAST_POSITIVE if rooted else LEAST_DIVISOR
    if node.op_type != "Pow" or node.input[0] != tensor:
        return 0.0
    exponent = known.constant(node.input[1])
    if exponent is None or exponent.size != 1:
        return 0.0
    power = float(exponent.reshape(()))
    if power < 0:
        return LEAST_POSITIVE if rooted or power >= -0.5 else LEAST_DIVISOR
    return _needed(known, node.output[0], rooted=rooted or power <= 0.5)
