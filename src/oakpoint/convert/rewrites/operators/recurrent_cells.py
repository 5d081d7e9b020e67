"""One step of an LSTM, a GRU and an RNN, in layers of their own.

Source: ONNX, operators LSTM, GRU and RNN, whose letters are used: gates i, o, f, c and z, r, h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.graph_edit import GraphEditor
from oakpoint.convert.rewrites.operators.recurrent_parameters import Parameters

Array = NDArray[Any]


class Cell(ABC):
    """What a layer does in a step, for some of its directions side by side: D of them, with H units each.

    A tensor of G gates has G·D·H channels: gates, within each the directions, within each the units.
    """

    def __init__(self, editor: GraphEditor, parameters: Parameters, directions: Sequence[int]) -> None:
        """Put the weights, which all steps share, into the graph.

        Args:
            editor: of the layers.
            parameters: of all directions.
            directions: those of this cell; they have the same activations.
        """
        chosen = list(directions)
        self.editor = editor
        self.width = parameters.units * len(chosen)
        self.activations = parameters.activations[chosen[0]]
        self._gates = parameters.recurrent.shape[1] // parameters.units
        self._given = _diagonal(parameters.given[chosen], self._gates)
        self._recurrent = _diagonal(parameters.recurrent[chosen], self._gates)
        bias = parameters.bias[:, chosen].reshape(2, len(chosen), self._gates, -1)
        self._bias = np.swapaxes(bias, 1, 2).reshape(2, -1)
        self._later = parameters.linear_before_reset
        self._settle()

    def _settle(self) -> None:
        """Put the constants of a step into the graph."""
        self._weights = self.editor.constant(self._recurrent)

    @property
    def _bias_of_input(self) -> Array:
        return np.asarray(self._bias.sum(0))

    def from_input(self, x: str) -> str:
        """What all steps take from their input.

        Args:
            x: (1, D·I, T, B).

        Returns:
            (1, G·D·H, T, B), the biases included.
        """
        editor = self.editor
        return editor.op(
            "Conv", x, editor.constant(self._given), editor.constant(self._bias_of_input), kernel_shape=[1, 1]
        )

    @abstractmethod
    def step(self, given: str, state: tuple[str, ...]) -> tuple[str, ...]:
        """One step.

        Args:
            given: what it takes from its input, (1, G·D·H, 1, B).
            state: before it: h, and c of an LSTM, (1, D·H, 1, B) each; an empty name stands for zeros.

        Returns:
            The state behind it.
        """

    def _recurred(self, given: str, state: str, weights: str) -> str:
        """``given``, and what a state adds to it."""
        editor = self.editor
        return editor.op("Add", given, editor.op("Conv", state, weights, kernel_shape=[1, 1])) if state else given

    def _split(self, tensor: str, *gates: int) -> list[str]:
        return split(self.editor, tensor, [count * self.width for count in gates])


class LSTMCell(Cell):
    """C = f · C + i · c, H = o · h(C)."""

    def step(self, given: str, state: tuple[str, ...]) -> tuple[str, ...]:
        """See ``Cell.step``."""
        op, (gate, cell, put) = self.editor.op, self.activations
        hidden, before = state
        gates, candidate = self._split(self._recurred(given, hidden, self._weights), 3, 1)
        i, o, f = self._split(op(gate, gates), 1, 1, 1)
        after = op("Mul", i, op(cell, candidate))
        if before:
            after = op("Add", op("Mul", f, before), after)
        return op("Mul", o, op(put, after)), after


class GRUCell(Cell):
    """H = (1 − z) · h + z · H, written as h + z · (H − h)."""

    def _settle(self) -> None:
        editor, first = self.editor, 2 * self.width
        self._reset_bias = self._bias[1, first:]
        if self._later:
            self._weights = editor.constant(self._recurrent)
            # The bias of the gates is with the input's, that of the candidate is reset with what it belongs to.
            self._later_bias = editor.constant(np.where(np.arange(3 * self.width) < first, 0, self._bias[1]))
        else:
            self._weights = editor.constant(self._recurrent[:first])
            self._candidate = editor.constant(self._recurrent[first:])

    @property
    def _bias_of_input(self) -> Array:
        kept = np.arange(3 * self.width) < 2 * self.width if self._later else 1
        return np.asarray(self._bias[0] + self._bias[1] * kept)

    def step(self, given: str, state: tuple[str, ...]) -> tuple[str, ...]:
        """See ``Cell.step``."""
        op, (gate, candidate) = self.editor.op, self.activations
        (before,) = state
        gates, own = self._split(given, 2, 1)
        reset = ""
        if self._later and before:
            recurred = op("Conv", before, self._weights, self._later_bias, kernel_shape=[1, 1])
            further, reset = self._split(recurred, 2, 1)
            gates = op("Add", gates, further)
        elif not self._later:
            gates = self._recurred(gates, before, self._weights)
        elif self._reset_bias.any():
            reset = self.editor.constant(self._reset_bias.reshape(1, -1, 1, 1))
        z, r = self._split(op(gate, gates), 1, 1)
        if reset:
            own = op("Add", own, op("Mul", r, reset))
        elif before:
            own = self._recurred(own, op("Mul", r, before), self._candidate)
        new = op(candidate, own)
        if not before:
            return (op("Sub", new, op("Mul", z, new)),)
        return (op("Add", new, op("Mul", z, op("Sub", before, new))),)


class RNNCell(Cell):
    """H = f(what the input and the state give)."""

    def step(self, given: str, state: tuple[str, ...]) -> tuple[str, ...]:
        """See ``Cell.step``."""
        return (self.editor.op(self.activations[0], self._recurred(given, state[0], self._weights)),)


CELLS: Final[dict[str, type[Cell]]] = {"GRU": GRUCell, "LSTM": LSTMCell, "RNN": RNNCell}


def split(editor: GraphEditor, tensor: str, sizes: Sequence[int], axis: int = 1) -> list[str]:
    """A tensor's parts of these sizes along an axis."""
    if len(sizes) == 1:
        return [tensor]
    names = [f"{tensor}_{place}" for place in range(len(sizes))]
    return list(editor.split("Split", tensor, editor.constant(sizes, "int64"), outputs=names, axis=axis))


def joined(editor: GraphEditor, tensors: Sequence[str], axis: int = 1) -> str:
    """Tensors as one along an axis."""
    return editor.op("Concat", *tensors, axis=axis) if len(tensors) > 1 else tensors[0]


def _diagonal(weights: Array, gates: int) -> Array:
    """Weights (D, G·H, K) as those (G·D·H, D·K, 1, 1) of a convolution that computes all directions at once."""
    directions, rows, columns = weights.shape
    units = rows // gates
    whole = np.zeros((gates, directions, units, directions, columns), np.float32)
    for direction in range(directions):
        whole[:, direction, :, direction] = weights[direction].reshape(gates, units, columns)
    return whole.reshape(gates * directions * units, directions * columns, 1, 1)
