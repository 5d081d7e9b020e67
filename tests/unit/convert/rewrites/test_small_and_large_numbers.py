"""What FP16 makes of numbers that are very small or very large."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from rewritten import Layer, differences, graph_of, layer, operators_of, random_inputs, rewritten, run

from oakpoint.convert.rewrites.fp16 import Fp16
from oakpoint.convert.rewrites.operators.epsilons import Epsilons
from oakpoint.convert.rewrites.operators.fp16_range import Fp16Range
from oakpoint.convert.rewrites.operators.variance import Variance
from oakpoint.errors import UnsupportedNetworkError

SEEDS = st.integers(0, 2**32 - 1)


def constants_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def in_fp16(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the device graph in ONNX's own evaluator, every layer rounded to FP16."""
    device, _ = rewritten(model, Fp16())
    with np.errstate(all="ignore"):
        values = ReferenceEvaluator(device).run(None, {k: v.astype(np.float16) for k, v in inputs.items()})
    return dict(zip((output.name for output in device.graph.output), values, strict=True))


NORMALISED = {
    "clipped": [layer("ReduceL2", "x", "n", axes=[1]), layer("Clip", "n e", "m"), layer("Div", "x m")],
    "clipped and expanded": [layer("ReduceL2", "x", "n", axes=[1]), layer("Clip", "n e", "c"),
                             layer("Expand", "c s", "m"), layer("Div", "x m")],
    "added": [layer("ReduceL2", "x", "n", axes=[1]), layer("Add", "n e", "m"), layer("Div", "x m")],
    "maximum": [layer("ReduceL2", "x", "n", axes=[1]), layer("Max", "e n", "m"), layer("Div", "x m")],
    "under a root": [layer("ReduceSumSquare", "x", "n", axes=[1]), layer("Add", "n e", "q"), layer("Sqrt", "q", "m"),
                     layer("Div", "x m")],
    "a power": [layer("ReduceSumSquare", "x", "n", axes=[1]), layer("Add", "n e", "m"), layer("Pow", "m h", "r"),
                layer("Mul", "x r")],
}  # fmt: skip


def normalised(layers: list[Layer], epsilon: float) -> onnx.ModelProto:
    constants = {"e": np.float32(epsilon), "s": np.array([1, 4, 3]), "h": np.float32(-0.5)}
    used = {name for _, given_, _, _ in layers for name in given_}
    return graph_of(layers, {"x": (1, 4, 3)}, {name: value for name, value in constants.items() if name in used})


@pytest.mark.parametrize("kind", NORMALISED)
def test_a_zero_vector_stays_zero(kind: str) -> None:
    model = normalised(NORMALISED[kind], 1e-12)
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 3)).astype(np.float32)
    x[..., 0] = 0
    assert not np.isfinite(in_fp16(model, x=x)["y"]).all()
    after, touched = rewritten(model, Epsilons())
    assert len(touched) == 1
    found = in_fp16(after, x=x)["y"]
    assert (found[..., 0] == 0).all()
    np.testing.assert_allclose(found, run(model, {"x": x})["y"], atol=2e-3)


@pytest.mark.parametrize("kind", NORMALISED)
def test_an_epsilon_that_fp16_holds_stays(kind: str) -> None:
    model = normalised(NORMALISED[kind], 1e-4)
    assert rewritten(model, Epsilons()) == (model, ())


def test_a_logarithm_of_zero_stays_finite() -> None:
    model = graph_of([layer("Add", "x e", "a"), layer("Log", "a")], {"x": (3,)}, {"e": np.float32(1e-9)})
    x = np.array([0, 1, 2], np.float32)
    assert not np.isfinite(in_fp16(model, x=x)["y"]).all()
    assert np.isfinite(in_fp16(rewritten(model, Epsilons())[0], x=x)["y"]).all()


def test_small_numbers_that_guard_nothing_stay() -> None:
    layers = [layer("Add", "x e", "a"), layer("Relu", "a"), layer("Div", "a b", "z")]
    model = graph_of(layers, {"x": (3,), "b": (3,)}, {"e": np.float32(1e-9)}, outputs=("y", "z"))
    assert rewritten(model, Epsilons()) == (model, ())


@settings(max_examples=20)
@given(seed=SEEDS, epsilon=st.floats(1e-12, 1e-3))
def test_a_raised_epsilon_moves_nothing_but_the_smallest(seed: int, epsilon: float) -> None:
    model = normalised(NORMALISED["clipped"], epsilon)
    assert differences(model, Epsilons(), random_inputs(model, np.random.default_rng(seed)))["y"] < 1e-3


VARIANCE = [layer("ReduceMean", "x", "m", axes=[-1]), layer("Mul", "x x", "q"), layer("Mul", "m m", "s"),
            layer("ReduceMean", "q", "e", axes=[2]), layer("Sub", "e s")]  # fmt: skip


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_variance_does_not_cancel(seed: int) -> None:
    model = graph_of(VARIANCE, {"x": (1, 3, 64)})
    rng = np.random.default_rng(seed)
    assert differences(model, Variance(), random_inputs(model, rng))["y"] < 1e-5
    x = random_inputs(model, rng)["x"] + 30
    exact = x.astype(np.float64).var(axis=2, keepdims=True)
    assert np.abs(in_fp16(rewritten(model, Variance())[0], x=x)["y"] - exact).max() < 0.02
    assert np.abs(in_fp16(model, x=x)["y"] - exact).max() > 0.1


