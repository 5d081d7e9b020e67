"""Element-wise operators that are written in other ones: the same values, whatever comes in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto
from rewritten import differences, graph_of, layer, operators_of, random_inputs, relative_error, rewritten, run

from oakpoint.convert.rewrites.operators.absolute import Absolute
from oakpoint.convert.rewrites.operators.clip import ClipBounds
from oakpoint.convert.rewrites.operators.hard_sigmoid import HardSigmoid
from oakpoint.convert.rewrites.operators.hyperbolic import Hyperbolic
from oakpoint.convert.rewrites.operators.prelu import PReluSlopes
from oakpoint.convert.rewrites.operators.selu import Selu
from oakpoint.convert.rewrites.operators.sign import Sign
from oakpoint.convert.rewrites.operators.squares import Squares

SHAPES = array_shapes(min_dims=0, max_dims=5, max_side=4)


def values(low: float = -60.0, high: float = 60.0) -> st.SearchStrategy[np.ndarray]:
    numbers = st.floats(low, high, width=16, allow_subnormal=False)
    return SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=numbers))


@settings(max_examples=25)
@given(x=values(), alpha=st.floats(-2, 2), beta=st.floats(-2, 2))
def test_a_hard_sigmoid_is_a_line_between_two_limits(x: np.ndarray, alpha: float, beta: float) -> None:
    model = graph_of([layer("HardSigmoid", "x", alpha=alpha, beta=beta)], {"x": x.shape})
    assert differences(model, HardSigmoid(), {"x": x})["y"] < 1e-5


@settings(max_examples=25)
@given(x=values())
def test_a_hard_sigmoid_that_gates_its_input_takes_the_form_of_a_hard_swish(x: np.ndarray) -> None:
    model = graph_of([layer("HardSigmoid", "x", "gate", alpha=1 / 6, beta=0.5), layer("Mul", "x gate")], {"x": x.shape})
    assert differences(model, HardSigmoid(), {"x": x})["y"] < 1e-6
    assert operators_of(rewritten(model, HardSigmoid())[0]) == ["Add", "Clip", "Mul", "Mul"]


def test_a_gate_that_is_used_elsewhere_keeps_the_form_with_fewer_stages() -> None:
    layers = [layer("HardSigmoid", "x", "gate", alpha=1 / 6, beta=0.5), layer("Mul", "x gate")]
    model = graph_of(layers, {"x": (1, 2, 3, 4)}, outputs=("y", "gate"))
    assert operators_of(rewritten(model, HardSigmoid())[0]) == ["Mul", "Add", "Clip", "Mul"]


@settings(max_examples=25)
@given(x=values(), operator=st.sampled_from(["Abs", "Softsign"]))
def test_absolute_values(x: np.ndarray, operator: str) -> None:
    model = graph_of([layer(operator, "x")], {"x": x.shape})
    assert differences(model, Absolute(), {"x": x})["y"] <= (0 if operator == "Abs" else 1e-6)
    assert operator not in operators_of(rewritten(model, Absolute())[0])


@settings(max_examples=25)
@given(x=values(), keep=st.booleans(), data=st.data())
def test_sums_of_absolute_values(x: np.ndarray, keep: bool, data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.sampled_from(range(-x.ndim, 0)), unique=True)) if x.ndim else []
    attributes = {"axes": axes} if axes else {}
    model = graph_of([layer("ReduceL1", "x", keepdims=int(keep), **attributes)], {"x": x.shape})
    assert differences(model, Absolute(), {"x": x})["y"] < 1e-5


def test_whole_numbers_keep_their_own_operator() -> None:
    model = graph_of([layer("Cast", "x", "i", to=TensorProto.INT32), layer("Abs", "i", "j"), layer("Cast", "j", to=1)],
                     {"x": (3,)})  # fmt: skip
    assert rewritten(model, Absolute()) == (model, ())


@settings(max_examples=25)
@given(x=values())
def test_signs(x: np.ndarray) -> None:
    model = graph_of([layer("Sign", "x")], {"x": x.shape})
    assert differences(model, Sign(), {"x": x})["y"] == 0


@settings(max_examples=25)
@given(x=values(), alpha=st.floats(0.1, 3), gamma=st.floats(0.1, 3))
def test_selu(x: np.ndarray, alpha: float, gamma: float) -> None:
    model = graph_of([layer("Selu", "x", alpha=alpha, gamma=gamma)], {"x": x.shape})
    assert differences(model, Selu(), {"x": x})["y"] < 1e-6


RANGES = {"Sinh": (-11, 11), "Cosh": (-11, 11), "Asinh": (-60, 60), "Acosh": (1, 60), "Atanh": (-0.99, 0.99)}


@pytest.mark.parametrize("operator", sorted(RANGES))
@settings(max_examples=25)
@given(data=st.data())
def test_hyperbolic_functions(operator: str, data: st.DataObject) -> None:
    low, high = (float(np.float16(limit)) for limit in RANGES[operator])
    x = data.draw(values(low, high))
    model = graph_of([layer(operator, "x")], {"x": x.shape})
    found = run(rewritten(model, Hyperbolic())[0], {"x": x})["y"]
    reference = getattr(np, {"A": "arc"}.get(operator[0], operator[0].lower()) + operator[1:])(x.astype(np.float64))
    np.testing.assert_allclose(found, reference, rtol=2e-5, atol=1e-6)


def slopes_of(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes that broadcast to one, with fewer axes or with some of them 1."""
    return st.tuples(st.integers(0, len(shape)), st.tuples(*[st.booleans()] * len(shape))).map(
        lambda drawn: tuple(size if whole else 1 for size, whole in zip(shape, drawn[1], strict=True))[drawn[0] :]
    )


