"""Softmaxes, products and norms that are written in other operators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten, run

from oakpoint.convert.rewrites.operators.channel_reductions import ChannelReductions
from oakpoint.convert.rewrites.operators.instance_norm import InstanceNorm
from oakpoint.convert.rewrites.operators.log_softmax import LogSoftmaxAxis, LogSumExp, SoftmaxAxis
from oakpoint.convert.rewrites.operators.lp_normalization import LpNormalization
from oakpoint.convert.rewrites.operators.reduce_l2 import ReduceL2
from oakpoint.convert.rewrites.operators.reduce_prod import ReduceProd
from oakpoint.convert.rewrites.operators.row_reductions import WINDOW, RowReductions

SHAPES = array_shapes(min_dims=1, max_dims=5, max_side=5)
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=25)
@given(shape=SHAPES, data=st.data(), seed=SEEDS)
def test_log_softmax_over_any_axis(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    model = graph_of([layer("LogSoftmax", "x", axis=axis)], {"x": shape})
    inputs = random_inputs(model, np.random.default_rng(seed), spread=20)
    assert differences(model, LogSoftmaxAxis(), inputs)["y"] < 1e-6
    assert "LogSoftmax" not in operators_of(rewritten(model, LogSoftmaxAxis())[0])


@st.composite
def reductions(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, object]]:
    shape = draw(array_shapes(min_dims=0, max_dims=4, max_side=7))
    axes = draw(st.lists(st.sampled_from(range(-len(shape), 0)), unique=True)) if shape else []
    return shape, {"keepdims": int(draw(st.booleans())), **({"axes": axes} if axes else {})}


@settings(max_examples=25)
@given(reduction=reductions(), seed=SEEDS)
def test_log_sum_exp(reduction: tuple[tuple[int, ...], dict[str, object]], seed: int) -> None:
    shape, attributes = reduction
    model = graph_of([layer("ReduceLogSumExp", "x", **attributes)], {"x": shape})
    inputs = random_inputs(model, np.random.default_rng(seed), spread=5)
    assert differences(model, LogSumExp(), inputs)["y"] < 1e-5


def test_log_sum_exp_of_large_values_needs_no_large_number() -> None:
    model = graph_of([layer("ReduceLogSumExp", "x", axes=[1])], {"x": (1, 3)})
    after = rewritten(model, LogSumExp())[0]
    found = run(after, {"x": np.array([[200, 200, -200]], np.float32)})["y"]
    np.testing.assert_allclose(found, [[200 + np.log(2)]], rtol=1e-6)


@settings(max_examples=25)
@given(reduction=reductions(), seed=SEEDS)
def test_products(reduction: tuple[tuple[int, ...], dict[str, object]], seed: int) -> None:
    shape, attributes = reduction
    model = graph_of([layer("ReduceProd", "x", **attributes)], {"x": shape})
    inputs = random_inputs(model, np.random.default_rng(seed))
    assert differences(model, ReduceProd(), inputs)["y"] < 1e-5


@settings(max_examples=25)
@given(
    shape=array_shapes(min_dims=3, max_dims=5, min_side=1, max_side=5),
    epsilon=st.sampled_from([1e-5, 1e-3, 0.5]),
    computed=st.booleans(),
    seed=SEEDS,
)
def test_instance_norm(shape: tuple[int, ...], epsilon: float, computed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(1, 0.5, shape[1]).astype(np.float32) for name in ("scale", "bias")}
    sizes = {"x": shape, **(dict.fromkeys(weights, (shape[1],)) if computed else {})}
    layers = [layer("InstanceNormalization", "x scale bias", epsilon=epsilon)]
    model = graph_of(layers, sizes, {} if computed else weights)
    inputs = random_inputs(model, rng) | (weights if computed else {})
    assert differences(model, InstanceNorm(), inputs)["y"] < 1e-4


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_instance_norm_is_exact_for_faint_and_strong_maps(spread: float) -> None:
    weights = {"scale": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}
    model = graph_of([layer("InstanceNormalization", "x scale bias")], {"x": (1, 3, 8, 8)}, weights)
    inputs = random_inputs(model, np.random.default_rng(0), spread)
    assert differences(model, InstanceNorm(), inputs)["y"] < 1e-5


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4, 5)])
def test_a_softmax_says_its_axis(operator: str, shape: tuple[int, ...]) -> None:
    model = graph_of([layer(operator, "x")], {"x": shape})
    assert differences(model, SoftmaxAxis(), random_inputs(model, np.random.default_rng(0)))["y"] == 0
    (node,) = rewritten(model, SoftmaxAxis())[0].graph.node
    assert node.attribute[0].i == len(shape) - 1


@settings(max_examples=25)
@given(shape=SHAPES, p=st.sampled_from([1, 2]), data=st.data(), seed=SEEDS)
def test_lp_normalization(shape: tuple[int, ...], p: int, data: st.DataObject, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    model = graph_of([layer("LpNormalization", "x", p=p, axis=axis)], {"x": shape})
    assert differences(model, LpNormalization(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-3
    zeros = {"x": np.zeros(shape, np.float32)}
    assert (run(rewritten(model, LpNormalization())[0], zeros)["y"] == 0).all()


@settings(max_examples=25)
@given(reduction=reductions(), seed=SEEDS)
def test_norms_by_means(reduction: tuple[tuple[int, ...], dict[str, object]], seed: int) -> None:
    shape, attributes = reduction
    model = graph_of([layer("ReduceL2", "x", **attributes)], {"x": shape})
    assert differences(model, ReduceL2(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-6


@settings(max_examples=40)
@given(
    operator=st.sampled_from(["ReduceMean", "ReduceSum", "ReduceMax"]),
    shape=array_shapes(min_dims=4, max_dims=4, max_side=7),
    axes=st.sampled_from([[1], [-3], [1, 2, 3], [2, 3], [1, 3], None]),
    keep=st.integers(0, 1),
    seed=SEEDS,
)
def test_reductions_over_channels(
    operator: str, shape: tuple[int, ...], axes: list[int] | None, keep: int, seed: int
) -> None:
    if operator == "ReduceSum" and axes:
        model = graph_of([layer(operator, "x a", keepdims=keep)], {"x": shape}, {"a": np.array(axes)})
    else:
        model = graph_of([layer(operator, "x", keepdims=keep, **({"axes": axes} if axes else {}))], {"x": shape})
    inputs = random_inputs(model, np.random.default_rng(seed))
    assert differences(model, ChannelReductions(), inputs)["y"] < 1e-5


def test_reductions_over_channels_make_no_pool() -> None:
    for operator, left in (("ReduceMean", ["Conv", "Mul"]), ("ReduceMax", ["Slice", "Slice", "Max"] * 2)):
        model = graph_of([layer(operator, "x", axes=[1])], {"x": (1, 3, 4, 5)})
        assert operators_of(rewritten(model, ChannelReductions())[0]) == left
    model = graph_of([layer("ReduceMean", "x", axes=[1])], {"x": (1, 4, 4, 5)})
    assert operators_of(rewritten(model, ChannelReductions())[0]) == ["Conv"]


def test_an_epsilon_after_a_mean_of_squares_becomes_no_bias() -> None:
    layers = [layer("Mul", "x x", "q"), layer("ReduceMean", "q", axes=[1])]
    model = graph_of(layers, {"x": (1, 4, 4, 5)})
    assert operators_of(rewritten(model, ChannelReductions())[0]) == ["Mul", "Conv", "Relu"]
    assert differences(model, ChannelReductions(), random_inputs(model, np.random.default_rng(0)))["y"] < 1e-6


@settings(max_examples=40)
@given(
    operator=st.sampled_from(["ReduceMean", "ReduceSum", "ReduceMax"]),
    rows=array_shapes(min_dims=1, max_dims=2, max_side=5),
    length=st.integers(1, WINDOW + 2),
    axis=st.sampled_from([-1, 0]),
    keep=st.integers(0, 1),
    seed=SEEDS,
)
def test_reductions_of_rows(operator: str, rows: tuple[int, ...], length: int, axis: int, keep: int, seed: int) -> None:
    shape = (*rows, length)
    if operator == "ReduceSum":
        model = graph_of([layer(operator, "x a", keepdims=keep)], {"x": shape}, {"a": np.array([axis])})
    else:
        model = graph_of([layer(operator, "x", keepdims=keep, axes=[axis])], {"x": shape})
    assert differences(model, RowReductions(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-6
    taken = axis == -1 and length <= WINDOW
    assert bool(rewritten(model, RowReductions())[1]) == taken
