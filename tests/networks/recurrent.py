"""Graphs of one recurrent layer, of any form that the rewrite knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from rewritten import graph_of, layer

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
OUTPUTS = ("y", "h", "c")


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """A layer.

    Attributes:
        operator: LSTM, GRU or RNN.
        direction: as ONNX has it.
        steps, rows, given, units: T, B, I and H.
        bias: whether it has one.
        initial: where its first state comes from: zeros, a constant or an input.
        outputs: which it has, from Y on.
        attributes: further ones.
    """

    operator: str
    direction: str = "forward"
    steps: int = 4
    rows: int = 1
    given: int = 3
    units: int = 5
    bias: bool = True
    initial: str = ""
    outputs: tuple[bool, ...] = (True, True, True)
    attributes: tuple[tuple[str, Any], ...] = ()

    def model(self, rng: np.random.Generator) -> onnx.ModelProto:
        """A graph of this layer with random weights; inputs ``x``, and ``h0`` and ``c0`` where they are given."""
        directions = 2 if self.direction == "bidirectional" else 1
        width = GATES[self.operator] * self.units
        shapes = {"w": (directions, width, self.given), "r": (directions, width, self.units)}
        shapes |= {"b": (directions, 2 * width)} if self.bias else {}
        inputs: dict[str, tuple[int, ...]] = {"x": (self.steps, self.rows, self.given)}
        names = ["x", "w", "r", "b" if self.bias else "-"]
        if self.initial:
            first = ["h0", "c0"] if self.operator == "LSTM" else ["h0"]
            (inputs if self.initial == "input" else shapes).update(
                dict.fromkeys(first, (directions, self.rows, self.units))
            )
            names += ["-", *first]
        spread = 1 / np.sqrt(self.units)  # as in torch: what a step makes of its state grows no further
        constants = {name: rng.normal(0, spread, shape).astype(np.float32) for name, shape in shapes.items()}
        if self.initial == "zeros":
            constants |= {name: np.zeros_like(constants[name]) for name in first}
        put = OUTPUTS[: 3 if self.operator == "LSTM" else 2]
        put = tuple(name if used else "-" for name, used in zip(put, self.outputs, strict=False))
        only = layer(self.operator, " ".join(names), " ".join(put), hidden_size=self.units, direction=self.direction,
                     **dict(self.attributes))  # fmt: skip
        return graph_of([only], inputs, constants, [name for name in put if name != "-"])
