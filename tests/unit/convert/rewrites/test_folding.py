"""What follows from constants and sizes becomes a number, and no other number than the runtime's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graphs import checked, copy, graph, operators, run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake import folding
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers
from oakpoint.convert.rewrites.intake.sizes import FixedShapes

OPEN = "float[n, 4, h, w] x"
HALF = {"half": np.array(0.5, np.float32)}

SIZE_ARITHMETIC = """
s = Shape (x)
one = Constant <value_ints = [1]> ()
rest = Constant <value_ints = [-1]> ()
axis = Constant <value_ints = [2]> ()
h = Gather <axis = 0> (s, axis)
f = Cast <to = 1> (h)
g = Mul (f, half)
c = Ceil (g)
k = Cast <to = 7> (c)
shape = Concat <axis = 0> (one, k, rest)
y = Reshape (x, shape)
"""

GRID = """
s = Shape <start = 2> (x)
zero = Constant <value_int = 0> ()
one = Constant <value_int = 1> ()
h, w = Split <axis = 0, num_outputs = 2> (s)
hh = Squeeze (h)
ww = Squeeze (w)
rows = Range (zero, hh, one)
columns = Range (zero, ww, one)
last = Constant <value_ints = [-1, 1]> ()
upright = Reshape (rows, last)
ones = ConstantOfShape <value: tensor = int64[1] {1}> (s)
grid = Mul (upright, ones)
across = Add (grid, columns)
f = Cast <to = 1> (across)
y = Add (x, f)
"""

EXPANDED = """
s = Shape (x)
is = Equal (s, s)
ones = ConstantOfShape <value: tensor = int64[1] {1}> (four)
wanted = Where (is, s, ones)
bias = Expand (half, wanted)
y = Add (x, bias)
"""

DECIDED = """
s = Shape (x)
axis = Constant <value_ints = [2]> ()
h = Gather <axis = 0> (s, axis)
limit = Constant <value_ints = [6]> ()
small = Less (h, limit)
small1 = Squeeze (small)
y = If (small1) <
  then_branch = a () => (float[?, 4, ?, ?] t) { two = Constant <value_float = 2.0> () t = Mul (x, two) },
  else_branch = b () => (float[?, 4, ?, ?] e) { two = Constant <value_float = 3.0> () k = Mul (x, two) e = Relu (k) }
>
"""

NON_ZERO = """
mask = Constant <value: tensor = float[4] {0, 1, 0, 2}> ()
found = NonZero (mask)
which = Squeeze (found)
y = Gather <axis = 1> (x, which)
"""

BODIES = {
    "sizes": (SIZE_ARITHMETIC, ["Reshape"]),
    "a grid": (GRID, ["Add"]),
    "expanded": (EXPANDED, ["Add"]),
    "decided by size": (DECIDED, None),
    "of constants": (NON_ZERO, ["Gather"]),
}


def folded(body: str, size: tuple[int, ...]) -> tuple:
    model = graph(body, inputs=OPEN, weights=HALF | {"four": np.array([4])})
    made = copy(model)
    journal = apply_all(made, (Initialisers(), FixedShapes({"x": size}), FoldedConstants()))
    return model, made, journal


@pytest.mark.parametrize("name", BODIES)
@given(height=st.integers(2, 9), width=st.integers(2, 9), seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_same_values_with_nothing_left_to_work_out(name: str, height: int, width: int, seed: int) -> None:
    body, left = BODIES[name]
    size = (1, 4, height, width)
    assume(name != "sizes" or math.prod(size) % math.ceil(height / 2) == 0)  # the network itself takes no others
    model, made, _ = folded(body, size)
    assert operators(made) == (left if left is not None else ["Mul"] if height < 6 else ["Mul", "Relu"])
    checked(made)
    x = {"x": np.random.default_rng(seed).normal(size=size).astype(np.float32)}
    np.testing.assert_array_equal(run(made, x)[0], run(model, x)[0])


def test_weights_and_layers_stay_as_they_are() -> None:
    weights = {"w": np.random.default_rng(1).normal(size=(2, 4, 1, 1)).astype(np.float32), **HALF}
    model = graph("z = Conv (x, w)\n a = Add (half, half)\n y = Mul (z, a)", weights=weights)
    name = model.graph.node[0].name
    journal = apply_all(model, [FoldedConstants()])
    assert [applied.layers for applied in journal] == [("layer 'Add_1' (Add)",)]
    kept = {tensor.name: tensor for tensor in model.graph.initializer}
    assert kept["w"].raw_data == weights["w"].tobytes()
    assert numpy_helper.to_array(kept["a"]) == 1
    assert model.graph.node[0].name == name


def test_where_nothing_follows_nothing_is_touched() -> None:
    model = graph("y = Mul (x, half)", weights=HALF)
    before = model.SerializeToString(deterministic=True)
    assert apply_all(model, [FoldedConstants()]) == ()
    assert model.SerializeToString(deterministic=True) == before


def test_an_output_that_is_constant_still_comes_from_a_layer() -> None:
    model = graph("y = Relu (x)\n k = Add (half, half)", outputs="float y, float k", weights=HALF)
    apply_all(model, [FoldedConstants()])
    assert operators(checked(model)) == ["Relu", "Identity"]
    assert run(model, {"x": np.zeros((1, 4, 6, 8), np.float32)})[1] == 1


def test_random_numbers_are_no_constants() -> None:
    model = graph("r = RandomUniformLike (half)\n y = Add (x, r)", weights=HALF)
    assert apply_all(model, [FoldedConstants()]) == ()


def test_no_constant_larger_than_a_file_may_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "MAX_ELEMENTS", 100)
    weights = {"huge": np.array([11, 11]), "small": np.array([5, 5])}
    model = graph("a = ConstantOfShape (huge)\n b = ConstantOfShape (small)\n y = ReduceSum (a)\n z = ReduceSum (b)",
                  outputs="float y, float z", weights=weights)  # fmt: skip
    apply_all(model, [FoldedConstants()])
    assert operators(model) == ["ConstantOfShape", "ReduceSum", "Identity"]


def test_an_operator_that_the_runtime_lacks_is_no_reason_to_leave_the_others() -> None:
    model = graph("a = Add (half, half)\n b = Unknown (half)\n c = Add (x, a)\n y = Add (c, a)", weights=HALF, opset=18)
    model.graph.node[1].CopyFrom(model.graph.node[0])
    model.graph.node[1].output[0], model.graph.node[1].op_type = "b", "StringNormalizer"  # of a float: no such kernel
    model.graph.node[3].input[1] = "b"
    apply_all(model, [FoldedConstants()])
    assert operators(model) == ["StringNormalizer", "Add", "Add"]


def test_it_is_the_same_each_time() -> None:
    first, second = (folded(GRID, (1, 4, 5, 7))[1].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
