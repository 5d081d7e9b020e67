"""The protocols against figures computed another way: plain loops, OpenCV's matcher, no code of the package."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

SEQUENCES = ("i_leuven", "i_ubc", "v_boat", "v_graf")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def layout(shared: Path) -> Path:
    return shared / "eval" / "hpatches_layout"


def prepared(path: Path, size: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """The image scaled to cover the size and cut about the centre, and the 3×3 matrix of what was done."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if size is None:
        return image, np.eye(3)
    height, width = image.shape
    scale = max(size[0] / width, size[1] / height)
    w, h = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = (width - w) // 2, (height - h) // 2
    sx, sy = size[0] / w, size[1] / h
    matrix = np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5], [0, 0, 1]])
    return cv2.resize(image[top : top + h, left : left + w], size, interpolation=cv2.INTER_AREA), matrix


def rootsift(image: np.ndarray) -> tuple[list[cv2.KeyPoint], np.ndarray]:
    keypoints, descriptors = cv2.SIFT_create().detectAndCompute(image, None)
    order = sorted(range(len(keypoints)), key=lambda i: -keypoints[i].response)[:4096]
    descriptors = np.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True))
    return [keypoints[i] for i in order], descriptors[order]


def moved(point: tuple[float, float], homography: np.ndarray) -> tuple[float, float]:
    x, y, w = homography @ [point[0], point[1], 1.0]
    return x / w, y / w


def within(point: tuple[float, float], size: tuple[int, int]) -> bool:
    return 0 <= point[0] < size[0] and 0 <= point[1] < size[1]


def pairs(layout: Path, size: tuple[int, int] | None):
    for name in SEQUENCES:
        first, m1 = prepared(layout / name / "1.png", size)
        features = rootsift(first)
        for k in range(2, 7):
            second, m2 = prepared(layout / name / f"{k}.png", size)
            truth = m2 @ np.loadtxt(layout / name / f"H_1_{k}") @ np.linalg.inv(m1)
            yield first, features, second, rootsift(second), truth


def evaluated(command, layout: Path, protocol: str) -> dict[str, float]:
    ran = command("eval", "sift", "--dataset", layout, "--protocols", protocol, "--json")
    facts = json.loads(ran.out)["protocols"][protocol]
    assert facts["pairs"] == 20
    return {name: figure["value"] for name, figure in facts["extractors"]["sift"]["figures"].items()}


@pytest.mark.shared
@pytest.mark.slow
def test_p1_of_rootsift(command, layout):
    shares, distances = [], []
    for first, (points_a, _), second, (points_b, _), truth in pairs(layout, (320, 240)):
        counted = []
        for image, points, homography in ((first, points_a, truth), (second, points_b, np.linalg.inv(truth))):
            kept: list[tuple[float, float]] = []
            for point in sorted(points, key=lambda p: (-p.response, *p.pt)):
                if all(max(abs(point.pt[0] - x), abs(point.pt[1] - y)) > 4 for x, y in kept):
                    kept.append(point.pt)
            assert image.shape == (240, 320)
            counted.append([p for p in kept if within(moved(p, homography), (320, 240))][:300])
        a, b = [moved(p, truth) for p in counted[0]], counted[1]
        nearest = [min(math.dist(p, q) for q in b) for p in a] + [min(math.dist(p, q) for p in a) for q in b]
        repeated = [d for d in nearest if d <= 3]
        shares.append(len(repeated) / len(nearest))
        distances.append(sum(repeated) / len(repeated))
    found = evaluated(command, layout, "p1")
    assert found["repeatability"] == pytest.approx(np.mean(shares), abs=1e-3)
    assert found["localisation_px"] == pytest.approx(np.mean(distances), abs=5e-3)


@pytest.mark.shared
@pytest.mark.slow
def test_p2_of_rootsift(command, layout):
    errors = []
    for _, (points_a, described_a), _, (points_b, described_b), truth in pairs(layout, (640, 480)):
        keep_a = [i for i, p in enumerate(points_a) if within(moved(p.pt, truth), (640, 480))][:1000]
        keep_b = [i for i, p in enumerate(points_b) if within(moved(p.pt, np.linalg.inv(truth)), (640, 480))][:1000]
        matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(described_a[keep_a], described_b[keep_b])
        source = np.array([points_a[keep_a[m.queryIdx]].pt for m in matches])
        target = np.array([points_b[keep_b[m.trainIdx]].pt for m in matches])
        found, _ = cv2.findHomography(source, target, cv2.RANSAC)
        corners = [(0, 0), (639, 0), (639, 479), (0, 479)]
        errors.append(np.mean([math.dist(moved(c, found), moved(c, truth)) for c in corners]))
    found = evaluated(command, layout, "p2")
    for t in (1, 3, 5):
        # Equal to the last pair where this was written; where matrix products round otherwise, a match may differ.
        assert found[f"correct_{t}px"] == pytest.approx(np.mean(np.array(errors) <= t), abs=0.051)


@pytest.mark.shared
@pytest.mark.slow
def test_p3_of_rootsift(command, layout):
    shares: dict[int, list[float]] = {1: [], 3: [], 5: []}
    for _, (points_a, described_a), _, (points_b, described_b), truth in pairs(layout, None):
        matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(described_a[:2048], described_b[:2048])
        errors = [math.dist(moved(points_a[m.queryIdx].pt, truth), points_b[m.trainIdx].pt) for m in matches]
        for t, values in shares.items():
            values.append(sum(e <= t for e in errors) / len(errors))
    found = evaluated(command, layout, "p3")
    for t, values in shares.items():
        assert found[f"mma_{t}px"] == pytest.approx(np.mean(values), abs=2e-3)


@pytest.mark.shared
@pytest.mark.slow
def test_superpoint_is_of_the_order_that_is_known(command, layout, superpoint_weights):
    """On 55 pairs of the same kind 0.650, 0.655 at 3 px and 0.527 were measured; twenty pairs leave that much room."""
    ran = command("eval", "superpoint", "--weights", superpoint_weights, "--dataset", layout, "--json")
    protocols = json.loads(ran.out)["protocols"]
    for protocol, figure, known in (
        ("p1", "repeatability", 0.65),
        ("p2", "correct_3px", 0.655),
        ("p3", "mma_3px", 0.527),
    ):
        found = protocols[protocol]["extractors"]["superpoint"]["figures"][figure]
        assert found["low"] - 0.1 <= known <= found["high"] + 0.1
        assert found["pairs"] == 20
