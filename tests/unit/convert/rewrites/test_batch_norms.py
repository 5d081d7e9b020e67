"""Batch norms in convolutions and by themselves, with statistics that FP16 does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewritten import (
    differences,
    graph_of,
    layer,
    on_device,
    operators_of,
    random_inputs,
    relative_error,
    rewritten,
    run,
)

from oakpoint.convert.rewrites.fp16 import Fp16
from oakpoint.convert.rewrites.operators.batch_norms import BatchNorms


def statistics(rng: np.random.Generator, channels: int, spread: float = 1.0) -> dict[str, Any]:
    """Scale, bias, mean and variance of a norm of values as large as ``spread``."""
    values = (0.5 + rng.random(channels), rng.normal(size=channels), spread * rng.normal(size=channels),
              spread**2 * (0.5 + rng.random(channels)))  # fmt: skip
    return dict(zip(("s", "b", "m", "v"), (array.astype(np.float32) for array in values), strict=True))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["Conv", "ConvTranspose"]),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
    st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_norms_go_into_convolutions(seed: int, operator: str, group: int, biased: bool, spread: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (8, 8 // group, 3, 3)
    constants = {"w": rng.normal(0, 0.2, shape).astype(np.float32), **statistics(rng, 8, spread)}
    if biased:
        constants["c"] = rng.normal(size=8).astype(np.float32)
    convolution = layer(operator, "x w c" if biased else "x w", "h", group=group)
    model = graph_of([convolution, layer("BatchNormalization", "h s b m v")], {"x": (1, 8, 6, 5)}, constants)
    assert operators_of(rewritten(model, BatchNorms())[0]) == [operator]
    inputs = random_inputs(model, rng, spread)
    assert differences(model, BatchNorms(), inputs)["y"] < BatchNorms.tolerance


@pytest.mark.parametrize("shape", [(2, 6), (1, 6, 4), (1, 6, 4, 5)])
def test_a_norm_by_itself_is_a_factor_and_an_offset(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    model = graph_of([layer("BatchNormalization", "x s b m v")], {"x": shape}, statistics(rng, 6))
    assert operators_of(rewritten(model, BatchNorms())[0]) == ["Mul", "Add"]
    assert differences(model, BatchNorms(), random_inputs(model, rng))["y"] < BatchNorms.tolerance


def test_what_others_read_stays_as_it_is(rng: np.random.Generator) -> None:
    weights = {"w": rng.normal(size=(6, 6, 1, 1)).astype(np.float32), **statistics(rng, 6)}
    norm, conv = layer("BatchNormalization", "h s b m v"), layer("Conv", "x w", "h")
    cases = {
        "the convolution is added as well": ([conv, norm, layer("Add", "h y", "z")], ("z",)),
        "it is an output as well": ([conv, norm], ("y", "h")),
        "its weights serve another one": ([conv, norm, layer("Conv", "y w", "z")], ("z",)),
        "two norms in a row": ([conv, norm, layer("BatchNormalization", "y s b m v", "z")], ("z",)),
    }
    for name, (layers, outputs) in cases.items():
        model = graph_of(layers, {"x": (1, 6, 4, 4)}, weights, outputs)
        for value in differences(model, BatchNorms(), random_inputs(model, rng)).values():
            assert value < BatchNorms.tolerance, name


def test_a_norm_of_computed_statistics_is_left_alone(rng: np.random.Generator) -> None:
    model = graph_of([layer("Relu", "x")], {"x": (1, 6, 4, 4)}, statistics(rng, 6))
    assert rewritten(model, BatchNorms())[1] == ()
    computed = graph_of(
        [layer("Relu", "t", "w"), layer("BatchNormalization", "x s b m w")],
        {"x": (1, 6, 4, 4), "t": (6,)},
        statistics(rng, 6),
    )
    assert operators_of(rewritten(computed, BatchNorms())[0]) == ["Relu", "BatchNormalization"]


@pytest.mark.compiler
def test_variances_beyond_fp16_come_out_right_on_the_device(tmp_path: Path, rng: np.random.Generator) -> None:
    layers = [layer("Conv", "x w", "h"), layer("BatchNormalization", "h s b m v"), layer("Relu", "y", "r"),
              layer("Concat", "r x", "j", axis=1), layer("BatchNormalization", "j s2 b2 m2 v2", "z")]  # fmt: skip
    of_both = {f"{name}2": values for name, values in statistics(rng, 16, 30.0).items()}
    constants = {"w": 1e3 * rng.normal(size=(8, 8, 1, 1)).astype(np.float32), **statistics(rng, 8, 8e3), **of_both}
    model = graph_of(layers, {"x": (1, 8, 6, 8)}, constants, ("z",))
    assert constants["v"].max() > np.finfo(np.float16).max
    inputs = random_inputs(model, rng)
    found = on_device(model, (BatchNorms(),), inputs, tmp_path)
    assert relative_error(found["z"], run(model, inputs)["z"]) < 3e-3
    assert Fp16().apply(rewritten(model, BatchNorms())[0])
