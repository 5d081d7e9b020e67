"""Recurrent layers, compiled and executed: what the blob computes is what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recurrent import Recurrence
from rewritten import on_device, random_inputs, relative_error, run

from oakpoint.convert.rewrites.operators.fp16_range import Fp16Range
from oakpoint.convert.rewrites.operators.registry import OPERATOR_REWRITES

TOLERANCE = 1e-2
"""Of an output's largest value: every step rounds its state to FP16."""


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(
    "recurrence",
    [
        Recurrence(operator="LSTM", direction="bidirectional", steps=12, given=24, units=20),
        Recurrence(operator="LSTM", direction="reverse", steps=3, rows=3, units=7, initial="input"),
        Recurrence(operator="LSTM", direction="bidirectional", steps=4, given=16, units=136, initial="constant"),
        Recurrence(operator="GRU", steps=12, given=24, units=20, attributes=(("linear_before_reset", 1),)),
        Recurrence(operator="GRU", direction="bidirectional", steps=5, rows=2, units=9, initial="input"),
        Recurrence(operator="RNN", direction="bidirectional", steps=12, given=24, units=20),
        Recurrence(operator="RNN", steps=1, units=6, bias=False, attributes=(("activations", ["Relu"]),)),
    ],
    ids=lambda recurrence: f"{recurrence.operator}-{recurrence.direction}-{recurrence.steps}",
)
def test_the_blob_computes_the_same(recurrence: Recurrence, tmp_path: Path) -> None:
    model = recurrence.model(np.random.default_rng(3))
    inputs = random_inputs(model, np.random.default_rng(4))
    expected = run(model, inputs)
    found = on_device(model, [*OPERATOR_REWRITES, Fp16Range()], inputs, tmp_path)
    off = {name: relative_error(found[name], values) for name, values in expected.items()}
    assert max(off.values()) < TOLERANCE
