"""LSTM, GRU and RNN: the compiler refuses the last two, and takes an LSTM only where all three outputs are used."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError
from oakpoint.convert.rewrites.operators.recurrent_cells import CELLS, Cell, joined, split
from oakpoint.convert.rewrites.operators.recurrent_parameters import Parameters, parameters_of

MOST_STEPS = 256
"""Steps of the longest sequence. Each is 3 (RNN) to 11 (GRU) stages of some 0.03 ms, twice as many where directions go
one after the other. A bidirectional LSTM of 64 units, as ``myriad_compile`` 2021.3 makes it and ``myriad.cost``
estimates it: 168 stages and 6 ms at 16 steps, 328 and 12 at 32, 650 and 23 at 64, 2,579 and 92 at 256. The compiler's
time grows with the square: 0.3 s beyond the usual at 64 steps, 6 s at 256.
"""

MOST_BYTES = 128 << 20
"""Recurrent weights of all steps in FP16, which the compiler writes into the blob once for every step; a quarter of the
512 MB that an OAK camera has for its firmware, networks and frames. Two layers of 256 units in both directions over 26
steps, as in CRNN (Shi et al. 2015), have 55 MB."""

_JOINED = 128
"""Units up to which two directions are computed together. The zeros between those of an LSTM are 0.26 MB for each step
here, 0.05 ms by ``myriad.cost``, where nine stages of their own take 0.3; with more units they swell the blob."""


class Recurrent(LocalRewrite):
    """A recurrent layer becomes the layers of all its steps, one after the other, with the formulas of ONNX.

    The sequence (T, B, I) is taken for an image of T·B pixels with I channels. What a step takes from the input, bias
    included, is one 1×1 convolution for all steps; what it takes from the step before is another. Sums and products
    are the same, in another order. Both directions of a small layer go side by side, the backward one over the
    reversed sequence: their weights lie on a diagonal, between which there are zeros.

    An initial state of zeros takes no part in the first step. States may be computed; so they go from frame to frame
    where a network has them among its inputs and outputs.

    Source: ONNX, operators LSTM, GRU and RNN.
    """

    name = "recurrent"
    operators: ClassVar[frozenset[str]] = frozenset({"GRU", "LSTM", "RNN"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        steps, rows, size = place.shape
        if not (steps and rows):
            return False
        parameters = parameters_of(place, steps)
        passes = _passes(parameters)
        _check_length(parameters, passes, steps)
        editor = place.editor
        x = editor.op("Reshape", place.x, editor.constant([1, steps, rows, size], "int64"))
        x = editor.op("Transpose", x, perm=[0, 3, 1, 2])
        states = _initial(place, parameters, len(passes), rows)
        made = [_unrolled(place, parameters, *each, x) for each in zip(passes, states, strict=True)]
        together = [joined(editor, parts) for parts in zip(*made, strict=True)]
        for kind, (tensor, output) in enumerate(zip(together, place.node.output, strict=False)):
            if output:
                put = _sequence if kind == 0 else _state
                put(place, tensor, output, (steps, len(parameters.reverse), rows))
        return True


def _passes(parameters: Parameters) -> list[tuple[int, ...]]:
    """The directions that are computed together, or one after the other."""
    directions = tuple(range(len(parameters.reverse)))
    together = parameters.units <= _JOINED and len(set(parameters.activations)) == 1
    return [directions] if together else [(direction,) for direction in directions]


def _check_length(parameters: Parameters, passes: list[tuple[int, ...]], steps: int) -> None:
    if steps > MOST_STEPS:
        raise UnsupportedLayerError(
            f"its sequence has {steps} steps, and at most {MOST_STEPS} are written out: each is up to twenty stages",
            "give it a shorter sequence (a smaller --size, or a larger stride before it), or leave it to the host",
        )
    weights = sum(len(directions) ** 2 for directions in passes) * parameters.recurrent[0].size
    if weights * 2 * steps > MOST_BYTES:
        raise UnsupportedLayerError(
            f"its recurrent weights stand in a blob once for each of its {steps} steps, which are "
            f"{weights * 2 * steps >> 20} MB of at most {MOST_BYTES >> 20}",
            "give it fewer units or a shorter sequence, or leave it to the host",
        )


def _unrolled(
    place: Place, parameters: Parameters, directions: tuple[int, ...], state: tuple[str, ...], x: str
) -> list[str]:
    """The layers of some directions, D of them.

    Args:
        place: of the layer.
        parameters: of it.
        directions: these.
        state: initial ones, (1, D·H, 1, B) each, empty where they are zeros.
        x: the sequence, (1, I, T, B).

    Returns:
        The first state at all steps, (1, D·H, T, B), and every state behind the last one, (1, D·H, 1, B).
    """
    editor, steps = place.editor, place.shape[0]
    cell: Cell = CELLS[place.node.op_type](editor, parameters, directions)
    reverse = [parameters.reverse[direction] for direction in directions]
    x = _in_order(place, [x] * len(reverse), reverse)
    states = []
    for given in split(editor, cell.from_input(x), [1] * steps, axis=2):
        state = cell.step(given, state)
        states.append(state[0])
    whole = joined(editor, states, axis=2)
    return [_in_order(place, split(editor, whole, [parameters.units] * len(reverse)), reverse), *state]


def _in_order(place: Place, tensors: list[str], reverse: list[bool]) -> str:
    """Tensors (1, C, T, B) of each direction as one, the steps of backward directions reversed."""
    editor, steps = place.editor, place.shape[0]
    if any(reverse) and steps > 1:
        order = editor.constant(range(steps - 1, -1, -1), "int64")
        tensors = [
            editor.op("Gather", tensor, order, axis=2) if backward else tensor
            for tensor, backward in zip(tensors, reverse, strict=True)
        ]
    return joined(editor, tensors)


def _initial(place: Place, parameters: Parameters, passes: int, rows: int) -> list[tuple[str, ...]]:
    """The initial states of each pass, (1, D·H, 1, B) each; empty where they are zeros."""
    states = [_as_channels(place, name, rows) for name in parameters.initial]
    if passes == 1:
        return [tuple(states)]
    parts = [split(place.editor, name, [parameters.units] * passes) if name else [""] * passes for name in states]
    return list(zip(*parts, strict=True))


def _as_channels(place: Place, name: str, rows: int) -> str:
    """A state (D, B, H) as (1, D·H, 1, B); empty where it is left out, or zeros."""
    values: NDArray[Any] | None = place.known.constant(name)
    if not name or (values is not None and not values.any()):
        return ""
    editor = place.editor
    if values is not None:
        return editor.constant(np.swapaxes(values, 1, 2).reshape(1, -1, 1, rows))
    directions, _, units = place.known.shape(name)
    if rows > 1:
        name = editor.op("Reshape", name, editor.constant([1, directions, rows, units], "int64"))
        name = editor.op("Transpose", name, perm=[0, 1, 3, 2])
    return editor.op("Reshape", name, editor.constant([1, directions * units, 1, rows], "int64"))


def _sequence(place: Place, tensor: str, output: str, size: tuple[int, int, int]) -> None:
    """Put out (1, D·H, T, B) as Y, (T, D, B, H)."""
    editor, (steps, directions, rows) = place.editor, size
    tensor = editor.op("Transpose", tensor, perm=[0, 2, 3, 1])
    if directions > 1 and rows > 1:
        tensor = editor.op("Reshape", tensor, editor.constant([steps, rows, directions, -1], "int64"))
        editor.op("Transpose", tensor, perm=[0, 2, 1, 3], output=output)
    else:
        editor.op("Reshape", tensor, editor.constant([steps, directions, rows, -1], "int64"), output=output)


def _state(place: Place, tensor: str, output: str, size: tuple[int, int, int]) -> None:
    """Put out (1, D·H, 1, B) as Y_h or Y_c, (D, B, H)."""
    editor, (_, directions, rows) = place.editor, size
    if rows > 1:
        tensor = editor.op("Reshape", tensor, editor.constant([1, directions, -1, rows], "int64"))
        tensor = editor.op("Transpose", tensor, perm=[0, 1, 3, 2])
    editor.op("Reshape", tensor, editor.constant([directions, rows, -1], "int64"), output=output)
