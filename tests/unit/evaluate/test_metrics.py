"""Hand-made cases whose answers can be worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.estimation.homography import ransac_homography
from oakpoint.evaluate.metrics import (
    area_under_curve,
    corner_error_px,
    matching_score,
    repeatability,
    repeatability_one_to_one,
    share_within,
)
from oakpoint.geometry import reprojection_errors, symmetric_errors

IDENTITY = np.eye(3)
SHIFT = np.array([[1.0, 0, 10], [0, 1, -4], [0, 0, 1]])
DOUBLE = np.diag([2.0, 2.0, 1.0])
MOVED = np.array([10.0, -4])
NONE = np.zeros((0, 2))
POINTS = np.array([[10.0, 10], [50, 20], [30, 70], [90, 40]])
BOTH = [repeatability, repeatability_one_to_one]


@pytest.mark.parametrize("measure", BOTH)
@pytest.mark.parametrize(("truth", "second"), [(IDENTITY, POINTS), (SHIFT, POINTS + MOVED), (DOUBLE, 2 * POINTS)])
def test_the_same_points_are_all_repeated(measure, truth, second):
    found = measure(POINTS, second, truth, threshold_px=3.0)
    assert found.share == 1.0
    assert found.localisation_px == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("measure", BOTH)
def test_two_of_four_are_repeated_at_known_distances(measure):
    second = POINTS + np.array([[3.0, 0], [0, 1], [0, 3.001], [500, 0]])
    found = measure(POINTS, second, IDENTITY, threshold_px=3.0)
    assert found.share == 0.5  # (2 + 2) of (4 + 4); 3 px counts, 3.001 does not
    assert found.localisation_px == pytest.approx(2.0)  # (3 + 1 + 3 + 1) / 4


def test_keypoints_share_a_nearest_one_only_in_the_published_reading():
    crowd, one = np.array([[0.0, 0], [1, 0], [0, 2]]), np.array([[0.0, 0]])
    assert repeatability(crowd, one, IDENTITY, threshold_px=3.0).share == 1.0
    assert repeatability_one_to_one(crowd, one, IDENTITY, threshold_px=3.0).share == 2 / 4


def test_distances_are_the_second_images_or_the_larger_of_both():
    first, second = np.array([[0.0, 0]]), np.array([[2.0, 0]])
    half = np.diag([0.5, 0.5, 1.0])
    assert repeatability(first, second, half, threshold_px=3.0).share == 1.0  # 2 px apart in the second image
    assert repeatability_one_to_one(first, second, half, threshold_px=3.0).share == 0.0  # 4 px in the first


@pytest.mark.parametrize("measure", BOTH)
def test_repeatability_of_nothing(measure):
    nothing = measure(NONE, NONE, IDENTITY, threshold_px=3.0)
    assert np.isnan(nothing.share)
    assert np.isnan(nothing.localisation_px)
    half_empty = measure(POINTS, NONE, SHIFT, threshold_px=3.0)
    assert half_empty.share == 0.0
    assert np.isnan(half_empty.localisation_px)


def test_reprojection_errors_of_known_outliers():
    second = POINTS + MOVED + np.array([[0, 0], [3, 4], [0, 1], [100, 0]])
    assert reprojection_errors(POINTS, second, SHIFT).tolist() == pytest.approx([0, 5, 1, 100])
    errors = reprojection_errors(2 * POINTS, 2 * POINTS + [2, 0], IDENTITY)
    assert errors.tolist() == [2, 2, 2, 2]
    assert symmetric_errors(POINTS, 2 * POINTS + [2, 0], DOUBLE).tolist() == [2, 2, 2, 2]  # 1 px in the first image
    assert symmetric_errors(POINTS, POINTS / 2 + [2, 0], DOUBLE / [2, 2, 1] * [0.5, 0.5, 1]).tolist() == [4, 4, 4, 4]


def test_a_point_sent_to_infinity_is_wrong_not_an_error():
    to_infinity = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, -10]])
    assert reprojection_errors(np.array([[10.0, 0]]), np.array([[10.0, 0]]), to_infinity).tolist() == [np.inf]


def test_share_within_a_threshold():
    errors = np.array([0.0, 1.0, 1.0001, 3.0, 100])
    assert [share_within(errors, t) for t in (1, 3, 5)] == [0.4, 0.8, 0.8]
    assert share_within(np.zeros(0), 3) == 0.0


def test_matching_score_is_the_mean_of_both_images():
    assert matching_score(30, 60, 120) == pytest.approx((0.5 + 0.25) / 2)
    assert matching_score(0, 0, 50) == 0.0
    assert np.isnan(matching_score(0, 0, 0))


def test_ransac_finds_the_homography_under_known_outliers(rng):
    truth = np.array([[0.9, 0.1, 12], [-0.12, 1.05, -7], [1e-4, -5e-5, 1]])
    first = rng.uniform(0, 400, (60, 2))
    second = np.c_[first, np.ones(60)] @ truth.T
    second = second[:, :2] / second[:, 2:]
    second[::4] += rng.uniform(20, 200, (15, 2))
    options = {"threshold_px": 3.0, "max_iterations": 2000, "confidence": 0.995}
    found = ransac_homography(first, second, **options)
    assert corner_error_px(found, truth, (640, 480)) < 1e-3
    again = ransac_homography(first, second, **options)
    assert np.array_equal(found, again)
    assert ransac_homography(first[:3], second[:3], **options) is None
    assert ransac_homography(np.zeros((10, 2)), np.zeros((10, 2)), **options) is None


def test_corner_error_of_a_shift_and_of_a_scale():
    assert corner_error_px(IDENTITY, IDENTITY, (640, 480)) == 0.0
    assert corner_error_px(np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]]), IDENTITY, (640, 480)) == pytest.approx(5.0)
    # Twice the size moves the corners (0, 0), (30, 0), (30, 40), (0, 40) by 0, 30, 50 and 40 px.
    assert corner_error_px(DOUBLE, IDENTITY, (31, 41)) == pytest.approx(30.0)
    assert corner_error_px(None, IDENTITY, (640, 480)) == np.inf
    assert corner_error_px(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]]), IDENTITY, (64, 48)) == np.inf


def test_area_under_the_curve_by_hand():
    assert area_under_curve(np.zeros(4), 3.0) == 1.0
    assert area_under_curve(np.array([9.0, np.inf]), 3.0) == 0.0
    # One error of 1 px up to 2 px: a triangle of 1/2, then level at 1 for one pixel: 1.5 / 2.
    assert area_under_curve(np.array([1.0]), 2.0) == pytest.approx(0.75)
    # Errors 1 and ∞: the curve rises to 1/2 at 1 px and stays: (0.25 + 0.5) / 2.
    assert area_under_curve(np.array([np.inf, 1.0]), 2.0) == pytest.approx(0.375)
    assert np.isnan(area_under_curve(np.zeros(0), 3.0))
