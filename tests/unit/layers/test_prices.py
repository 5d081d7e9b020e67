"""The time of a tail: its median, and how long it is looked for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from graphs import graph
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.layers.cuts.prices import host_ms, host_ms_of_model, noise_for


class Counting(Backend):
    description = "counting"
    inputs = (TensorSpec("x", "float32", (1, "N", 2)), TensorSpec("n", "int64", (2,)))
    outputs = ()

    def __init__(self) -> None:
        self.runs = 0

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        self.runs += 1
        return self._run(tensors)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        return {}


def test_the_median_of_a_few_runs_after_one_that_does_not_count() -> None:
    times = iter([0.0, 1.0, 1.002, 1.1, 2.0, 2.9, 3.0, 3.1, 3.104])
    backend = Counting()
    assert host_ms(backend, {}, runs=3, longest_s=60, clock=lambda: next(times)) == pytest.approx(4.0)
    assert backend.runs == 4


def test_one_run_is_timed_however_long_it_takes() -> None:
    times = itertools.count(0, 10)
    backend = Counting()
    assert host_ms(backend, runs=5, longest_s=1.0, clock=lambda: float(next(times))) == 10_000
    assert backend.runs == 2


def test_noise_is_the_same_every_time_and_of_the_inputs_types() -> None:
    one, other = noise_for(Counting()), noise_for(Counting())
    assert one["x"].shape == (1, 1, 2)
    assert one["n"].dtype == np.int64
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_model_that_no_runtime_takes_has_no_price() -> None:
    taken = graph("y = Sin (x)", inputs="float[1, 2] x", outputs="float y", opset=17)
    own = graph("y = my.own.Thing (x)", inputs="float[1, 2] x", outputs="float y", domains=', "my.own": 1')
    measured = host_ms_of_model(taken, longest_s=0.01)
    assert measured is not None
    assert measured > 0
    assert host_ms_of_model(own) is None
