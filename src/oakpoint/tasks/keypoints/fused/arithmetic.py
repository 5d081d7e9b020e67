"""Operators of ONNX (opset 13 to 18) under the names of what they are for, on top of a graph's editor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto

from oakpoint.convert.graph_edit import GraphEditor

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Appends operators; every method returns the name of what it computes.

    Attributes:
        edit: of the graph, or of the body of a loop.
    """

    edit: GraphEditor

    def number(self, values: ArrayLike) -> str:
        """A float32 constant."""
        return self.edit.constant(values, np.float32)

    def whole(self, values: ArrayLike) -> str:
        """An int64 constant."""
        return self.edit.constant(values, np.int64)

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Any operator with one output."""
        return self.edit.op(operator, *inputs, **attributes)

    def cut(self, tensor: str, axis: int, first: int, beyond: int) -> str:
        """What lies from ``first`` up to ``beyond`` along an axis."""
        return self.op("Slice", tensor, self.whole([first]), self.whole([beyond]), self.whole([axis]))

    def reshaped(self, tensor: str, *shape: int) -> str:
        """In another shape."""
        return self.op("Reshape", tensor, self.whole(shape))

    def padded(self, tensor: str, margin: int) -> str:
        """A map (H, W) with a margin of zeros."""
        return self.op("Pad", tensor, self.whole([margin] * 4), self.number(0))

    def finite(self, tensor: str) -> str:
        """Where it is a number, and not infinite."""
        return self.at_most(self.op("Abs", tensor), self.number(LARGEST))

    def at_most(self, tensor: str, limit: str) -> str:
        """Where ``tensor`` ≤ ``limit``; not where either is no number."""
        return self.op("LessOrEqual", tensor, limit)

    def zero_unless(self, condition: str, tensor: str) -> str:
        """The values where a condition holds, 0 elsewhere, whatever they are there."""
        return self.op("Where", condition, tensor, self.number(0))

    def as_number(self, tensor: str) -> str:
        """As float32."""
        return self.op("Cast", tensor, to=TensorProto.FLOAT)

    def as_whole(self, tensor: str) -> str:
        """As int64."""
        return self.op("Cast", tensor, to=TensorProto.INT64)
