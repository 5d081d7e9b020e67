"""Networks of opsets 7 to 12 compute at 13 what they computed before."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import checked, copy, graph, operators, run

from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.opset.earlier_opsets import EarlierOpset
from oakpoint.errors import ConversionError, UnsupportedNetworkError

RNG = np.random.default_rng(5)
WEIGHTS = {
    "c": RNG.normal(size=4).astype(np.float32),
    "positive": RNG.random(4).astype(np.float32) + 1,
    "places": RNG.normal(size=(4, 6, 8)).astype(np.float32),
    "variances": RNG.random((4, 6, 8)).astype(np.float32) + 1,
    "up": np.array([1, 1, 2, 2.5], np.float32),
    "down": np.array([1, 1, 0.5, 0.75], np.float32),
    "both": np.array([1, 1, 0.5, 2], np.float32),
}

CASES = {
    "Upsample by attribute": (7, 'y = Upsample <mode = "nearest", scales = [1.0, 1.0, 2.0, 3.0]> (x)'),
    "Upsample, nearest": (9, 'y = Upsample <mode = "nearest"> (x, up)'),
    "Upsample, linear": (9, 'y = Upsample <mode = "linear"> (x, up)'),
    "Resize up, nearest": (10, 'y = Resize <mode = "nearest"> (x, up)'),
    "Resize up, linear": (10, 'y = Resize <mode = "linear"> (x, up)'),
    "Resize down, nearest": (10, 'y = Resize <mode = "nearest"> (x, down)'),
    "Resize down, linear": (10, 'y = Resize <mode = "linear"> (x, down)'),
    "Softmax over all": (11, "y = Softmax <axis = 1> (x)"),
    "LogSoftmax by default": (9, "y = LogSoftmax (x)"),
    "Hardmax over all": (9, "y = Hardmax (x)"),
    "Hardmax over the last": (11, "y = Hardmax <axis = -1> (x)"),
    "Clip by attribute": (10, "y = Clip <min = 0.0, max = 0.5> (x)"),
    "Pad by attribute": (10, "y = Pad <pads = [0, 0, 1, 0, 0, 0, 2, 1], value = 0.5> (x)"),
    "Slice by attribute": (9, "y = Slice <starts = [1], ends = [3], axes = [2]> (x)"),
    "Squeeze": (11, "a = ReduceMean <axes = [2]> (x)\n y = Squeeze <axes = [2]> (a)"),
    "Split": (11, "a, b = Split <axis = 1, split = [1, 3]> (x)\n y = Concat <axis = 1> (b, a)"),
    "ReduceSum": (11, "y = ReduceSum <axes = [1, -1]> (x)"),
    "Dropout": (7, "y = Dropout <ratio = 0.3> (x)"),
    "BatchNormalization": (7, "y = BatchNormalization <epsilon = 0.01> (x, c, c, c, positive)"),
    "MaxPool": (7, "y = MaxPool <kernel_shape = [2, 3], pads = [0, 1, 1, 1]> (x)"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_at_opset_13(name: str) -> None:
    opset, body = CASES[name]
    model = graph(body, opset=opset, weights=WEIGHTS, ir_version=7)
    converted = copy(model)
    journal = apply_all(converted, (EarlierOpset(), FoldedConstants()))
    assert journal[0].layers == (f"opset {opset}",)
    assert converted.opset_import[0].version == 13
    for scale in (0.3, 3.0):
        x = {"x": np.random.default_rng(7).normal(0, scale, (1, 4, 6, 8)).astype(np.float32)}
        for expected, got in zip(run(model, x), run(checked(converted), x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


def test_batch_norm_by_place() -> None:
    """Opset 7 had one for every place; nothing runs it any more, so its text says what it computes."""
    statistics = "places, places, places, variances"
    model = graph(f"y = BatchNormalization <spatial = 0> (x, {statistics})", opset=7, weights=WEIGHTS, ir_version=3)
    EarlierOpset().apply(model)
    assert operators(model) == ["Mul", "Add"]
    x = RNG.normal(size=(1, 4, 6, 8)).astype(np.float32)
    p = WEIGHTS["places"]
    expected = (x - p) / np.sqrt(WEIGHTS["variances"] + 1e-5) * p + p
    np.testing.assert_allclose(run(checked(model), {"x": x})[0], expected, rtol=1e-5, atol=1e-6)


def test_what_opset_13_has_no_word_for_is_a_finding() -> None:
    model = graph('y = Resize <mode = "nearest"> (x, both)', opset=10, weights=WEIGHTS, ir_version=7)
    with pytest.raises(UnsupportedNetworkError, match=r"Resize.*opset 11 or later"):
        apply_all(model, [EarlierOpset()])


def test_an_opset_before_7_is_refused() -> None:
    model = graph("y = Relu (x)", opset=7, ir_version=3)
    model.opset_import[0].version = 6
    with pytest.raises(ConversionError, match="opset 6: expected 7 or later"):
        EarlierOpset().apply(model)


def test_a_later_opset_is_left_alone() -> None:
    model = graph("y = Relu (x)", opset=13)
    before = model.SerializeToString()
    assert EarlierOpset().apply(model) == ()
    assert model.SerializeToString() == before
