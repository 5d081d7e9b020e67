from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.geometry import (
    PixelMap,
    corner_matrix_from_map,
    cropped_from_full,
    map_from_corner_matrix,
    outer_from_centre,
    resized_from_original,
    warped_by_homography,
)


def test_resizing_maps_edges_to_edges():
    half = resized_from_original((640, 480), (320, 120))
    edges = half(np.float32([[-0.5, -0.5], [639.5, 479.5]]))
    assert edges.tolist() == [[-0.5, -0.5], [319.5, 119.5]]
    # The centre of the 2×4 block of pixels that becomes the first pixel.
    assert half.inverse()(np.float32([[0, 0]])).tolist() == [[0.5, 1.5]]


@pytest.mark.parametrize(("original", "resized"), [((40, 30), (64, 24)), ((100, 50), (30, 80))])
def test_resizing_is_what_cv2_resize_does(original, resized):
    columns = np.broadcast_to(np.arange(original[0], dtype=np.float32), (original[1], original[0]))
    read = cv2.resize(np.ascontiguousarray(columns), resized, interpolation=cv2.INTER_LINEAR)[0]
    points = np.stack([np.arange(resized[0]), np.zeros(resized[0])], axis=1)
    expected = resized_from_original(original, resized).inverse()(points)[:, 0]
    np.testing.assert_allclose(read, np.clip(expected, 0, original[0] - 1), atol=1e-4)  # cv2 repeats the edge


def test_cropping_counts_from_the_corner_of_the_part():
    assert cropped_from_full(3, -2)(np.float32([[3, -2], [5, 5]])).tolist() == [[0, 0], [2, 7]]


def test_composition_reads_from_right_to_left():
    c_from_b, b_from_a = PixelMap((2, 3), (1, -1)), PixelMap((0.5, 4), (10, 0))
    points = np.float32([[1, 2], [-3, 0.5]])
    np.testing.assert_array_equal((c_from_b @ b_from_a)(points), c_from_b(b_from_a(points)))


def test_no_points_keep_rank_and_type():
    mapped = resized_from_original((4, 4), (8, 8))(np.empty((0, 2), np.float32))
    assert mapped.shape == (0, 2)
    assert mapped.dtype == np.float32
    assert warped_by_homography(np.eye(3), np.empty((0, 2), np.float32)).shape == (0, 2)


def test_a_homography_is_what_cv2_applies(rng):
    homography = np.eye(3) + rng.normal(0, 1e-3, (3, 3))
    points = rng.uniform(0, 500, (20, 2))
    expected = cv2.perspectiveTransform(points[:, np.newaxis], homography)[:, 0]
    np.testing.assert_allclose(warped_by_homography(homography, points), expected, rtol=1e-12)


def test_the_line_at_infinity_is_silent():
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    mapped = warped_by_homography(horizon, np.float64([[5, 0], [0, 0], [4, 2]]))
    assert np.isposinf(mapped[0, 0])
    assert np.isnan(mapped[1]).all()
    assert mapped[2].tolist() == [2, 1]


def test_the_outer_corner_lies_half_a_pixel_before_the_first_centre():
    assert outer_from_centre(np.float32([[-0.5, -0.5], [3, 2]])).tolist() == [[0, 0], [3.5, 2.5]]


def test_a_matrix_that_counts_from_corners_is_the_same_map():
    # Edges go to edges: a pure scale about the corner is what resizing does.
    half = map_from_corner_matrix(np.diag([0.5, 0.25, 1.0]))
    assert half == resized_from_original((640, 480), (320, 120))
    shifted = map_from_corner_matrix(np.array([[1.0, 0, -3], [0, 1, 2], [0, 0, 1]]))
    assert shifted == cropped_from_full(3, -2)


def test_corner_matrices_go_back_and_forth():
    place = PixelMap((0.5, 0.75), (3.0, -1.25))
    assert map_from_corner_matrix(corner_matrix_from_map(place)) == place


@pytest.mark.parametrize(
    "matrix",
    [[[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0.1, 0, 1]]],
)
def test_a_matrix_that_turns_or_tilts_is_refused(matrix):
    with pytest.raises(UsageError, match="expected a matrix that scales and shifts alone"):
        map_from_corner_matrix(np.array(matrix, float))
