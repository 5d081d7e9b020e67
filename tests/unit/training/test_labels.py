from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from oakpoint.training.homographies import pixel_grid
from oakpoint.training.labels import FULL, HALF, LabelOptions, label_image
from oakpoint.training.teachers.protocol import TeacherOutputs

SIZE = (96, 64)
BLOBS = np.array([[20.3, 15.8], [60.25, 20.0], [40.5, 48.7], [80.1, 50.4]])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(points=BLOBS, heights=(0.9, 0.8, 0.7, 0.6), sigma_px=2.0):
    """Bright Gaussians on black; the brightness is the score that ``ToyTeacher`` gives."""
    pixels = pixel_grid(SIZE, torch.device("cpu")).numpy()
    distance = ((pixels[:, None] - points) ** 2).sum(axis=2)
    image = (np.array(heights) * np.exp(-distance / (2 * sigma_px**2))).max(axis=1)
    return np.rint(255 * image).astype(np.uint8).reshape(SIZE[1], SIZE[0])


class ToyTeacher:
    """Says that keypoints are where it is bright, and describes a cell by its place in what it is shown."""

    name = "toy"
    multiple = 8

    def __init__(self) -> None:
        self.shown = 0

    def __call__(self, images):
        self.shown += 1
        height, width = images.shape[2:]
        x, y = pixel_grid((width // 4, height // 4), images.device).T.reshape(2, height // 4, width // 4)
        descriptors = torch.stack([x, y, torch.ones_like(x)])[None].expand(len(images), -1, -1, -1)
        return TeacherOutputs(images, 5 * descriptors)


@pytest.mark.parametrize("warps", [0, 8])
def test_blobs_are_found_to_a_fraction_of_a_pixel(warps):
    teacher = ToyTeacher()
    labels = label_image(teacher, blobs(), LabelOptions(half_points=0, warps=warps, min_score=0.2), seeded())
    assert teacher.shown == 1 + warps
    assert labels.points.dtype == np.float32
    np.testing.assert_allclose(labels.points, BLOBS, atol=0.12)
    np.testing.assert_allclose(labels.scores, [0.9, 0.8, 0.7, 0.6], atol=0.12)  # warping blurs


def test_descriptors_are_the_images_own_unit_and_at_the_points():
    labels = label_image(ToyTeacher(), blobs(), LabelOptions(half_points=0, warps=4, min_score=0.2), seeded())
    cells = (labels.points + 0.5) / 4 - 0.5
    expected = functional.normalize(torch.from_numpy(np.column_stack([cells, np.ones(4)])), dim=1)
    assert labels.descriptors.dtype == np.float16
    np.testing.assert_allclose(labels.descriptors, expected, atol=2e-3)


def test_the_best_points_are_kept_in_order():
    labels = label_image(
        ToyTeacher(), blobs(), LabelOptions(half_points=0, warps=0, max_points=2, min_score=0.2), seeded()
    )
    np.testing.assert_allclose(labels.points, BLOBS[:2], atol=0.12)
    assert labels.scores[0] > labels.scores[1]


def test_low_scores_are_no_keypoints():
    labels = label_image(ToyTeacher(), blobs(), LabelOptions(half_points=0, warps=0, min_score=0.75), seeded())
    assert len(labels.points) == 2
    none = label_image(ToyTeacher(), np.zeros(SIZE[::-1], np.uint8), LabelOptions(half_points=0, warps=2), seeded())
    assert none.points.shape == (0, 2)
    assert none.scores.shape == (0,)
    assert none.descriptors.shape == (0, 3)


def test_the_same_seed_gives_the_same_labels():
    image = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
    first, second = (label_image(ToyTeacher(), image, LabelOptions(half_points=0, warps=3), seeded(2)) for _ in "ab")
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)
    third = label_image(ToyTeacher(), image, LabelOptions(half_points=0, warps=3), seeded(3))
    assert len(third.points) != len(first.points) or (third.points != first.points).any()


def test_an_image_that_is_seen_everywhere_keeps_its_scores_at_the_border():
    """Pixels that few warped copies show are averaged over those alone."""
    bright = np.full(SIZE[::-1], 200, np.uint8)
    labels = label_image(ToyTeacher(), bright, LabelOptions(half_points=0, warps=6), seeded())
    assert len(labels.points)
    np.testing.assert_allclose(labels.scores, 200 / 255, atol=1e-4)


def test_no_two_points_are_near_each_other():
    image = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
    options = LabelOptions(half_points=0, warps=0, nms_radius_px=4)
    for shown in (image, image // 64 * 64):  # the other has many equal scores
        points = label_image(ToyTeacher(), shown, options, seeded()).points
        steps = np.abs(np.rint(points)[:, None] - np.rint(points)).max(axis=2) + 100 * np.eye(len(points))
        assert len(points) > 10
        assert steps.min() >= 4  # refined by half a pixel at most, each


def test_a_plateau_is_one_point():
    image = blobs(np.array([[40.5, 30.0]]), (0.9,))
    assert image[30, 40] == image[30, 41]
    labels = label_image(ToyTeacher(), image, LabelOptions(half_points=0, warps=0, min_score=0.2), seeded())
    np.testing.assert_allclose(labels.points, [[40.5, 30]], atol=0.05)


def test_what_is_a_corner_at_half_the_size_is_one_too():
    points = np.array([[24.5, 16.5], [64.5, 40.5]])
    labels = label_image(
        ToyTeacher(),
        blobs(points, (0.9, 0.8), sigma_px=4),
        LabelOptions(warps=0, min_score=0.5, half_points=1),
        seeded(),
    )
    assert labels.levels.tolist() == [FULL, FULL, HALF]
    np.testing.assert_allclose(labels.points, [*points, points[0]], atol=0.3)
