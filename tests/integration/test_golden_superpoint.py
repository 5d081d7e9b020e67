"""SuperPoint v1 on one COCO image, against what the Transformers test suite expects of it.

The origin of the expected values stands in their file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.features.decode import decode
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.matching import match
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features
from oakpoint.networks.registry import LoadedNetwork, load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

pytestmark = pytest.mark.shared

GREY_FROM_RGB = np.array([0.2989, 0.5870, 0.1140], np.float32)
"""Transformers' SuperPointImageProcessor."""


@pytest.fixture(scope="module")
def network(superpoint_weights: Path) -> LoadedNetwork:
    return load_network("superpoint", superpoint_weights)


@pytest.fixture(scope="module", params=["torch", "onnxruntime", "openvino"])
def source(
    request: pytest.FixtureRequest, network: LoadedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ModelSource]:
    """A backend's name and what it runs from."""
    if request.param == "torch":
        return "torch", ModelSource(module=network.module, outputs=OUTPUTS)
    path = tmp_path_factory.mktemp("golden") / "model.onnx"
    write_onnx(network.module, path, size=(64, 64), input_name=INPUT, output_names=OUTPUTS)
    return request.param, ModelSource(onnx=path)


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    return dict(json.loads((shared / "reference" / "hf_coco_superpoint" / "expected.json").read_text()))


def run(source: tuple[str, ModelSource], grey: np.ndarray) -> DenseOutputs:
    height, width = grey.shape
    inputs = [TensorSpec(INPUT, "float32", (1, 1, height, width))]
    with open_backend(source[1], RuntimeOptions(backend=source[0]), inputs) as backend:
        tensors = backend.run({INPUT: grey[None, None].astype(np.float32)})
    return DenseOutputs(*(tensors[name][0] for name in OUTPUTS))


@pytest.fixture(scope="module")
def outputs(source: tuple[str, ModelSource], shared: Path) -> DenseOutputs:
    image = cv2.imread(str(shared / "reference" / "hf_coco_superpoint" / "000000039769.png"), cv2.IMREAD_COLOR_RGB)
    return run(source, (image.astype(np.float32) / 255) @ GREY_FROM_RGB)


@pytest.fixture(scope="module")
def features(outputs: DenseOutputs) -> Features:
    return decode(outputs, DecodeOptions.preset("transformers"))


@pytest.fixture(scope="module")
def row_major(features: Features) -> np.ndarray:
    """Rows of ``features`` in the order in which Transformers gives keypoints."""
    return np.lexsort(features.keypoints.T)


def test_as_many_keypoints(features: Features, expected: dict[str, Any]) -> None:
    assert features.image_size == (640, 480)
    assert abs(len(features) - expected["num_keypoints"]) <= 2


def test_the_first_keypoints(features: Features, row_major: np.ndarray, expected: dict[str, Any]) -> None:
    relative = features.keypoints[row_major[:3]] / features.image_size
    np.testing.assert_allclose(relative, expected["first3_xy_rel"], atol=1e-4)


def test_the_first_scores(features: Features, row_major: np.ndarray, expected: dict[str, Any]) -> None:
    np.testing.assert_allclose(features.scores[row_major[:9]], expected["first9_scores"], atol=2e-3)


def test_a_descriptor_value(features: Features, row_major: np.ndarray, expected: dict[str, Any]) -> None:
    np.testing.assert_allclose(features.descriptors[row_major[0], 0], expected["desc_0_0"], atol=2e-3)


def test_both_suppressions_find_nearly_the_same(outputs: DenseOutputs, features: Features) -> None:
    greedy = decode(outputs, DecodeOptions.preset("transformers").with_changes(nms="greedy"))
    first, second = ({tuple(point) for point in found.keypoints.tolist()} for found in (greedy, features))
    assert second <= first, "max-pool keeps nothing that greedy does not"
    assert len(first - second) <= 0.02 * len(first)


def test_the_image_matches_itself(features: Features) -> None:
    matches = match(features, features)
    assert len(matches) == len(features)
    assert not matches.distances.any()


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("preset", ["superpoint", "transformers"])
def test_a_constant_image_has_no_keypoints(source: tuple[str, ModelSource], grey: float, preset: str) -> None:
    found = decode(run(source, np.full((200, 320), grey, np.float32)), DecodeOptions.preset(preset))
    assert found.keypoints.shape == (0, 2)
    assert found.descriptors.shape == (0, 256)


def test_an_image_of_nan_has_no_keypoints(source: tuple[str, ModelSource]) -> None:
    dense = run(source, np.full((80, 160), np.nan, np.float32))
    if source[0] == "torch":  # OpenVINO's ReLU makes 0 of it on the way
        assert not heatmap_from_logits(dense.logits).any()
    assert len(decode(dense, DecodeOptions.preset("superpoint"))) == 0
