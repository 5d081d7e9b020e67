"""Three blobs of SuperPoint that another party compiled, executed: against each other and against PyTorch in FP32.

Source of the blobs: see their folder. They differ in SHAVEs, so in how the compiler cut the network into tiles.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data as photographs

from oakpoint.features.nms import nms_greedy
from oakpoint.features.sampling import sample_descriptors
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.simulator import Simulator
from oakpoint.networks.superpoint import SuperPoint
from oakpoint.networks.weights import load_into, read_state

pytestmark = pytest.mark.shared

SHAVES = (5, 6, 10)
HEATMAP_TOLERANCE = 1.6e-3
DESCRIPTOR_COSINE = 0.99999
NMS_RADIUS_PX, THRESHOLD = 4, 0.015
"""The original demo's."""

Outputs = dict[str, NDArray[np.generic]]


@pytest.fixture(scope="module", params=["camera", "coins", "brick"])
def image(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    picture = getattr(photographs, request.param)()
    return np.asarray(cv2.resize(picture, (320, 200), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def simulators(shared: Path) -> dict[int, Simulator]:
    paths = {n: shared / "blobs" / f"superpoint_200x320_{n}shave.blob" for n in SHAVES}
    return {n: Simulator(read_blob(path)) for n, path in paths.items()}


@pytest.fixture(scope="module")
def outputs(simulators: dict[int, Simulator], image: NDArray[np.uint8]) -> dict[int, Outputs]:
    return {n: simulator.run({"input": image[None, None]}) for n, simulator in simulators.items()}


@pytest.fixture(scope="module")
def expected(shared: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heat map (200, 320) and raw descriptors (256, 25, 40) of PyTorch in FP32."""
    path = shared / "weights" / "superpoint_v1.pth"
    network = SuperPoint().eval()
    load_into(network, read_state(path), path)
    with torch.inference_mode():
        logits, descriptors = network(torch.from_numpy(image[None, None].astype(np.float32) / 255))
    cells = torch.softmax(logits, 1)[0, :64].reshape(8, 8, 25, 40)
    return cells.permute(2, 0, 3, 1).reshape(200, 320).numpy(), descriptors[0].numpy()


def test_the_three_blobs_agree_bit_for_bit(outputs: dict[int, Outputs]) -> None:
    for name, values in outputs[SHAVES[0]].items():
        for other in SHAVES[1:]:
            np.testing.assert_array_equal(values.view(np.uint16), outputs[other][name].view(np.uint16))


def test_heatmap(outputs: dict[int, Outputs], expected: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    heatmap = outputs[6]["heatmap"][0].astype(np.float32)
    assert np.abs(heatmap - expected[0]).max() <= HEATMAP_TOLERANCE


def test_keypoints_and_their_descriptors(
    outputs: dict[int, Outputs], expected: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    ours = nms_greedy(outputs[6]["heatmap"][0].astype(np.float32), NMS_RADIUS_PX, THRESHOLD)
    theirs = nms_greedy(expected[0], NMS_RADIUS_PX, THRESHOLD)
    assert theirs.sum() > 100
    doubtful = np.abs(expected[0] - THRESHOLD) <= HEATMAP_TOLERANCE
    assert not ((ours != theirs) & ~doubtful).any()
    points = np.argwhere(theirs)[:, ::-1].astype(np.float32)
    grids = outputs[6]["desc"][0].astype(np.float32).transpose(2, 0, 1), expected[1]
    first, second = (sample_descriptors(np.ascontiguousarray(grid), points, "original") for grid in grids)
    assert (first * second).sum(axis=1).min() >= DESCRIPTOR_COSINE
