"""Operators that ONNX defines by others compute the same when spelt out, in words that the compiler takes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import checked, copy, graph, operators, run
from hypothesis import given, settings
from hypothesis import strategies as st

from oakpoint.convert.compatibility import TAKEN
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.opset.functions import SpeltOut
from oakpoint.convert.rewrites.opset.later_forms import LaterForms
from oakpoint.convert.rewrites.opset.opset import DeviceOpset
from oakpoint.convert.rewrites.opset.reductions import ReductionAxes

RNG = np.random.default_rng(5)
WEIGHTS = {
    "last": RNG.normal(size=8).astype(np.float32),
    "within": RNG.normal(size=(6, 8)).astype(np.float32),
    "channels": RNG.normal(size=4).astype(np.float32),
    "groups": RNG.normal(size=2).astype(np.float32),
    "whole": np.array([1], np.int64),
}
KEPT = TAKEN | {"HardSigmoid", "Abs"}  # the last two are other rewrites' matter

CASES = {
    "HardSwish": (14, "y = HardSwish (x)"),
    "HardSwish, later": (22, "y = HardSwish (x)"),
    "Mish": (18, "y = Mish (x)"),
    "Celu": (13, "y = Celu <alpha = 0.5> (x)"),
    "Celu, later": (18, "y = Celu (x)"),
    "Selu before it had a body": (13, "y = Selu (x)"),
    "Selu": (22, "y = Selu <alpha = 1.5> (x)"),
    "Softsign": (13, "y = Softsign (x)"),
    "Gelu": (20, "y = Gelu (x)"),
    "Gelu by tanh": (20, 'y = Gelu <approximate = "tanh"> (x)'),
    "CastLike": (15, "y = CastLike (x, last)"),
    "LayerNormalization": (17, "y = LayerNormalization (x, last, last)"),
    "LayerNormalization of two axes": (17, "y = LayerNormalization <axis = 2, epsilon = 0.01> (x, within)"),
    "GroupNormalization by group": (18, "y = GroupNormalization <num_groups = 2> (x, groups, groups)"),
    "GroupNormalization": (21, "y = GroupNormalization <num_groups = 2> (x, channels, channels)"),
    "RMSNormalization": (23, "y = RMSNormalization (x, last)"),
    "MeanVarianceNormalization": (13, "y = MeanVarianceNormalization (x)"),
    "MeanVarianceNormalization of an axis": (18, "y = MeanVarianceNormalization <axes = [1]> (x)"),
    "one within another": (20, "a = Mish (x)\n b = Gelu (a)\n y = HardSwish (b)"),
    "Attention": (23, "q = Reshape (x, s)\n y = Attention (q, q, q)"),
}


@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=4, deadline=None)
def test_the_same_when_spelt_out(name: str, seed: int, scale: float) -> None:
    opset, body = CASES[name]
    model = graph(body, opset=opset, weights=WEIGHTS | {"s": np.array([1, 4, 6, 8])}, ir_version=10)
    made = copy(model)
    apply_all(
        made, (FoldedConstants(), SpeltOut(KEPT), FoldedConstants(), LaterForms(), ReductionAxes(), DeviceOpset())
    )
    assert KEPT.issuperset(operators(made))
    assert not {"Shape", "Size", "CastLike", "Cast"}.intersection(operators(made)), "its sizes and types are known"
    x = np.random.default_rng(seed).normal(0, scale, (1, 4, 6, 8)).astype(np.float32)
    expected, got = run(model, {"x": x})[0], run(checked(made), {"x": x})[0]
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5 * max(1, scale))


def test_the_layers_are_told_and_others_stay() -> None:
    model = graph("a = Relu (x)\n b = Mish (a)\n y = Elu (b)", opset=18)
    journal = apply_all(model, [SpeltOut(KEPT)])
    assert [(applied.rewrite, applied.layers) for applied in journal] == [("functions", ("layer 'Mish_1' (Mish)",))]
    assert operators(model)[0] == "Relu"
    assert operators(model)[-1] == "Elu"


def test_names_do_not_clash() -> None:
    body = "\n".join(f"x{n + 1} = Mish (x{n})" for n in range(3))
    model = graph(f"x0 = Relu (x)\n{body}\n y = Mish (x3)", opset=18)
    apply_all(model, [SpeltOut(KEPT)])
    names = [name for node in model.graph.node for name in node.output]
    assert len(names) == len(set(names))
    checked(model)


def test_a_body_that_is_a_loop_is_no_help() -> None:
    model = graph("r = Range (a, b, c)\n y = Add (x, r)", inputs="float[1] x, float a, float b, float c", opset=18)
    assert apply_all(model, [SpeltOut(KEPT)]) == ()


def test_a_layer_of_unknown_type_is_left() -> None:
    model = graph("b = Relu (x)\n y = Mish (b)", opset=18)
    model.graph.node[0].domain = "unknown"
    model.opset_import.append(onnx.helper.make_opsetid("unknown", 1))
    del model.graph.value_info[:]
    assert apply_all(model, [SpeltOut(KEPT)]) == ()
