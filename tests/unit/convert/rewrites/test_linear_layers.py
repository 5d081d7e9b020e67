"""Linear layers as convolutions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten

from oakpoint.convert.rewrites.operators.linear_layers import LinearLayers

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(shape=array_shapes(max_dims=5, max_side=6), width=st.integers(1, 5), bias=st.sampled_from(["", "a b", "b a"]),
       seed=SEEDS)  # fmt: skip
def test_products_of_rows(shape: tuple[int, ...], width: int, bias: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    constants = {"w": rng.normal(0, 1, (shape[-1], width)).astype(np.float32)}
    layers = [layer("MatMul", "x w", "a" if bias else "y")]
    if bias:
        constants["b"] = rng.normal(0, 1, width).astype(np.float32)
        layers.append(layer("Add", bias))
    model = graph_of(layers, {"x": shape}, constants)
    assert differences(model, LinearLayers(), random_inputs(model, rng))["y"] < 1e-5
    many = len(shape) > 1 and np.prod(shape[:-1]) > 4
    assert ("Conv" in operators_of(rewritten(model, LinearLayers())[0])) == many
    assert ("Add" in operators_of(rewritten(model, LinearLayers())[0])) == (bool(bias) and not many)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 8),
    transposed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    bias=st.sampled_from([None, (), (1,), (3,), (1, 3), (1, 1)]),
    factors=st.tuples(st.sampled_from([1.0, 0.5]), st.sampled_from([1.0, 2.0])),
    seed=SEEDS,
)
def test_gemm(
    rows: int,
    transposed: tuple[int, int],
    bias: tuple[int, ...] | None,
    factors: tuple[float, float],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    constants = {"w": rng.normal(0, 1, (3, 4) if transposed[1] else (4, 3)).astype(np.float32)}
    if bias is not None:
        constants["c"] = rng.normal(0, 1, bias).astype(np.float32)
    attributes = {"transA": transposed[0], "transB": transposed[1], "alpha": factors[0], "beta": factors[1]}
    layers = [layer("Gemm", "x w" + " c" * (bias is not None), **attributes)]
    model = graph_of(layers, {"x": (4, rows) if transposed[0] else (rows, 4)}, constants)
    assert differences(model, LinearLayers(), random_inputs(model, rng))["y"] < 1e-5


@pytest.mark.parametrize("outputs", [("y", "a"), ("y", "z")])
def test_a_product_that_is_used_twice_keeps_its_sum(outputs: tuple[str, ...]) -> None:
    layers = [layer("MatMul", "x w", "a"), layer("Add", "a b"), layer("Relu", "a", "z")]
    constants = {"w": np.ones((3, 2), np.float32), "b": np.ones(2, np.float32)}
    model = graph_of(layers, {"x": (6, 3)}, constants, outputs)
    found = differences(model, LinearLayers(), random_inputs(model, np.random.default_rng(0)))
    assert max(found.values()) < 1e-6


def test_products_of_two_computed_tensors_stay() -> None:
    model = graph_of([layer("MatMul", "x z")], {"x": (6, 3), "z": (3, 4)})
    assert rewritten(model, LinearLayers()) == (model, ())
