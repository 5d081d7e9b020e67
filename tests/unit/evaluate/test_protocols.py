from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.features.types import Features
from oakpoint.geometry import inside_image, second_from_first_prepared, warped_by_homography

SIZES = {"p1": (320, 240), "p2": (640, 480), "p3": (300, 200)}
READINGS = ["published", "exact"]


def protocol(key, reading="published"):
    return protocols_by_name([key], reading)[0]


def random_features(rng, n, size, dim=32) -> Features:
    descriptors = rng.normal(size=(n, dim)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    points = rng.uniform(10, np.array(size) - 10, (n, 2)).astype(np.float32)
    return Features(points, np.sort(rng.uniform(0, 1, n).astype(np.float32))[::-1].copy(), descriptors, size)


def moved(features: Features, homography) -> Features:
    points = warped_by_homography(homography, features.keypoints).astype(np.float32)
    inside = inside_image(points, features.image_size)
    return Features(points[inside], features.scores[inside], features.descriptors[inside], features.image_size)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("shift", [(0, 0), (40, -25)])
def test_a_perfect_extractor_is_perfect(rng, reading, shift):
    truth = np.array([[1.0, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    for key, size in SIZES.items():
        first = random_features(rng, 200, size)
        values = protocol(key, reading).measure(first, moved(first, truth), truth).values
        if key == "p1":
            # A keypoint that a stronger one suppressed stays where that one has left the image.
            assert values["repeatability"] > (0.98 if any(shift) else 0.999)
            assert values["localisation_px"] < 0.05
        elif key == "p2":
            assert values["corner_error_px"] < 1e-2
            assert values["correct_1px"] == values["correct_5px"] == 1.0
            assert values["matching_score"] > 0.99  # one within half a pixel of the edge may count in one image only
        else:
            # In P3 no keypoint is dropped for lying outside; those that left find no true partner to be mutual with.
            assert values["mma_1px"] > 0.8
            assert shift != (0, 0) or values["mma_1px"] == 1.0


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("counts", [(0, 0), (0, 50), (50, 0), (2, 2)])
def test_empty_detections_are_measured_not_raised(rng, reading, counts):
    for key, size in SIZES.items():
        a, b = (random_features(rng, n, size) for n in counts)
        measured = protocol(key, reading).measure(a, b, np.eye(3))
        values = measured.values
        assert values["keypoints"] <= sum(counts) / 2
        if key == "p1" and counts == (0, 0):
            assert values["repeatability"] == 0.0 if reading == "exact" else np.isnan(values["repeatability"])
        if key == "p2":
            assert values["corner_error_px"] == np.inf
            assert values["correct_5px"] == 0.0
        if key == "p3" and 0 in counts:
            assert values["mma_5px"] == 0.0
            assert values["matches"] == 0
            assert measured.matches.first.shape == (0, 2)


def test_p2_with_known_outliers(rng):
    first = random_features(rng, 100, SIZES["p2"])
    second = moved(first, np.eye(3))
    second.keypoints[:25] += np.float32([30, 30])
    values = protocol("p2", "exact").measure(first, second, np.eye(3)).values
    assert values["matching_score"] == pytest.approx(0.75, abs=0.02)
    assert values["corner_error_px"] < 1e-6
    assert protocol("p3").measure(first, second, np.eye(3)).values["mma_5px"] == 0.75


def test_p1_takes_the_best_300_and_thins_them(rng):
    crowd = random_features(rng, 2000, SIZES["p1"])
    values = protocol("p1").measure(crowd, crowd, np.eye(3)).values
    assert values["keypoints"] == 300
    assert values["repeatability"] == 1.0
    same_place = Features(np.full((9, 2), 50, np.float32), crowd.scores[:9], crowd.descriptors[:9], SIZES["p1"])
    assert protocol("p1").measure(same_place, same_place, np.eye(3)).values["keypoints"] == 1


def test_only_the_published_p2_looks_at_the_truth_before_matching(rng):
    first = random_features(rng, 300, SIZES["p2"])
    half = np.array([[1.0, 0, 320], [0, 1, 0], [0, 0, 1]])
    second = random_features(rng, 300, SIZES["p2"])
    shared = int(inside_image(warped_by_homography(half, first.keypoints), SIZES["p2"]).sum())
    assert protocol("p2", "published").measure(first, second, half).values["keypoints"] < 200
    assert protocol("p2", "exact").measure(first, second, half).values["keypoints"] == 300
    assert 100 < shared < 200


def test_the_published_p3_leaves_out_what_d2_net_leaves_out():
    assert "i_dc" in protocol("p3").left_out
    assert len(protocol("p3").left_out) == 8
    assert not protocol("p3", "exact").left_out


@pytest.mark.parametrize("key", ["p1", "p2"])
@pytest.mark.parametrize("sizes", [((800, 640), (640, 800)), ((800, 533), (321, 243)), ((200, 160), (640, 480))])
def test_preparing_moves_the_homography_with_the_image(key, sizes, rng):
    """A pattern seen in both images must lie, after preparation, where the prepared homography says."""
    (w1, h1), (w2, h2) = sizes
    truth = np.array([[w2 / w1, 0.02, 3.0], [-0.01, h2 / h1, 5.0], [0, 0, 1]])
    pattern = cv2.GaussianBlur(rng.integers(0, 256, (h1, w1), np.uint8), (0, 0), 6) * 3
    how = protocol(key)
    first, second = how.prepare(pattern), how.prepare(cv2.warpPerspective(pattern, truth, (w2, h2)))
    assert first.size == second.size == how.size
    assert first.original_size == (w1, h1)
    prepared_truth = second_from_first_prepared(truth, first.prepared_from_original, second.prepared_from_original)
    rewarped = cv2.warpPerspective(first.image, prepared_truth, how.size)
    inside = cv2.warpPerspective(np.full_like(first.image, 255), prepared_truth, how.size) == 255
    inside = cv2.erode(inside.astype(np.uint8), np.ones((15, 15))) > 0
    at_half_a_pixel = cv2.warpPerspective(
        first.image, np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]) @ prepared_truth, how.size
    )
    error, shifted = (
        np.abs(second.image[inside].astype(float) - image[inside]).mean() for image in (rewarped, at_half_a_pixel)
    )
    assert inside.mean() > 0.2
    assert error < 0.6 * shifted  # half a pixel of error in the maps would be seen


def test_p3_leaves_images_as_they_are():
    image = np.zeros((30, 50, 3), np.uint8)
    prepared = protocol("p3").prepare(image)
    assert prepared.size == prepared.original_size == (50, 30)
    assert prepared.prepared_from_original(np.float32([[3, 4]])).tolist() == [[3, 4]]


def test_names():
    assert [p.key for p in protocols_by_name(["P3", "p1"], "exact")] == ["p1", "p3"]
    for names in (["p4"], [], ["p1", ""]):
        with pytest.raises(UsageError, match="p1, p2, p3"):
            protocols_by_name(names, "published")
    with pytest.raises(UsageError, match="published, exact"):
        protocols_by_name(["p1"], "literal")
    with pytest.raises(UsageError, match="positive"):
        protocols_by_name(["p2"], "exact", ransac_px=0.0)


@pytest.mark.parametrize("reading", READINGS)
def test_every_figure_has_its_value(rng, reading):
    for key, size in SIZES.items():
        how = protocol(key, reading)
        values = how.measure(random_features(rng, 50, size), random_features(rng, 50, size), np.eye(3)).values
        assert {figure.value for figure in how.figures} == {*values, "time_ms"} - {
            name for name in values if name not in {figure.value for figure in how.figures}
        }
        assert how.parameters()["reading"] == reading