@pytest.mark.parametrize("place", [0, 3])
def test_what_is_no_variance_stays(place: int) -> None:
    layers = list(VARIANCE)
    operator, given_, put, attributes = layers[place]
    layers[place] = (operator, given_, put, attributes | {"axes": [1]})
    model = graph_of(layers, {"x": (1, 3, 3)})
    assert rewritten(model, Variance()) == (model, ())


@pytest.mark.parametrize("value", [-np.inf, -1e9, np.finfo(np.float32).min])
def test_a_mask_becomes_one_that_fp16_holds(value: float) -> None:
    mask = np.where(np.tri(4, dtype=bool), 0, value).astype(np.float32)
    added = graph_of([layer("Add", "x k", "a"), layer("Softmax", "a")], {"x": (1, 4, 4)}, {"k": mask})
    chosen = graph_of(
        [layer("Where", "c x k", "a"), layer("Softmax", "a")],
        {"x": (1, 4, 4)},
        {"c": np.tri(4, dtype=bool), "k": np.float32(value)},
    )
    for model in (added, chosen):
        x = random_inputs(model, np.random.default_rng(0), spread=10)
        after, touched = rewritten(model, Fp16Range())
        assert len(touched) == 1
        np.testing.assert_allclose(in_fp16(after, **x)["y"], run(model, x)["y"], atol=5e-3)


def test_a_mask_that_is_added_leaves_room_for_what_it_is_added_to() -> None:
    model = graph_of([layer("Add", "x k")], {"x": (1, 4)}, {"k": np.float32(-1e9)})
    after, _ = rewritten(model, Fp16Range())
    found = in_fp16(after, x=np.full((1, 4), -30000, np.float32))["y"]
    assert np.isfinite(found).all()


def test_other_weights_beyond_fp16_are_findings_of_every_layer_that_reads_them() -> None:
    constants = {"w": np.full((2, 2), 1e5, np.float32), "v": np.array([1, np.nan], np.float32)}
    layers = [layer("MatMul", "x w", "a"), layer("Mul", "a v", "b"), layer("Mul", "b w")]
    with pytest.raises(UnsupportedNetworkError) as caught:
        rewritten(graph_of(layers, {"x": (2, 2)}, constants), Fp16Range())
    said = [str(finding) for finding in caught.value.findings]
    assert [text.split(":")[0] for text in said] == [
        "layer 'layer_a' (MatMul)", "layer 'layer_y' (Mul)", "layer 'layer_b' (Mul)"
    ]  # fmt: skip
    assert "1e+05, and FP16 ends at 65504" in said[0]
    assert "not a number" in said[2]


@pytest.mark.parametrize("order", ["a k", "k a"])
def test_a_row_that_is_masked_as_a_whole_is_still_found(order: str) -> None:
    layers = [layer("Add", "x m", "b"), layer("ReduceMax", "b", "a", axes=[1]), layer("Equal", order, "t"),
              layer("Cast", "t", to=TensorProto.FLOAT)]  # fmt: skip
    mask = np.array([[0, -np.inf], [-np.inf, -np.inf]], np.float32)
    model = graph_of(layers, {"x": (2, 2)}, {"m": mask, "k": np.float32(-np.inf)})
    x = random_inputs(model, np.random.default_rng(0), spread=100)
    assert in_fp16(rewritten(model, Fp16Range())[0], **x)["y"].tolist() == run(model, x)["y"].tolist() == [[0], [1]]


def test_an_infinite_mask_that_is_put_out_is_a_finding() -> None:
    model = graph_of([layer("Add", "x k", "a"), layer("Flatten", "a")], {"x": (1, 4)}, {"k": np.float32(-np.inf)})
    with pytest.raises(UnsupportedNetworkError, match="put out what is before it"):
        rewritten(model, Fp16Range())


def test_constants_that_fp16_holds_stay() -> None:
    model = graph_of([layer("Add", "x k")], {"x": (2,)}, {"k": np.float32(-65504)})
    assert rewritten(model, Fp16Range()) == (model, ())


def test_casts_and_outputs_are_of_types_that_the_device_has() -> None:
    layers = [layer("Greater", "x c", "t"), layer("Cast", "t", "f", to=TensorProto.FLOAT), layer("Mul", "f x", "y"),
              layer("ArgMax", "x", "k", axis=1), layer("Less", "x c", "b")]  # fmt: skip
    model = graph_of(layers, {"x": (1, 4)}, {"c": np.float32(0)}, outputs=("y", "k", "b"))
    device, _ = rewritten(model, Fp16())
    kinds = {value.name: value.type.tensor_type.elem_type for value in device.graph.output}
    assert kinds == {"y": TensorProto.FLOAT16, "k": TensorProto.INT32, "b": TensorProto.INT32}
    assert operators_of(device)[-2:] == ["Cast", "Cast"]
    found = ReferenceEvaluator(device).run(None, {"x": np.array([[-1, 3, 0, 2]], np.float16)})
    assert [value.tolist() for value in found] == [[[0, 3, 0, 2]], [[1]], [[1, 0, 0, 0]]]