@settings(max_examples=25)
@given(x=values(), constant=st.booleans(), data=st.data())
def test_prelu_with_any_slopes(x: np.ndarray, constant: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    slopes = rng.normal(0, 1, data.draw(slopes_of(x.shape))).astype(np.float32)
    given_ = {"x": x} if constant else {"x": x, "s": slopes}
    model = graph_of(
        [layer("PRelu", "x s")], {name: v.shape for name, v in given_.items()}, {"s": slopes} if constant else {}
    )
    assert differences(model, PReluSlopes(), given_)["y"] < 1e-6


@pytest.mark.parametrize(
    ("slopes", "operators"),
    [((1,), ["PRelu"]), ((4, 1, 1), ["PRelu"]), ((1, 4, 1, 1), ["PRelu"]), ((8,), ["Min", "Mul", "Relu", "Add"]),
     ((4, 6, 8), ["Min", "Mul", "Relu", "Add"])],
)  # fmt: skip
def test_slopes_that_the_compiler_reads_rightly_stay(slopes: tuple[int, ...], operators: list[str]) -> None:
    constants = {"s": np.linspace(0.25, -0.9, math.prod(slopes)).reshape(slopes).astype(np.float32)}
    model = graph_of([layer("PRelu", "x s")], {"x": (1, 4, 6, 8)}, constants)
    assert operators_of(rewritten(model, PReluSlopes())[0]) == operators


@pytest.mark.parametrize("slopes", [[-1], [-0.25], [1], [1.5], [[[0.25]], [[-1]], [[0.5]], [[2]]]])
def test_slopes_that_the_compiler_takes_for_others_are_spelt_out(slopes: list) -> None:
    """A channel's −1 turns the sign behind a convolution; one number out of 0…1 is refused as a LeakyRelu's."""
    model = graph_of([layer("PRelu", "x s")], {"x": (1, 4, 6, 8)}, {"s": np.array(slopes, np.float32)})
    assert operators_of(rewritten(model, PReluSlopes())[0]) == ["Min", "Mul", "Relu", "Add"]


def test_equal_slopes_become_one_number() -> None:
    model = graph_of([layer("PRelu", "x s")], {"x": (1, 4, 6, 8)}, {"s": np.full((4, 6, 8), 0.5, np.float32)})
    (node,) = rewritten(model, PReluSlopes())[0].graph.node
    assert node.op_type == "PRelu"


BOUNDS = st.one_of(
    st.none(), st.floats(-10, 10, width=16), st.sampled_from([-np.inf, np.inf, 3.4028235e38, -3.4028235e38])
)


@settings(max_examples=25)
@given(x=values(), lower=BOUNDS, upper=BOUNDS, computed=st.booleans())
def test_clip_with_any_bounds(x: np.ndarray, lower: float | None, upper: float | None, computed: bool) -> None:
    bounds = {name: np.array(v, np.float32) for name, v in (("lower", lower), ("upper", upper)) if v is not None}
    names = " ".join(name if name in bounds else "-" for name in ("lower", "upper"))
    given_ = {"x": x, **(bounds if computed else {})}
    model = graph_of(
        [layer("Clip", f"x {names}")], {name: v.shape for name, v in given_.items()}, {} if computed else bounds
    )
    after, _ = rewritten(model, ClipBounds())
    expected = x if lower is None else np.maximum(x, np.float32(lower))
    expected = expected if upper is None else np.minimum(expected, np.float32(upper))
    held = np.clip(expected, -65504, 65504) if not computed else expected
    found = run(after, given_)["y"]
    if computed or not (lower is not None and upper is not None and lower >= upper):
        assert relative_error(found, held.astype(np.float32)) == 0
    else:
        assert relative_error(found, expected.astype(np.float32)) == 0


def test_a_clip_with_ordinary_bounds_stays() -> None:
    constants = {"lower": np.float32(0), "upper": np.float32(6)}
    model = graph_of([layer("Clip", "x lower upper")], {"x": (1, 2, 3)}, constants)
    assert rewritten(model, ClipBounds()) == (model, ())


def test_random_inputs_are_those_that_fp16_holds() -> None:
    x = random_inputs(graph_of([layer("Relu", "x")], {"x": (100,)}), np.random.default_rng(0))["x"]
    assert (x.astype(np.float16) == x).all()


@settings(max_examples=25)
@given(x=values(), exponent=st.sampled_from([2.0, 2, [2.0]]))
def test_a_square_is_a_product(x: np.ndarray, exponent: object) -> None:
    two = np.asarray(exponent, np.int64 if isinstance(exponent, int) else np.float32)
    model = graph_of([layer("Pow", "x two")], {"x": x.shape}, {"two": two})
    assert differences(model, Squares(), {"x": x})["y"] < 1e-6
    assert bool(rewritten(model, Squares())[1]) == (two.ndim <= x.ndim)


@pytest.mark.parametrize("exponent", [0.5, 3.0, -2.0, [2.0, 2.0, 3.0]])
def test_another_power_stays(exponent: object) -> None:
    model = graph_of([layer("Pow", "x p")], {"x": (2, 3)}, {"p": np.asarray(exponent, np.float32)})
    assert rewritten(model, Squares()) == (model, ())
    computed = graph_of([layer("Pow", "x p")], {"x": (2, 3), "p": (3,)})
    assert rewritten(computed, Squares()) == (computed, ())
