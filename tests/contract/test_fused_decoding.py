"""Decoding inside a graph gives what ``features.decode`` gives: every runtime, family and way of decoding.

Both sides get the same dense outputs; small grids of few levels, so that there are ties, chains of suppression, cells
without a number, and images without a keypoint. Which keypoints there are, and their order, is equal; positions may
differ by 1e-4 px and descriptors by 1e-4, since the graph computes in float32 what the reference does in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.errors import UsageError
from oakpoint.features.decode import heatmap_of
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.families.registry import FAMILIES
from oakpoint.tasks.keypoints.fused.decoding import OUTPUTS
from oakpoint.tasks.keypoints.fused.model import append_features
from oakpoint.tasks.keypoints.task import Keypoints

ROWS, COLUMNS, DIMENSION = 3, 4, 8
SAME = 1e-4
"""Pixels, and values of a descriptor of unit norm."""

CLOSE = 2e-6
"""Of a score: softmax and sigmoid of two libraries."""

APART = 2e-6
"""Of a score, from the next one, where their order is to be the same."""

RUNTIMES: dict[str, Callable[[Path], Backend]] = {
    "openvino": lambda path: OpenVinoBackend(path, threads=1),
    "onnxruntime": lambda path: OnnxRuntimeBackend(path, threads=1),
}

OPTIONS = {
    "greedy": DecodeOptions.preset("acorn").with_changes(threshold=0.02, border_px=2),
    "greedy, best 5": DecodeOptions.preset("superpoint").with_changes(border_px=0, max_keypoints=5),
    "greedy, no radius": DecodeOptions.preset("acorn").with_changes(nms_radius_px=0, border_px=1, subpixel="none"),
    "maxpool": DecodeOptions.preset("transformers").with_changes(threshold=0.02, nms_radius_px=2),
    "maxpool, soft": DecodeOptions.preset("alike").with_changes(threshold=0.05, subpixel="soft_argmax"),
    "every score": DecodeOptions.preset("acorn").with_changes(threshold=0.0, nms_radius_px=1, border_px=0),
}

SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "cells": ((1, 65, ROWS, COLUMNS), (1, DIMENSION, ROWS, COLUMNS)),
    "cells_last": ((1, ROWS, COLUMNS, 65), (1, ROWS, COLUMNS, DIMENSION)),
    "cells_reliability": ((1, 65, ROWS, COLUMNS), (1, 1, ROWS, COLUMNS), (1, DIMENSION, ROWS, COLUMNS)),
    "score_map": ((1, 1, ROWS * 8, COLUMNS * 8), (1, DIMENSION, ROWS * 2, COLUMNS * 2)),
}


def graph_of(task: Keypoints) -> onnx.ModelProto:
    """A network that gives what it is given, and decoding behind it."""
    shapes = dict(zip(task.form.tensors, SHAPES[task.family], strict=True))
    nodes = [helper.make_node("Identity", [f"given_{name}"], [name]) for name in shapes]
    inputs = [helper.make_tensor_value_info(f"given_{n}", TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "dense", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    append_features(model.graph, shapes, task)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Keypoints], Backend]:
    made: dict[tuple[str, Keypoints], Backend] = {}

    def backend(runtime: str, task: Keypoints) -> Backend:
        if (runtime, task) not in made:
            path = tmp_path_factory.mktemp("fused") / "model.onnx"
            onnx.save(graph_of(task), path)
            made[runtime, task] = RUNTIMES[runtime](path)
        return made[runtime, task]

    return backend


@st.composite
def dense_outputs(draw: st.DrawFn, family: str) -> Tensors:
    """Outputs with ties or without, and now and then no number."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread, levels = draw(st.sampled_from([0.0, 1.0, 4.0])), draw(st.sampled_from([1, 4, 0]))
    tensors = {}
    for name, shape in zip(FAMILIES[family].tensors, SHAPES[family], strict=True):
        values = rng.normal(0, spread, shape)
        if levels:
            values = np.round(values * levels) / levels
        tensors[name] = values.astype(np.float32)
    first, last = (tensors[name] for name in (FAMILIES[family].tensors[0], FAMILIES[family].tensors[-1]))
    if draw(st.booleans()):
        first.ravel()[rng.integers(0, first.size, 3)] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 40.0]))
    if draw(st.booleans()):
        last.ravel()[rng.integers(0, last.size, 2)] = draw(st.sampled_from([np.nan, np.inf, 0.0]))
    if draw(st.booleans()):
        last[:] = 0
    return tensors


