"""Numbers of layers: an overflow in a known layer, shares below FP16's smallest numbers, portions of memory."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import graph

from oakpoint.convert.graph_edit import inferred_values
from oakpoint.layers.check import ranges
from oakpoint.layers.check.caveats import of_form, of_numbers
from oakpoint.layers.check.ranges import Range, measured_ranges, range_of


def test_shares_are_of_values_other_than_zero() -> None:
    measured = range_of(np.array([0, 0, 1e-9, 1e-6, 1, -70000], np.float32))
    assert measured == Range(largest=70000.0, below_normal=0.5, below_smallest=0.25, values=4)
    assert measured.overflows


def test_what_is_not_finite_is_counted_apart() -> None:
    measured = range_of(np.array([np.inf, np.nan, 2], np.float32))
    assert (measured.not_finite, measured.largest) == (2, 2.0)
    assert "not finite in float32" in of_numbers(measured, infinite_first=False)[0]


def test_two_ranges_make_one() -> None:
    one, other = np.array([1e-9, 1], np.float32), np.array([3, 4, 1e-6], np.float32)
    both = range_of(one).with_other(range_of(other))
    assert both == range_of(np.concatenate([one, other]))


def test_the_layer_that_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_CHUNK_BYTES", 100)  # one tensor a run
    weights = {"k": np.array(300, np.float32), "small": np.array(1e-5, np.float32)}
    body = "a = Mul (x, k)\n b = Mul (a, a)\n c = Mul (b, small)\n y = Relu (c)"
    model = graph(body, inputs="float[1, 2, 3, 4] x", outputs="float y", opset=13, weights=weights)
    portions: list[str] = []
    image = np.ones((1, 2, 3, 4), np.float32)
    found = measured_ranges(model, [lambda: {"x": image}] * 2, norms_of={"y": 1}, progress=portions.append)
    assert [name for name, measured in found.tensors.items() if measured.overflows] == ["b"]
    assert found.tensors["b"].largest == 90000
    assert found.tensors["y"].values == 48
    assert found.squared_norms == {"y": pytest.approx(2 * 0.9**2, rel=1e-5)}
    assert len(portions) == 4


def test_a_max_pool_over_a_large_map_is_told() -> None:
    body = "y = MaxPool <kernel_shape = [5, 5], pads = [2, 2, 2, 2]> (x)"
    for side, told in ((200, True), (10, False)):
        model = graph(body, inputs=f"float[1, 1, {side}, 320] x", outputs="float y", opset=13)
        assert bool(of_form(model.graph.node[0], inferred_values(model))) == told
