from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import FeaturesError, ImageError
from oakpoint.features.types import Features, Matches
from oakpoint.view.draw import bgr_from_image, draw_keypoints, draw_matches, draw_tracks, with_status

GROUNDS = [np.zeros((60, 80), np.uint8), np.full((60, 80, 3), 255, np.uint8), np.full((60, 80, 3), 128, np.uint8)]


def features_at(points: list[tuple[float, float]]) -> Features:
    n = len(points)
    keypoints = np.array(points, np.float32).reshape(n, 2)
    return Features(keypoints, np.linspace(1, 0, n, dtype=np.float32), np.zeros((n, 4), np.float32), (80, 60))


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How much each pixel has changed, float (H, W)."""
    return np.abs(after.astype(float) - bgr_from_image(before)).sum(axis=2)


def centroid(weights: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("point", [(40.0, 30.0), (40.25, 29.5), (19.75, 44.0625)])
def test_a_dot_lies_on_its_keypoint_to_a_fraction_of_a_pixel(ground, point):
    before = ground.copy()
    drawn = draw_keypoints(ground, features_at([point]))
    assert drawn.shape == (60, 80, 3)
    assert drawn.dtype == np.uint8
    assert np.array_equal(ground, before)
    np.testing.assert_allclose(centroid(change(ground, drawn)), point, atol=0.12)
    assert change(ground, drawn).max() > 150  # seen on dark, on bright and on grey


def test_the_best_keypoint_is_brightest_and_on_top():
    drawn = draw_keypoints(GROUNDS[0], features_at([(40, 30), (40, 30), (10, 10)]))
    best, worst = drawn[30, 40].astype(int), drawn[10, 10].astype(int)
    assert best[1] > worst[1] + 50


def test_points_out_of_sight_or_not_finite_draw_nothing():
    features = features_at([(np.nan, 3), (np.inf, 3), (-500, 20), (1e9, -1e9)])
    assert np.array_equal(draw_keypoints(GROUNDS[1], features), GROUNDS[1])


@pytest.mark.parametrize("ground", GROUNDS)
def test_nothing_to_draw(ground):
    expected = bgr_from_image(ground)
    assert np.array_equal(draw_keypoints(ground, features_at([])), expected)
    none = draw_tracks(ground, np.empty((0, 5, 2), np.float32), np.empty(0, np.int64))
    assert np.array_equal(none, expected)


def test_a_track_is_the_line_it_came_along():
    positions = np.full((2, 6, 2), np.nan, np.float32)
    positions[0, 2:] = [[10, 20], [20, 20], [30, 20], [60, 20]]
    positions[1, 5] = [60, 50]
    drawn = draw_tracks(GROUNDS[0], positions, np.array([4, 1]))
    changed = change(GROUNDS[0], drawn)
    assert (changed[20, 10:61] > 30).all()
    assert not changed[:, :7].any()
    np.testing.assert_allclose(centroid(changed[40:]), [60, 10], atol=0.12)


def test_tracks_are_coloured_by_age():
    positions = np.float32([[[10, 10]], [[30, 10]], [[50, 10]], [[70, 10]]])
    drawn = draw_tracks(GROUNDS[0], positions, np.array([1, 15, 30, 500]), oldest=30)
    green = drawn[10, [10, 30, 50, 70], 1].astype(int)
    assert green[0] < green[1] < green[2] == green[3]


def test_tracks_of_another_shape():
    with pytest.raises(FeaturesError, match=r"got \(3, 5\) and \(3,\)"):
        draw_tracks(GROUNDS[0], np.zeros((3, 5), np.float32), np.zeros(3, np.int64))


def test_a_match_joins_its_two_keypoints():
    left, right = GROUNDS[0], np.zeros((40, 50, 3), np.uint8)
    matches = Matches(np.array([[0, 1]]), np.float32([0.3]))
    drawn = draw_matches(left, right, features_at([(20, 30)]), features_at([(1, 1), (25, 30)]), matches)
    assert drawn.shape == (60, 80 + 8 + 50, 3)
    blank = draw_matches(
        left, right, features_at([]), features_at([]), Matches(np.empty((0, 2), np.int64), np.float32([]))
    )
    changed = np.abs(drawn.astype(int) - blank).sum(axis=2)
    assert (changed[30, 20 : 88 + 25] > 60).all()
    np.testing.assert_allclose(centroid(changed), [(20 + 88 + 25) / 2, 30], atol=0.5)  # the gap is not quite black


def test_inliers_are_over_the_others_and_keep_the_colours_of_their_distances():
    features = features_at([(20, 30), (20, 30)])
    both, alone = np.array([[0, 0], [1, 1]]), np.array([[0, 0]])
    matches = Matches(both, np.float32([0.9, 0.1]))
    drawn = draw_matches(GROUNDS[0], GROUNDS[0], features, features, matches, inliers=np.array([True, False]))
    without = draw_matches(GROUNDS[0], GROUNDS[0], features, features, Matches(alone, np.float32([0.9])))
    assert np.abs(drawn[30, 21:100].astype(int) - without[30, 21:100]).max() <= 60  # what is below it shines through
    far = draw_matches(GROUNDS[0], GROUNDS[0], features_at([(20, 10), (20, 50)]), features_at([(20, 10), (20, 50)]),
                       matches, inliers=np.ones(2, bool))  # fmt: skip
    assert far[50, 60, 1] > far[10, 60, 1] + 50  # yellow, the closer one, and purple


def test_outliers_are_told_apart_without_colours():
    features = features_at([(10, 30)])
    matches = Matches(np.array([[0, 0]]), np.float32([0.5]))
    grey = [
        draw_matches(GROUNDS[0], GROUNDS[0], features, features, matches, inliers=np.array([inlier])).sum(axis=2)
        for inlier in (True, False)
    ]
    inside = grey[0][30, 14:80], grey[1][30, 14:80]
    broken = [int((line < 12).sum()) for line in inside]  # the ground is black
    assert broken[0] == 0
    assert 20 < broken[1] < 50  # half of a dashed line is not there


def test_equal_distances_have_one_colour():
    features = features_at([(20, 10), (20, 50)])
    matches = Matches(np.array([[0, 0], [1, 1]]), np.float32([0.5, 0.5]))
    drawn = draw_matches(GROUNDS[0], GROUNDS[0], features, features, matches)
    np.testing.assert_array_equal(drawn[10, 30:75], drawn[50, 30:75])


def test_matches_that_do_not_fit():
    features, matches = features_at([(2, 2)]), Matches(np.array([[0, 1]]), np.float32([0.3]))
    with pytest.raises(FeaturesError, match="indices below 1 and 1"):
        draw_matches(GROUNDS[0], GROUNDS[0], features, features, matches)
    with pytest.raises(FeaturesError, match=r"expected \(1,\)"):
        draw_matches(GROUNDS[0], GROUNDS[0], features, features, matches, inliers=np.ones(2, bool))


@pytest.mark.parametrize("width", [64, 333, 1920])
def test_the_status_strip_is_below_the_image_and_everything_fits(width):
    image = np.full((50, width), 200, np.uint8)
    texts = ["31.2 fps", "412 keypoints", "388 tracks", "openvino f32"]
    drawn = with_status(image, texts)
    strip = drawn[50:].astype(int)
    assert np.array_equal(drawn[:50], bgr_from_image(image))
    assert drawn.shape[1:] == (width, 3)
    assert len(strip) % 2 == 0
    assert drawn.shape == with_status(image, []).shape
    bright = (np.abs(strip - strip[0, 0]).sum(axis=2) > 100).any(axis=0)
    assert bright.any()
    assert not bright[-2:].any()


@pytest.mark.parametrize("width", range(700, 1500, 57))
def test_many_figures_fit_in_the_status_strip(width):
    texts = [
        "l.png - r.png",
        "1539 and 1499 keypoints",
        "1088 matches",
        "1002 inliers",
        "essential matrix, 1.5 px",
    ]
    strip = with_status(np.zeros((8, width), np.uint8), texts)[8:].astype(int)
    assert not (np.abs(strip[:, -4:] - strip[0, 0]).sum(axis=2) > 60).any()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_image(image):
    with pytest.raises(ImageError, match="image: expected"):
        bgr_from_image(image)
