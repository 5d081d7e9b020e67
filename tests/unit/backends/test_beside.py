"""Two models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.beside import BesideBackend
from oakpoint.bundle.interface import TensorSpec


class Constant(Backend):
    def __init__(self, value: float, *outputs: str) -> None:
        self.description, self.value, self.closed = f"constant {value}", value, False
        self.inputs = (TensorSpec("x", "float32", (1,)),)
        self.outputs = tuple(TensorSpec(name, "float32", (1,)) for name in outputs)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        return {spec.name: tensors["x"] * self.value for spec in self.outputs}

    def close(self) -> None:
        self.closed = True


def test_the_first_one_s_outputs_count_where_both_have_them() -> None:
    first, second = Constant(1, "a"), Constant(2, "a", "b")
    with BesideBackend(first, second) as beside:
        got = beside.run({"x": np.ones(1, np.float32)})
        assert [spec.name for spec in beside.outputs] == ["a", "b"]
    assert {name: float(array[0]) for name, array in got.items()} == {"a": 1.0, "b": 2.0}
    assert first.closed
    assert second.closed
