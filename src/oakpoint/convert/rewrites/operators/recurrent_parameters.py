"""What a recurrent layer of ONNX is given, read for the device; what the device does not compute is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.rewrites.local import Place, UnsupportedLayerError

Array = NDArray[Any]

_DEFAULTS: Final = {"GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "RNN": ("Tanh",)}
"""Activations of a direction, in ONNX's order."""

_ACTIVATIONS: Final = ("Relu", "Sigmoid", "Tanh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A recurrent layer with D directions, H units and G gates.

    Attributes:
        reverse: for each direction, whether it goes from the last step to the first.
        activations: for each direction, in ONNX's order.
        given: weights (D, G·H, I) of the input.
        recurrent: weights (D, G·H, H) of the state.
        bias: (2, D, G·H), of the input and of the state.
        initial: names of the initial states (D, B, H), empty where they are left out; one, or two of an LSTM.
        linear_before_reset: whether a GRU resets what it has made of its state, and not the state.
    """

    reverse: tuple[bool, ...]
    activations: tuple[tuple[str, ...], ...]
    given: Array
    recurrent: Array
    bias: Array
    initial: tuple[str, ...]
    linear_before_reset: bool

    @property
    def units(self) -> int:
        """H."""
        return int(self.recurrent.shape[-1])


def parameters_of(place: Place, steps: int) -> Parameters:
    """Read a layer.

    Args:
        place: of LSTM, GRU or RNN at opset 13.
        steps: length of its sequence.

    Raises:
        UnsupportedLayerError: it says what the device does not compute, or has weights that are computed.
    """
    _refuse(place, steps)
    given, recurrent, bias = place.constant(1), place.constant(2), place.constant(3)
    if given is None or recurrent is None or (place.tensor(3) and bias is None):
        raise UnsupportedLayerError(
            "its weights are computed, and the device has to have them", "keep them as constants"
        )
    direction = place.attributes.get("direction", b"forward").decode()
    reverse = {"forward": (False,), "reverse": (True,)}.get(direction, (False, True))
    if bias is None:
        bias = np.zeros((len(reverse), 2 * recurrent.shape[1]), np.float32)
    return Parameters(
        reverse=reverse,
        activations=_activations(place, len(reverse)),
        given=given,
        recurrent=recurrent,
        bias=np.stack(np.split(bias, 2, axis=1)),
        initial=(place.tensor(5), place.tensor(6)) if place.node.op_type == "LSTM" else (place.tensor(5),),
        linear_before_reset=bool(place.attributes.get("linear_before_reset")),
    )


def _refuse(place: Place, steps: int) -> None:
    attributes, operator = place.attributes, place.node.op_type
    without = "train and export it without"
    if attributes.get("clip"):
        raise UnsupportedLayerError("clips what goes into its gates (attribute clip)", without)
    if attributes.get("input_forget"):
        raise UnsupportedLayerError("couples its input and forget gates (attribute input_forget)", without)
    peepholes = place.constant(7)
    if operator == "LSTM" and place.tensor(7) and (peepholes is None or peepholes.any()):
        raise UnsupportedLayerError("lets its gates see the cell (peepholes, input P)", without)
    lengths = place.constant(4)
    if place.tensor(4) and (lengths is None or (lengths != steps).any()):
        which = "computed" if lengths is None else f"{', '.join(map(str, lengths.ravel()))} of {steps} steps"
        raise UnsupportedLayerError(
            f"its sequences have lengths of their own (input sequence_lens: {which}); the device computes all steps",
            "export it without packed sequences: each of full length",
        )


def _activations(place: Place, directions: int) -> tuple[tuple[str, ...], ...]:
    default = _DEFAULTS[place.node.op_type]
    names = [name.decode().capitalize() for name in place.attributes.get("activations", [])] or default * directions
    if other := sorted(set(names).difference(_ACTIVATIONS)):
        raise UnsupportedLayerError(
            f"has an activation that is not written out here (attribute activations: {', '.join(other)})",
            f"use {', '.join(_ACTIVATIONS)}",
        )
    if len(names) != len(default) * directions:
        raise UnsupportedLayerError(
            f"expected {len(default) * directions} activations (attribute activations), got {len(names)}",
            f"name {len(default)} for each direction",
        )
    return tuple(tuple(names[first : first + len(default)]) for first in range(0, len(names), len(default)))
