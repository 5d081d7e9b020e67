"""What does nothing at a size is taken out, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import checked, copy, graph, operators, run

from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.operators.no_effect import NoEffect

X = np.random.default_rng(3).normal(size=(1, 4, 6, 8)).astype(np.float32)
WEIGHTS = {
    "own": np.array([1, 4, 6, 8]), "other": np.array([1, 4, 8, 6]), "zeros": np.zeros(8, np.int64),
    "around": np.array([0, 0, -1, 0, 0, 0, 1, 0]), "first": np.array([0]),
    "last": np.array([-1]), "far": np.array([99]),
    "back": np.array([-99]), "width": np.array([3]), "one": np.array([1]), "ones": np.array([1] * 4),

}  # fmt: skip

NOTHING = {
    "Reshape": "y = Reshape (x, own)",
    "Expand": "y = Expand (x, own)",
    "Tile": "y = Tile (x, ones)",
    "Pad": "y = Pad (x, zeros)",
    "Slice": "y = Slice (x, first, far, width)",
    "Slice by steps": "y = Slice (x, first, far, width, one)",
    "Transpose": "y = Transpose <perm = [0, 1, 2, 3]> (x)",
    "Concat": "y = Concat <axis = 1> (x)",
    "Split": "y = Split <axis = 1, num_outputs = 1> (x)",
    "Max": "y = Max (x)",
}
SOMETHING = {
    "Reshape": "y = Reshape (x, other)",
    "Pad": "y = Pad (x, around)",
    "Slice": "y = Slice (x, last, back, width, last)",
    "Transpose": "y = Transpose <perm = [0, 1, 3, 2]> (x)",
    "Concat": "y = Concat <axis = 1> (x, x)",
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_does_nothing_goes(name: str) -> None:
    model = graph(f"{NOTHING[name].replace('y =', 'a =')}\n y = Relu (a)", weights=WEIGHTS)
    made = copy(model)
    (applied,) = apply_all(made, [NoEffect()])
    assert operators(made) == ["Relu"]
    assert all(name.split()[0] in layer for layer in applied.layers)
    np.testing.assert_array_equal(run(checked(made), {"x": X})[0], run(model, {"x": X})[0])


@pytest.mark.parametrize("name", SOMETHING)
def test_what_does_something_stays(name: str) -> None:
    model = graph(SOMETHING[name], weights=WEIGHTS)
    assert apply_all(model, [NoEffect()]) == ()
