from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from oakpoint.features.decode import decode, in_frame
from oakpoint.features.sampling import sample_descriptors
from oakpoint.features.types import PRESETS, DecodeOptions, DenseOutputs, Features
from oakpoint.geometry import PixelMap, cropped_from_full, resized_from_original

OPTIONS = DecodeOptions.preset("superpoint")


def outputs_with(points: dict[tuple[int, int], float], rows: int = 6, columns: int = 8) -> DenseOutputs:
    """Outputs whose heat map is about zero but at (x, y), where it is the given probability (one point in a cell)."""
    logits = np.full((65, rows, columns), -30, np.float32)
    logits[64] = 0
    for (x, y), probability in points.items():
        logits[y % 8 * 8 + x % 8, y // 8, x // 8] = np.log(probability / (1 - probability))
    rng = np.random.default_rng(5)
    return DenseOutputs(logits, rng.normal(size=(16, rows, columns)).astype(np.float32))


def test_keypoints_are_pixels_sorted_by_score_with_their_descriptors() -> None:
    outputs = outputs_with({(10, 9): 0.3, (50, 20): 0.9, (30, 40): 0.6})
    features = decode(outputs, OPTIONS)
    assert features.keypoints.tolist() == [[50, 20], [30, 40], [10, 9]]
    np.testing.assert_allclose(features.scores, [0.9, 0.6, 0.3], rtol=1e-5)
    assert features.image_size == (64, 48)
    expected = sample_descriptors(outputs.descriptors, features.keypoints, "original")
    np.testing.assert_array_equal(features.descriptors, expected)


@pytest.mark.parametrize("subpixel", ["soft_argmax", "quadratic"])
def test_refined_keypoints_have_the_descriptors_of_where_they_are(subpixel: str) -> None:
    rng = np.random.default_rng(3)
    outputs = dataclasses.replace(outputs_with({}), logits=rng.normal(size=(65, 6, 8)).astype(np.float32))
    whole, refined = (decode(outputs, OPTIONS.with_changes(subpixel=name)) for name in ("none", subpixel))
    np.testing.assert_array_equal(np.rint(whole.keypoints), whole.keypoints)
    assert len(refined) == len(whole) > 10
    assert (refined.keypoints != whole.keypoints).any()
    np.testing.assert_array_equal(refined.scores, whole.scores)
    expected = sample_descriptors(outputs.descriptors, refined.keypoints, OPTIONS.sampling)
    np.testing.assert_array_equal(refined.descriptors, expected)


def test_a_letterbox_s_padding_is_left_out_where_the_refined_keypoint_lies_in_it() -> None:
    logits = outputs_with({(20, 20): 0.5}).logits
    logits[20 % 8 * 8 + 19 % 8, 2, 2] = logits[20 % 8 * 8 + 20 % 8, 2, 2]  # two equal pixels, 19 and 20
    outputs = DenseOutputs(logits, np.ones((16, 6, 8), np.float32))
    refined = decode(outputs, OPTIONS.with_changes(subpixel="soft_argmax"))
    np.testing.assert_allclose(refined.keypoints, [[19.5, 20]])
    for left_px, inside in ((20, 1), (21, 0)):  # the content begins at 19.5, at 20.5
        assert len(in_frame(refined, cropped_from_full(left_px, 0), (40, 40))) == inside


def test_equal_scores_stand_in_row_major_order() -> None:
    points = {(50, 40): 0.5, (10, 9): 0.5, (50, 9): 0.5, (10, 40): 0.5}
    assert decode(outputs_with(points), OPTIONS).keypoints.tolist() == [[10, 9], [50, 9], [10, 40], [50, 40]]


def test_only_the_best_are_kept() -> None:
    outputs = outputs_with({(10, 9): 0.3, (50, 20): 0.9, (30, 40): 0.6})
    best = decode(outputs, OPTIONS.with_changes(max_keypoints=2))
    assert best.keypoints.tolist() == [[50, 20], [30, 40]]
    assert best.descriptors.shape == (2, 16)


def test_the_border_is_half_open_as_in_the_original() -> None:
    edges = {(3, 20): 0.5, (4, 30): 0.5, (59, 20): 0.5, (60, 30): 0.5, (20, 3): 0.5, (30, 4): 0.5, (36, 43): 0.5}
    kept = decode(outputs_with(edges), OPTIONS).keypoints.tolist()
    assert kept == [[30, 4], [59, 20], [4, 30], [36, 43]]


@pytest.mark.parametrize("nms", ["greedy", "maxpool"])
def test_a_point_on_the_border_still_suppresses_its_neighbours(nms: str) -> None:
    outputs = outputs_with({(3, 20): 0.9, (5, 24): 0.5})
    assert len(decode(outputs, OPTIONS.with_changes(nms=nms))) == 0
    assert len(decode(outputs, OPTIONS.with_changes(nms=nms, nms_radius_px=3))) == 1


@pytest.mark.parametrize("nms", ["greedy", "maxpool"])
def test_a_score_equal_to_the_threshold_is_kept(nms: str) -> None:
    outputs = outputs_with({(20, 20): 0.5})
    score = float(decode(outputs, OPTIONS).scores[0])
    assert len(decode(outputs, OPTIONS.with_changes(nms=nms, threshold=score))) == 1
    assert len(decode(outputs, OPTIONS.with_changes(nms=nms, threshold=float(np.nextafter(np.float32(score), 1))))) == 0


def test_both_suppressions_agree_where_no_chain_is_long(rng: np.random.Generator) -> None:
    cells = rng.permutation(48)[:20]
    offsets = rng.integers(0, 8, (20, 2))
    points = {
        (int(cell % 8 * 8 + dx), int(cell // 8 * 8 + dy)): float(p)
        for cell, (dx, dy), p in zip(cells, offsets, rng.uniform(0.1, 0.9, 20), strict=True)
    }
    greedy, maxpool = (decode(outputs_with(points), OPTIONS.with_changes(nms=nms)) for nms in ("greedy", "maxpool"))
    assert len(greedy) > 5
    np.testing.assert_array_equal(greedy.keypoints, maxpool.keypoints)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_give_valid_empty_features(preset: str, value: float) -> None:
    broken = DenseOutputs(np.full((65, 4, 5), value, np.float32), np.full((256, 4, 5), value, np.float32))
    features = decode(broken, DecodeOptions.preset(preset).with_changes(threshold=0.0))
    assert_empty(features, 256)


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_found_gives_valid_empty_features(preset: str) -> None:
    assert_empty(decode(outputs_with({}), DecodeOptions.preset(preset)), 16)


def test_a_border_that_covers_the_image_gives_valid_empty_features() -> None:
    outputs = outputs_with({(20, 20): 0.5, (0, 0): 0.5})
    assert_empty(decode(outputs, OPTIONS.with_changes(border_px=24)), 16)
    assert_empty(decode(outputs, OPTIONS.with_changes(border_px=1000)), 16)


@pytest.mark.parametrize("preset", PRESETS)
def test_constant_logits_give_valid_features(preset: str) -> None:
    constant = DenseOutputs(np.zeros((65, 4, 5), np.float32), np.zeros((256, 4, 5), np.float32))
    features = decode(constant, DecodeOptions.preset(preset))
    np.testing.assert_allclose(features.scores, 1 / 65, rtol=1e-6)
    assert not features.descriptors.any()


def assert_empty(features: Features, length: int) -> None:
    assert features.keypoints.shape == (0, 2)
    assert features.scores.shape == (0,)
    assert features.descriptors.shape == (0, length)
    assert {array.dtype for array in (features.keypoints, features.scores, features.descriptors)} == {
        np.dtype(np.float32)
    }


def features_at(*points: tuple[float, float]) -> Features:
    n = len(points)
    descriptors = np.eye(n, 8, dtype=np.float32)
    scores = np.linspace(0.9, 0.1, n, dtype=np.float32)
    return Features(np.array(points, np.float32).reshape(n, 2), scores, descriptors, (320, 200))


def test_in_frame_takes_keypoints_back_to_the_original_image() -> None:
    original_from_tensor = resized_from_original((1280, 800), (320, 200)).inverse()
    features = in_frame(features_at((0, 0), (319, 199), (10, 20)), original_from_tensor, (1280, 800))
    np.testing.assert_allclose(features.keypoints, [[1.5, 1.5], [1277.5, 797.5], [41.5, 81.5]], rtol=1e-6)
    assert features.image_size == (1280, 800)


def test_in_frame_drops_the_padding_of_a_letterbox() -> None:
    # An image of 200×200 px in the middle of a tensor of 320×200 px.
    original_from_tensor = cropped_from_full(60, 0)
    features = in_frame(features_at((59, 10), (60, 10), (259, 10), (260, 10)), original_from_tensor, (200, 200))
    assert features.keypoints.tolist() == [[0, 10], [199, 10]]
    np.testing.assert_array_equal(features.descriptors, np.eye(4, 8, dtype=np.float32)[1:3])
    np.testing.assert_allclose(features.scores, [0.9 - 0.8 / 3, 0.9 - 1.6 / 3], rtol=1e-6)


def test_in_frame_of_nothing_is_nothing() -> None:
    features = in_frame(features_at(), PixelMap((2, 2), (0.5, 0.5)), (640, 400))
    assert_empty(features, 8)
    assert features.image_size == (640, 400)


def test_in_frame_leaves_its_input_alone() -> None:
    features = features_at((1, 2))
    before = dataclasses.replace(features, keypoints=features.keypoints.copy())
    in_frame(features, PixelMap((2, 2), (0, 0)), (640, 400))
    np.testing.assert_array_equal(features.keypoints, before.keypoints)