def resolved(heatmap: NDArray[np.float32], options: DecodeOptions) -> bool:
    """Whether no decision hangs on the last bits of a score: candidates' scores are apart, and from the threshold.

    Or all are the same, as those of like cells are in any runtime; equal ones of unlike cells are not.
    """
    candidates = heatmap[heatmap > max(options.threshold * 0.99, 0)]
    if not len(candidates) or (heatmap == heatmap[0, 0]).all():
        return True
    values = np.sort(np.append(candidates, np.float32(options.threshold)))
    return bool((np.diff(values) > APART * values[1:]).all())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_graph_finds_what_the_reference_finds(
    runtime: str, family: str, options: str, opened: Callable[[str, Keypoints], Backend]
) -> None:
    task = Keypoints(decode=OPTIONS[options], family=family)
    backend = opened(runtime, task)

    @settings(max_examples=12, suppress_health_check=[HealthCheck.filter_too_much])
    @given(dense_outputs(family))
    def check(tensors: Tensors) -> None:
        got = backend.run({f"given_{name}": array for name, array in tensors.items()})
        assert tuple(got) == OUTPUTS
        keypoints, scores, descriptors = (got[name] for name in OUTPUTS)
        expected = task.read(tensors)
        assert keypoints.shape == (len(scores), 2)
        assert descriptors.shape == (len(scores), DIMENSION)
        heatmap = heatmap_of(task.outputs(tensors))
        np.testing.assert_allclose(np.sort(scores)[::-1], scores)
        if resolved(heatmap, task.decode):
            np.testing.assert_allclose(scores, expected.scores, rtol=CLOSE * 10, atol=CLOSE)
            np.testing.assert_allclose(keypoints, expected.keypoints, atol=SAME)
            np.testing.assert_allclose(descriptors, expected.descriptors, atol=SAME)

    check()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_scores_as_they_are_decide_to_the_last_bit(runtime: str, opened: Callable[[str, Keypoints], Backend]) -> None:
    """Of a map of probabilities nothing is computed before suppression: ties and their order are the reference's."""
    for options in OPTIONS.values():
        task = Keypoints(decode=replace(options, subpixel="none"), family="score_map", activated=True)
        backend = opened(runtime, task)
        for seed in range(12):
            rng = np.random.default_rng(seed)
            scores = rng.integers(0, (2, 5, 1000)[seed % 3], SHAPES["score_map"][0]).astype(np.float32) / 1000
            scores *= rng.random(scores.shape) < (0.02, 0.3, 1.0)[seed // 4]
            tensors = {"scores": scores * 20, "descriptors": rng.normal(size=SHAPES["score_map"][1]).astype(np.float32)}
            got = backend.run({f"given_{name}": array for name, array in tensors.items()})
            expected = task.read(tensors)
            np.testing.assert_array_equal(got["keypoints"], expected.keypoints)
            np.testing.assert_array_equal(got["scores"], expected.scores)
            np.testing.assert_allclose(got["descriptors"], expected.descriptors, atol=SAME)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_found_has_the_shapes_of_nothing(runtime: str, opened: Callable[[str, Keypoints], Backend]) -> None:
    task = Keypoints(decode=OPTIONS["greedy"], family="score_map", activated=True)
    shapes = dict(zip(task.form.tensors, SHAPES["score_map"], strict=True))
    got = opened(runtime, task).run({f"given_{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()})
    assert [got[name].shape for name in OUTPUTS] == [(0, 2), (0,), (0, DIMENSION)]
    assert all(got[name].dtype == np.float32 for name in OUTPUTS)


def test_what_a_graph_cannot_do_is_refused() -> None:
    for changes in ({"subpixel": "quadratic"}, {"border_px": 12}):
        task = Keypoints(decode=OPTIONS["greedy"].with_changes(**changes))
        with pytest.raises(UsageError, match="decoding graph"):
            graph_of(task)
