"""Raw outputs, whatever they mean: how far two models agree, and what is caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.verify.tensors import LIMITS, PROBABILITIES, TensorAgreement
from oakpoint.verify.tolerances import BLOB_STAGE, IR_STAGE, ONNX_STAGE, Tolerance

Array = NDArray[Any]


def compared(expected: Tensors, got: Tensors, stage: str = IR_STAGE, times: int = 1) -> TensorAgreement:
    agreement = TensorAgreement(stage)
    for _ in range(times):
        agreement.add([agreement.reference(expected)], [agreement.candidate(got)])
    return agreement


def failed(agreement: TensorAgreement) -> list[str]:
    """The figures beyond their limits, as ``verify_stage`` judges them."""
    figures = agreement.figures()
    return [t.figure for t in agreement.tolerances() if not _passes(t, figures)]


def _passes(tolerance: Tolerance, figures: Mapping[str, float]) -> bool:
    limit = max(tolerance.limit, 8 * figures[tolerance.usual]) if tolerance.usual else tolerance.limit
    value = figures[tolerance.figure]
    return bool(value >= limit if tolerance.kind == "at_least" else value <= limit)


def image_like(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


FLOATS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=st.floats(-1e3, 1e3, width=32)
)


@given(FLOATS)
def test_equal_tensors_of_any_shape_agree_at_every_stage(array: Array) -> None:
    for stage in LIMITS:
        agreement = compared({"a": array}, {"a": array.copy()}, stage)
        figures = agreement.figures()
        assert failed(agreement) == []
        assert figures["largest error of a, relative"] == figures["root mean square error of a, relative"] == 0
        assert figures["signal-to-noise ratio of a, dB"] == np.inf
        assert figures["cosine of a"] == pytest.approx(1.0)


@given(FLOATS, st.floats(0.25, 4))
def test_figures_do_not_hang_on_the_tensors_unit(array: Array, factor: float) -> None:
    assume(np.abs(array).max() > 1e-3)
    other = (array * np.float32(1.01) + np.float32(0.01)).astype(np.float32)
    plain = compared({"a": array}, {"a": other}).figures()
    scaled = compared({"a": array * np.float32(factor)}, {"a": other * np.float32(factor)}).figures()
    for name, value in plain.items():
        assert scaled[name] == pytest.approx(value, rel=1e-2, abs=1e-6), name


def test_figures_are_what_they_are_called() -> None:
    expected = np.array([[3.0, 0.0, -4.0]], np.float32)
    got = np.array([[3.0, 0.5, -4.0]], np.float32)
    figures = compared({"a": expected}, {"a": got}).figures()
    assert figures["largest error of a, relative"] == pytest.approx(0.5 / 4)
    assert figures["root mean square error of a, relative"] == pytest.approx(0.5 / 5)
    assert figures["signal-to-noise ratio of a, dB"] == pytest.approx(20.0)
    assert figures["cosine of a"] == pytest.approx(25 / (5 * np.sqrt(25.25)))


def test_each_output_has_its_figures_and_its_limits() -> None:
    tensors = {"boxes": image_like(1, 84, 30), "classes": image_like(1, 10)}
    agreement = compared(tensors, tensors)
    assert {t.figure.split(" of ")[1].split(",")[0] for t in agreement.tolerances()} == {"boxes", "classes"}
    assert {t.figure for t in agreement.tolerances()} <= set(agreement.figures())
    assert {t.usual for t in agreement.tolerances()} <= {*agreement.figures(), ""}
    assert set(agreement.look_for()) <= {t.figure for t in agreement.tolerances()}
    assert all(len(t.reason) > 10 for t in agreement.tolerances())
    assert agreement.success(agreement.figures()) == (
        "1 images; boxes: root mean square error 0, cosine 1.0000000; classes: root mean square error 0, "
        "cosine 1.0000000"
    )


@pytest.mark.parametrize("stage", LIMITS)
@pytest.mark.parametrize("shape", [(1, 8, 6, 7), (1, 84, 60), (1, 1000), (2, 5, 4, 4), (40,)], ids=str)
def test_rounding_of_the_stage_passes(stage: str, shape: tuple[int, ...]) -> None:
    expected = image_like(*shape)
    level = LIMITS[stage].mean_square / 3
    noise = np.random.default_rng(1).uniform(-1, 1, shape) * level
    got = (expected + noise * np.sqrt(np.mean(np.square(expected)))).astype(np.float32)
    assert failed(compared({"a": expected}, {"a": got}, stage)) == []


FAULTS: dict[str, Callable[[Array], Array]] = {
    "scaled by 255": lambda a: a * 255,
    "scaled by 1/255": lambda a: a / 255,
    "scaled by a tenth more": lambda a: a * 1.1,
    "a mean that is missing": lambda a: a + 0.3,
    "channels swapped": lambda a: a[:, ::-1],
    "rows and columns swapped": lambda a: np.ascontiguousarray(a.transpose(0, 1, 3, 2)),
    "another layout": lambda a: a.transpose(0, 2, 3, 1).reshape(a.shape),
    "mirrored": lambda a: a[..., ::-1],
    "moved by a column": lambda a: np.roll(a, 1, axis=-1),
    "zeros": lambda a: a * 0,
    "negative": lambda a: -a,
    "one value": lambda a: _with(a, (0, 3, 2, 2), 40.0),
    "one flipped sign bit of a large value": lambda a: np.where(np.abs(a) == np.abs(a).max(), -a, a),
    "one channel of zeros": lambda a: np.where(np.arange(a.shape[1])[:, None, None] == 5, 0, a),
    "a row never written": lambda a: _with(a, (0, slice(None), 0), 0.0),
    "clipped": lambda a: a.clip(-0.5, 0.5),
    "8 bits": lambda a: np.round(a * 4) / 4,
    "not a number": lambda a: _with(a, (0, 3, 2, 2), np.nan),
    "infinite": lambda a: _with(a, (0, 3, 2, 2), np.inf),
}


def _with(array: Array, place: Any, value: float) -> Array:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize("stage", LIMITS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught(stage: str, fault: str) -> None:
    expected = image_like(1, 16, 12, 12)
    good = image_like(1, 10)
    broken = np.asarray(FAULTS[fault](expected), np.float32)
    agreement = compared({"mask": expected, "classes": good}, {"mask": broken, "classes": good}, stage)
    found = failed(agreement)
    assert found
    assert all("mask" in name for name in found)
    hints = agreement.look_for()
    assert all(hints[name] for name in found)


@pytest.mark.parametrize("stage", LIMITS)
def test_a_fault_in_one_of_many_images_is_caught(stage: str) -> None:
    agreement = TensorAgreement(stage)
    for index in range(50):
        expected = image_like(1, 16, 12, 12, seed=index)
        got = np.roll(expected, 1, axis=-1) if index == 31 else expected
        agreement.add([{"a": expected}], [{"a": got}])
    assert agreement.images == 50
    assert failed(agreement)


def test_swapped_outputs_of_one_shape_are_caught() -> None:
    a, b = image_like(1, 4, 8, 8), image_like(1, 4, 8, 8, seed=1)
    assert failed(compared({"a": a, "b": b}, {"a": b, "b": a}))


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"b": np.zeros((1, 4))}, "expected the outputs a, got b"),
        ({}, "expected the outputs a, got "),
        ({"a": np.zeros((1, 4)), "b": np.zeros(1)}, "expected the outputs a, got a, b"),
        ({"a": np.zeros((1, 5))}, r"output a: expected shape \(1, 4\), got \(1, 5\)"),
        ({"a": np.zeros((4,))}, r"output a: expected shape \(1, 4\), got \(4,\)"),
    ],
)
def test_other_outputs_are_the_candidates_fault(got: Tensors, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        compared({"a": np.zeros((1, 4), np.float32)}, got)


def test_what_is_not_finite_on_the_reference_says_nothing() -> None:
    expected = image_like(1, 8, 6, 6)
    holed = _with(expected, (0, slice(None), 3), np.nan)
    assert failed(compared({"a": holed}, {"a": expected})) == []
    assert failed(compared({"a": holed}, {"a": holed})) == []
    assert failed(compared({"a": expected}, {"a": holed}))


def test_zeros_agree_with_zeros_alone() -> None:
    zeros, small = np.zeros((1, 4, 3), np.float32), np.full((1, 4, 3), 1e-3, np.float32)
    assert failed(compared({"a": zeros}, {"a": zeros})) == []
    figures = compared({"a": zeros}, {"a": small}).figures()
    assert figures["largest error of a, relative"] == np.inf
    assert figures["cosine of a"] == 0
    assert failed(compared({"a": zeros}, {"a": small}))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.bool_])
def test_whole_numbers_are_compared_too(kind: Any) -> None:
    expected = np.arange(12).reshape(1, 12).astype(kind)
    other = expected.copy()
    other[0, 3] = 0 if expected[0, 3] else 1
    other[0, 7] = not other[0, 7]
    assert failed(compared({"a": expected}, {"a": expected})) == []
    assert failed(compared({"a": expected}, {"a": other}))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_single_number_is_a_tensor(shape: tuple[int, ...]) -> None:
    expected = np.full(shape, 0.7, np.float32)
    assert failed(compared({"a": expected}, {"a": expected})) == []
    assert failed(compared({"a": expected}, {"a": expected * np.float32(1.1)}, ONNX_STAGE))


def test_nothing_compared() -> None:
    nothing = TensorAgreement(BLOB_STAGE)
    assert nothing.why_nothing() == "the network gives no output"
    assert compared({"a": image_like(1, 2)}, {"a": image_like(1, 2)}).why_nothing() is None


def behind_a_sigmoid(size: int, sharpness: float, error: float) -> tuple[Array, Array]:
    """A map that says 0 or 1 nearly everywhere, and the same with logits that are off by ``error`` in the mean."""
    y, x = np.mgrid[0:size, 0:size] / size
    logits = sharpness * (np.sin(9 * x) * np.sin(7 * y) - 0.5)
    noise = error * np.random.default_rng(2).normal(size=logits.shape)
    maps = (0.5 * (1 + np.tanh(0.5 * values)) for values in (logits, logits + noise))
    expected, got = (values[np.newaxis, np.newaxis].astype(np.float32) for values in maps)
    return expected, got


def test_rounding_behind_a_sigmoid_stands_out_nowhere() -> None:
    expected, got = behind_a_sigmoid(192, 3e3, 0.08)
    errors = np.abs(expected - got)
    assert errors.max() > 8 * np.quantile(errors, 0.99), "most of the map is saturated"
    assert errors.max() > LIMITS[IR_STAGE].largest
    assert failed(compared({"a": expected}, {"a": got}, times=4)) == []


@pytest.mark.parametrize("fault", ["one value", "one line", "a corner"])
def test_faults_where_a_sigmoid_is_saturated_are_caught(fault: str) -> None:
    expected, got = behind_a_sigmoid(192, 3e3, 0.08)
    row, column = np.argwhere(expected[0, 0] < 1e-6)[5000]
    place = {"one value": (row, column), "one line": (row,), "a corner": (slice(9), slice(9))}[fault]
    got[0, 0][place] = 1 - got[0, 0][place]
    assert failed(compared({"a": expected}, {"a": got}, times=4))


def nothing_found(seed: int, error: float, *, shift: float = 0.0) -> tuple[Array, Array]:
    """A detector's map that says 0.0001 nearly everywhere, and the same with logits off by ``error`` of themselves."""
    rng = np.random.default_rng(seed)
    logits = -9 + rng.normal(size=(1, 1, 48, 64))
    noisy = logits * (1 + error * rng.normal(size=logits.shape)) + shift
    expected, got = ((1 / (1 + np.exp(-values))).astype(np.float32) for values in (logits, noisy))
    return expected, got


def behind(operator: str, expected: Array, got: Array) -> list[str]:
    agreement = TensorAgreement(IR_STAGE, probabilities=frozenset({"a"} if operator in PROBABILITIES else ()))
    agreement.add([{"a": expected}], [{"a": got}])
    return failed(agreement)


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_of_nothing_are_judged_as_their_logits_would_be(seed: int) -> None:
    pair = nothing_found(seed, 5e-3)
    assert behind("Sigmoid", *pair) == []
    assert behind("Softmax", *pair) == []
    assert behind("Mul", *pair), "of other tensors the values count"


@pytest.mark.parametrize("operator", ["Sigmoid", "Softmax"])
def test_faults_in_probabilities_of_nothing_are_caught(operator: str) -> None:
    expected, got = nothing_found(0, 5e-3, shift=0.5)
    assert behind(operator, expected, got), "all of it are half as large again"
    assert behind(operator, expected, expected[..., ::-1].copy())
    assert behind(operator, expected, 1 - expected)
    assert behind(operator, expected, np.full_like(expected, np.nan))
    one = expected.copy()
    one[0, 0, 20, 30] = 0.9
    assert behind(operator, expected, one)
