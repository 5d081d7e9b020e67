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
import torch
from torch import nn

from oakpoint.features.decode import decode
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.matching import match
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features

pytestmark = pytest.mark.shared

GREY_FROM_RGB = np.array([0.2989, 0.5870, 0.1140], np.float32)
"""Transformers' SuperPointImageProcessor."""


class SuperPoint(nn.Module):
    """DeTone et al. 2018, figure 3, in the names of the released weights."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, 64, 64, 128, 128]
        for block in range(1, 5):
            self.add_module(f"conv{block}a", nn.Conv2d(widths[block - 1], widths[block], 3, padding=1))
            self.add_module(f"conv{block}b", nn.Conv2d(widths[block], widths[block], 3, padding=1))
        for head, channels in (("P", 65), ("D", 256)):
            self.add_module(f"conv{head}a", nn.Conv2d(128, 256, 3, padding=1))
            self.add_module(f"conv{head}b", nn.Conv2d(256, channels, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        layers = dict(self.named_children())
        for block in range(1, 5):
            x = layers[f"conv{block}b"](layers[f"conv{block}a"](x).relu()).relu()
            x = nn.functional.max_pool2d(x, 2) if block < 4 else x
        logits, descriptors = (layers[f"conv{head}b"](layers[f"conv{head}a"](x).relu()) for head in "PD")
        return logits, nn.functional.normalize(descriptors, dim=1)


@pytest.fixture(scope="module")
def network(shared: Path) -> SuperPoint:
    network = SuperPoint().eval()
    network.load_state_dict(torch.load(shared / "weights" / "superpoint_v1.pth", weights_only=True))
    return network


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    return dict(json.loads((shared / "reference" / "hf_coco_superpoint" / "expected.json").read_text()))


def run(network: SuperPoint, grey: np.ndarray) -> DenseOutputs:
    with torch.inference_mode():
        logits, descriptors = network(torch.from_numpy(grey)[None, None])
    return DenseOutputs(logits[0].numpy(), descriptors[0].numpy())


@pytest.fixture(scope="module")
def outputs(network: SuperPoint, shared: Path) -> DenseOutputs:
    image = cv2.imread(str(shared / "reference" / "hf_coco_superpoint" / "000000039769.png"), cv2.IMREAD_COLOR_RGB)
    return run(network, (image.astype(np.float32) / 255) @ GREY_FROM_RGB)


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
def test_a_constant_image_has_no_keypoints(network: SuperPoint, grey: float, preset: str) -> None:
    found = decode(run(network, np.full((200, 320), grey, np.float32)), DecodeOptions.preset(preset))
    assert found.keypoints.shape == (0, 2)
    assert found.descriptors.shape == (0, 256)


def test_an_image_of_nan_has_no_keypoints(network: SuperPoint) -> None:
    dense = run(network, np.full((80, 160), np.nan, np.float32))
    assert not heatmap_from_logits(dense.logits).any()
    assert len(decode(dense, DecodeOptions.preset("superpoint"))) == 0
