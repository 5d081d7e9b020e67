from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import difference, estimate
from oakpoint.evaluate.metrics import (
    area_under_curve,
    corner_error_px,
    repeatability,
    repeatability_one_to_one,
    share_within,
)
from oakpoint.evaluate.protocols import protocols_by_name
from oakpoint.features.types import Features
from oakpoint.geometry import (
    PixelMap,
    homography_from_map,
    reprojection_errors,
    second_from_first_prepared,
    symmetric_errors,
    warped_by_homography,
)

coordinates = st.floats(0, 200, width=32)
seeds = st.integers(0, 2**32 - 1)


def points(minimum=0):
    return st.integers(minimum, 25).flatmap(lambda n: arrays(np.float64, (n, 2), elements=coordinates))


@st.composite
def homographies(draw):
    """Invertible and mild: a similarity with a little tilt."""
    angle, scale = draw(st.floats(-0.6, 0.6)), draw(st.floats(0.6, 1.6))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    tilt = draw(st.tuples(st.floats(-5e-4, 5e-4), st.floats(-5e-4, 5e-4)))
    return np.array([[cosine, -sine, draw(st.floats(-30, 30))], [sine, cosine, draw(st.floats(-30, 30))], [*tilt, 1.0]])


@given(points(), points(), homographies())
def test_one_to_one_repeatability_does_not_care_which_image_is_first(a, b, homography):
    there = repeatability_one_to_one(a, b, homography, threshold_px=3.0)
    back = repeatability_one_to_one(b, a, np.linalg.inv(homography), threshold_px=3.0)
    np.testing.assert_allclose(there.share, back.share)


@given(points(), points(), homographies(), seeds)
def test_repeatability_is_bounded_and_does_not_care_for_order(a, b, homography, seed):
    rng = np.random.default_rng(seed)
    for measure in (repeatability, repeatability_one_to_one):
        found = measure(a, b, homography, threshold_px=3.0)
        if len(a) + len(b):
            assert 0 <= found.share <= 1
            assert np.isnan(found.localisation_px) or 0 <= found.localisation_px <= 3.0
        shuffled = measure(rng.permutation(a), rng.permutation(b), homography, threshold_px=3.0)
        np.testing.assert_allclose(found.localisation_px, shuffled.localisation_px)
        if measure is repeatability:
            np.testing.assert_allclose(found.share, shuffled.share)
        wider = measure(a, b, homography, threshold_px=6.0)
        assert not wider.share < found.share


@given(points(1), homographies())
def test_the_published_one_is_never_the_smaller_one(a, homography):
    b = warped_by_homography(homography, a) + 1.0
    strict = repeatability_one_to_one(a, b, homography, threshold_px=3.0)
    assert strict.share <= repeatability(a, b, homography, threshold_px=3.0).share + 1e-12


@given(points(1), homographies(), st.floats(0.1, 10))
def test_errors_of_true_matches_are_nought_and_symmetric_ones_are_symmetric(a, homography, threshold_px):
    b = warped_by_homography(homography, a)
    assert reprojection_errors(a, b, homography).max() < 1e-6
    assert share_within(reprojection_errors(a, b, homography), threshold_px) == 1.0
    moved = b + 2.0
    np.testing.assert_allclose(
        symmetric_errors(a, moved, homography), symmetric_errors(moved, a, np.linalg.inv(homography)), atol=1e-6
    )


@given(homographies(), homographies())
def test_corner_error_is_a_distance(one, other):
    size = (320, 240)
    assert corner_error_px(one, one, size) == 0
    np.testing.assert_allclose(corner_error_px(one, other, size), corner_error_px(other, one, size), atol=1e-9)
    np.testing.assert_allclose(corner_error_px(3.0 * one, other, size), corner_error_px(one, other, size), atol=1e-9)


errors = st.lists(st.floats(0, 20) | st.just(float("inf")), min_size=1, max_size=40).map(np.array)


@given(errors, st.sampled_from([1.0, 3.0, 5.0]), seeds)
def test_areas_are_bounded_ordered_and_do_not_care_for_order(values, threshold_px, seed):
    area = area_under_curve(values, threshold_px)
    assert 0 <= area <= 1
    assert area <= np.mean(values <= threshold_px) + 1e-12
    np.testing.assert_allclose(area, area_under_curve(np.random.default_rng(seed).permutation(values), threshold_px))
    assert area_under_curve(values + 0.5, threshold_px) <= area + 1e-12


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=0, max_size=30).map(lambda v: np.array(v, float)))
def test_intervals_lie_within_the_values(values):
    figure, sequences = Figure("m", "m", "", "v", "mean", None), [str(index) for index in range(len(values))]
    found = estimate(figure, values, sequences, seed=0, resamples=100)
    if not np.isnan(found.low):
        assert np.nanmin(values) - 1e-12 <= found.low <= found.high <= np.nanmax(values) + 1e-12
    same = difference(figure, values, values, sequences, seed=0, resamples=100)
    assert np.isnan(same.value) or same.value == 0


scales = st.tuples(st.floats(0.2, 3), st.floats(0.2, 3))
offsets = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


@given(points(1), homographies(), scales, offsets, scales, offsets)
def test_prepared_homographies_chain(a, homography, scale_1, offset_1, scale_2, offset_2):
    """Prepare, warp by the prepared homography: the same as warping first and preparing afterwards."""
    prepare_1, prepare_2 = PixelMap(scale_1, offset_1), PixelMap(scale_2, offset_2)
    both = second_from_first_prepared(homography, prepare_1, prepare_2)
    in_first = warped_by_homography(homography_from_map(prepare_1), a)
    expected = warped_by_homography(homography_from_map(prepare_2), warped_by_homography(homography, a))
    np.testing.assert_allclose(warped_by_homography(both, in_first), expected, atol=1e-5)
    np.testing.assert_allclose(in_first, prepare_1(a), atol=1e-3)


@given(seeds, st.integers(0, 60), st.integers(0, 60))
def test_the_exact_reading_does_not_care_for_the_order_of_keypoints(seed, n, m):
    """Scores are tied on purpose."""
    rng = np.random.default_rng(seed)
    for protocol in protocols_by_name(["p1", "p2", "p3"], "exact"):
        a, b = (_features(rng, count) for count in (n, m))
        before = protocol.measure(a, b, np.eye(3)).values
        after = protocol.measure(_shuffled(a, rng), _shuffled(b, rng), np.eye(3)).values
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_allclose(before[name], after[name], err_msg=f"{protocol.key} {name}")


def _features(rng: np.random.Generator, n: int) -> Features:
    descriptors = rng.normal(size=(n, 8)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    points = rng.uniform(0, 240, (n, 2)).astype(np.float32)
    return Features(points, np.float32([0.5, 0.7])[rng.integers(0, 2, n)], descriptors, (240, 240))


def _shuffled(features: Features, rng: np.random.Generator) -> Features:
    order = rng.permutation(len(features))
    return Features(features.keypoints[order], features.scores[order], features.descriptors[order], features.image_size)
