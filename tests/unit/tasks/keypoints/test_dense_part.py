"""The heat map that OpenVINO makes is that of ``features.heatmap``, in float32 whatever the network's arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.tasks.keypoints.fused.choice import with_dense_part
from oakpoint.tasks.keypoints.fused.dense_part import BY_CELL, LOGITS_BY_CELL, settled_heatmap, with_heatmap
from oakpoint.tasks.keypoints.heads.base import DESC, HEATMAP, SEMI

openvino = pytest.importorskip("openvino")

ROWS, COLUMNS, DIMENSION = 3, 5, 8

REDUCED = {"Convolution", "GroupConvolution", "MatMul", "ROIPooling", "Interpolate", "RNNCell", "RNNSequence"}
"""Where the tail of a graph ends that OpenVINO's CPU plugin leaves in float32 at bf16; see ``with_dense_part``."""


def network() -> Any:
    """A convolution for each output."""
    op = openvino.opset13
    image = op.parameter([1, 1, ROWS * 8, COLUMNS * 8], np.float32, name="input")
    rng = np.random.default_rng(0)
    results = []
    for name, channels in ((SEMI, 65), (DESC, DIMENSION)):
        weights = op.constant(rng.normal(0, 0.3, (channels, 1, 8, 8)).astype(np.float32))
        made = op.convolution(image, weights, [8, 8], [0, 0], [0, 0], [1, 1])
        made.output(0).set_names({name})
        results.append(op.result(made))
    return openvino.Model(results, [image], "network")


def outputs_alone() -> Any:
    """Outputs that are what is given."""
    op = openvino.opset13
    given = [op.parameter([1, channels, ROWS, COLUMNS], np.float32) for channels in (65, DIMENSION)]
    for parameter, name in zip(given, (SEMI, DESC), strict=True):
        parameter.output(0).set_names({name})
    return openvino.Model([op.result(parameter) for parameter in given], given, "outputs")


def test_nothing_behind_the_network_is_rounded_at_bf16() -> None:
    edited = with_heatmap(network())
    assert [min(port.get_names()) for port in edited.outputs] == [HEATMAP, BY_CELL, LOGITS_BY_CELL]
    behind: set[str] = set()
    waiting = [result.input_value(0).get_node() for result in edited.get_results()]
    convolutions = 0
    while waiting:
        node = waiting.pop()
        if node.get_type_name() == "Convolution":
            convolutions += 1
            continue
        behind.add(node.get_type_name())
        waiting += [value.get_node() for value in node.input_values()]
    assert convolutions >= 2
    assert "Softmax" in behind
    assert not behind & REDUCED


@pytest.mark.parametrize(("precision", "edited"), [("f32", True), ("bf16", True), ("int8", True), ("f16", False)])
def test_half_precision_leaves_the_heat_map_to_numpy(precision: str, edited: bool) -> None:
    """Where OpenVINO computes in f16 softmax would be rounded with the rest."""
    options = with_dense_part(RuntimeOptions(backend="openvino", device="CPU", precision=precision))
    assert (options.edit is with_heatmap) == edited


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 100.0])
def test_cells_without_a_number_are_no_keypoints(value: float) -> None:
    compiled = openvino.Core().compile_model(
        with_heatmap(outputs_alone()), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (1, 65, ROWS, COLUMNS)).astype(np.float32)
    logits[0, 5, 1, 2] = logits[0, 64, 0, 0] = value
    logits[0, 7, 2, 4] = np.nan  # beside others
    descriptors = rng.normal(size=(1, DIMENSION, ROWS, COLUMNS)).astype(np.float32)
    got = compiled([logits, descriptors])
    heatmap = np.nan_to_num(settled_heatmap(got[0][0], got[2][0]), nan=0.0, posinf=0.0, neginf=0.0)
    np.testing.assert_allclose(heatmap, heatmap_from_logits(logits[0]), rtol=2e-5, atol=2e-7)
    np.testing.assert_array_equal(got[1], descriptors.transpose(0, 2, 3, 1))
