"""Rewrites of operators that move values or compare them: every bit stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from onnx import TensorProto
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten

from oakpoint.convert.rewrites.intake.empty_tensors import EmptyTensors
from oakpoint.convert.rewrites.intake.spare_inputs import SpareInputs
from oakpoint.convert.rewrites.operators.broadcast_ranks import BroadcastRanks
from oakpoint.convert.rewrites.operators.cum_sum import CumSum
from oakpoint.convert.rewrites.operators.element_indices import ElementIndices
from oakpoint.convert.rewrites.operators.hardmax import Hardmax
from oakpoint.convert.rewrites.operators.one_hot import OneHot
from oakpoint.convert.rewrites.operators.pad import PadForms
from oakpoint.convert.rewrites.operators.scalars import Scalars
from oakpoint.convert.rewrites.operators.truth_values import TruthValues
from oakpoint.errors import UnsupportedNetworkError

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(
    shape=array_shapes(max_dims=5, min_side=3, max_side=5),
    mode=st.sampled_from(["constant", "reflect", "edge"]),
    data=st.data(),
    seed=SEEDS,
)
def test_pads_of_any_axis(shape: tuple[int, ...], mode: str, data: st.DataObject, seed: int) -> None:
    lowest = -1 if mode == "constant" else 0
    pads = data.draw(st.lists(st.integers(lowest, 2), min_size=2 * len(shape), max_size=2 * len(shape)))
    model = graph_of([layer("Pad", "x p v", mode=mode)], {"x": shape}, {"p": np.array(pads), "v": np.float32(7)})
    assert differences(model, PadForms(), random_inputs(model, np.random.default_rng(seed)))["y"] == 0


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 5)])
def test_pads_of_images_stay(shape: tuple[int, ...]) -> None:
    pads = np.array([*([0] * (len(shape) - 2)), 1, 2, *([0] * (len(shape) - 2)), 2, 1])
    model = graph_of([layer("Pad", "x p", mode="reflect")], {"x": shape}, {"p": pads})
    assert rewritten(model, PadForms()) == (model, ())


@settings(max_examples=25)
@given(shape=array_shapes(max_dims=4, max_side=5), data=st.data(), seed=SEEDS)
def test_indices_that_count_from_the_end(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    rng = np.random.default_rng(seed)
    indices = rng.integers(-size, size, data.draw(array_shapes(min_dims=0, max_dims=2, max_side=3)))
    model = graph_of([layer("Gather", "x i", axis=axis)], {"x": shape}, {"i": indices})
    assert differences(model, ElementIndices(), random_inputs(model, rng))["y"] == 0
    whole = rng.integers(-size, size, shape)
    model = graph_of([layer("GatherElements", "x i", axis=axis)], {"x": shape}, {"i": whole})
    assert differences(model, ElementIndices(), random_inputs(model, rng))["y"] == 0


@settings(max_examples=25)
@given(
    shape=array_shapes(max_dims=4, max_side=5),
    exclusive=st.booleans(),
    reverse=st.booleans(),
    data=st.data(),
    seed=SEEDS,
)
def test_running_sums(shape: tuple[int, ...], exclusive: bool, reverse: bool, data: st.DataObject, seed: int) -> None:
    axis = np.array(data.draw(st.integers(-len(shape), len(shape) - 1)))
    layers = [layer("CumSum", "x a", exclusive=int(exclusive), reverse=int(reverse))]
    model = graph_of(layers, {"x": shape}, {"a": axis})
    assert differences(model, CumSum(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-6


@settings(max_examples=25)
@given(shape=array_shapes(max_dims=4, max_side=5), data=st.data(), seed=SEEDS)
def test_hardmax_takes_the_first_of_equal_ones(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    model = graph_of([layer("Hardmax", "x", axis=axis)], {"x": shape})
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)
    assert differences(model, Hardmax(), {"x": x})["y"] == 0


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1)])
def test_one_element_of_no_dimension(shape: tuple[int, ...]) -> None:
    squeezed = graph_of([layer("Squeeze", "x")], {"x": shape})
    reshaped = graph_of([layer("Reshape", "x s")], {"x": shape}, {"s": np.zeros(0, np.int64)})
    for model in (squeezed, reshaped):
        assert differences(model, Scalars(), {"x": np.full(shape, -3, np.float32)})["y"] == 0
        assert operators_of(rewritten(model, Scalars())[0]) == ["Reshape"] * (len(shape) > 1) + ["Gather"]


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMean", "ReduceL2", "ReduceSum"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 2, 3, 4)])
def test_what_a_reduction_leaves_of_everything(operator: str, shape: tuple[int, ...]) -> None:
    model = graph_of([layer(operator, "x", keepdims=0)], {"x": shape})
    assert differences(model, Scalars(), random_inputs(model, np.random.default_rng(0)))["y"] == 0
    assert rewritten(model, Scalars())[1]


@settings(max_examples=25)
@given(
    shape=array_shapes(min_dims=5, max_dims=5, max_side=3),
    operator=st.sampled_from(["Add", "Sub", "Mul", "Max", "Sum"]),
    constant=st.booleans(),
    data=st.data(),
    seed=SEEDS,
)
def test_broadcasting_to_five_dimensions(
    shape: tuple[int, ...], operator: str, constant: bool, data: st.DataObject, seed: int
) -> None:
    rank = data.draw(st.integers(0, 5))
    other = tuple(size if data.draw(st.booleans()) else 1 for size in shape)[5 - rank :]
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1, other).astype(np.float32)
    model = graph_of(
        [layer(operator, "x z")], {"x": shape} | ({} if constant else {"z": other}), {"z": z} if constant else {}
    )
    assert differences(model, BroadcastRanks(), random_inputs(model, rng))["y"] == 0
    assert ("Unsqueeze" in operators_of(rewritten(model, BroadcastRanks())[0])) == (rank in (3, 4))


OPERATORS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


@settings(max_examples=40)
@given(operator=st.sampled_from(OPERATORS), kind=st.sampled_from([1, 6, 7]), seed=SEEDS)
def test_comparisons(operator: str, kind: int, seed: int) -> None:
    layers = [layer("Cast", "x", "a", to=kind), layer("Cast", "z", "b", to=kind), layer(operator, "a b", "t"),
              layer("Cast", "t", to=TensorProto.FLOAT)]  # fmt: skip
    model = graph_of(layers, {"x": (20,), "z": (20,)})
    rng = np.random.default_rng(seed)
    inputs = {name: rng.integers(-2, 3, 20).astype(np.float32) for name in "xz"}
    assert differences(model, TruthValues(), inputs)["y"] == 0
    left = set(operators_of(rewritten(model, TruthValues())[0]))
    assert not left & {"GreaterOrEqual", "LessOrEqual"}


@pytest.mark.parametrize("operator", ["And", "Or", "Xor"])
def test_logic_of_numbers_as_truth_values(operator: str) -> None:
    layers = [layer("Cast", "x", "a", to=TensorProto.BOOL), layer("Cast", "z", "b", to=TensorProto.BOOL),
              layer(operator, "a b", "t"), layer("Cast", "t", to=TensorProto.FLOAT)]  # fmt: skip
    model = graph_of(layers, {"x": (4,), "z": (4,)})
    inputs = {"x": np.array([0, 0, 0.25, -3], np.float32), "z": np.array([0, 7, 0, 1], np.float32)}
    assert differences(model, TruthValues(), inputs)["y"] == 0
    assert not set(operators_of(rewritten(model, TruthValues())[0])) & {"Or", "Xor"}


def test_whole_numbers_far_apart_are_still_told_apart() -> None:
    layers = [layer("Cast", "x", "a", to=TensorProto.INT32), layer("Greater", "a c", "t"),
              layer("Cast", "t", to=TensorProto.FLOAT)]  # fmt: skip
    model = graph_of(layers, {"x": (3,)}, {"c": np.int32(40001)})
    inputs: dict[str, Any] = {"x": np.array([40000, 40001, 40002], np.float32)}
    assert differences(model, TruthValues(), inputs)["y"] == 0


@settings(max_examples=20)
@given(shape=array_shapes(max_dims=3, max_side=4), data=st.data(), seed=SEEDS)
def test_one_hot(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    axis, values = data.draw(st.integers(-len(shape) - 1, len(shape))), data.draw(st.sampled_from([(0, 1), (5, -2)]))
    layers = [layer("Cast", "x", "i", to=TensorProto.INT64), layer("OneHot", "i d v", axis=axis)]
    constants = {"d": np.int64(5), "v": np.array(values, np.float32)}
    model = graph_of(layers, {"x": shape}, constants)
    x = np.random.default_rng(seed).integers(-7, 7, shape).astype(np.float32)
    assert differences(model, OneHot(), {"x": x})["y"] == 0


def test_parts_without_elements_are_left_out() -> None:
    layers = [layer("Split", "x s", "a b c", axis=1), layer("Neg", "a", "d"), layer("Concat", "d b c", axis=1)]
    model = graph_of(layers, {"x": (1, 4)}, {"s": np.array([3, 0, 1])})
    assert differences(model, EmptyTensors(), {"x": np.arange(4, dtype=np.float32)[np.newaxis]})["y"] == 0
    assert [len(node.output) for node in rewritten(model, EmptyTensors())[0].graph.node] == [2, 1, 1]
    whole = graph_of(layers, {"x": (1, 4)}, {"s": np.array([4, 0, 0])})
    assert operators_of(rewritten(whole, EmptyTensors())[0]) == ["Identity", "Neg", "Concat"]


def test_other_tensors_without_elements_are_findings() -> None:
    layers = [layer("Slice", "x z z", "a"), layer("Relu", "a")]
    model = graph_of(layers, {"x": (4,)}, {"z": np.array([0])})
    with pytest.raises(UnsupportedNetworkError, match=r"'layer_a' \(Slice\): one of its tensors has no elements"):
        rewritten(model, EmptyTensors())


def test_inputs_that_are_left_out_at_the_end_are_not_named() -> None:
    model = graph_of(
        [
            layer("Pad", "x p -"),
        ],
        {"x": (1, 2, 3)},
        {"p": np.array([0, 0, 1, 0, 0, 1])},
    )
    assert [list(node.input) for node in rewritten(model, SpareInputs())[0].graph.node] == [["x", "p"]]
