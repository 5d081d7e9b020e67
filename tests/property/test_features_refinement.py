"""Refinement against the symmetries of the pixel grid, on heat maps with plateaus, zeros and ties."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from oakpoint.features.decode import decode
from oakpoint.features.refinement import SOFT_ARGMAX_RADIUS_PX, refined_keypoints
from oakpoint.features.types import DecodeOptions, HeatmapOutputs, Subpixel

METHODS: tuple[Subpixel, ...] = get_args(Subpixel)
TOLERANCE_PX = 1e-4

methods = st.sampled_from(METHODS)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
probabilities = st.sampled_from([0, 1e-45, 1e-30, 0.1, 0.2, 0.5, 1]) | st.floats(0, 1, width=32)
heatmaps = sizes.flatmap(lambda size: npst.arrays(np.float32, size, elements=probabilities))


def every_pixel(heatmap: np.ndarray) -> np.ndarray:
    return np.argwhere(np.ones(heatmap.shape, bool))[:, ::-1]


@given(heatmaps, methods)
def test_a_keypoint_stays_in_its_pixel_and_in_the_image(heatmap: np.ndarray, method: Subpixel) -> None:
    pixels = every_pixel(heatmap)
    found = refined_keypoints(heatmap, pixels, method)
    assert np.isfinite(found).all()
    assert (np.abs(found - pixels) <= 0.5).all()
    assert (found >= 0).all()
    assert (found <= np.array(heatmap.shape[::-1]) - 1).all()


@given(heatmaps, methods, st.integers(0, 9), st.integers(0, 9))
def test_whole_pixels_of_shift_shift_the_keypoints(
    heatmap: np.ndarray, method: Subpixel, right: int, down: int
) -> None:
    margin = SOFT_ARGMAX_RADIUS_PX  # of zeros, so that the edge is as far away for both
    pixels = every_pixel(heatmap)
    here = np.pad(heatmap, margin)
    there = np.pad(heatmap, ((margin + down, margin), (margin + right, margin)))
    before = refined_keypoints(here, pixels + margin, method)
    after = refined_keypoints(there, pixels + margin + np.array([right, down]), method)
    np.testing.assert_allclose(after, before + np.array([right, down]), atol=TOLERANCE_PX)


@given(heatmaps, methods)
def test_a_mirrored_heat_map_has_mirrored_keypoints(heatmap: np.ndarray, method: Subpixel) -> None:
    pixels = every_pixel(heatmap)
    width = heatmap.shape[1]
    found = refined_keypoints(heatmap, pixels, method)
    mirrored = refined_keypoints(heatmap[:, ::-1], pixels * (-1, 1) + (width - 1, 0), method)
    np.testing.assert_allclose(mirrored, found * (-1, 1) + (width - 1, 0), atol=TOLERANCE_PX)
    turned = refined_keypoints(heatmap.T, pixels[:, ::-1], method)
    np.testing.assert_allclose(turned, found[:, ::-1], atol=TOLERANCE_PX)


@given(heatmaps, methods, st.sampled_from([0.25, 0.5]))
def test_the_level_of_the_heat_map_does_not_matter(heatmap: np.ndarray, method: Subpixel, factor: float) -> None:
    heatmap = np.where(heatmap < 1e-20, 0, heatmap).astype(np.float32)  # halving the smallest ones would round
    pixels = every_pixel(heatmap)
    scaled = refined_keypoints((heatmap * np.float32(factor)).astype(np.float32), pixels, method)
    np.testing.assert_allclose(scaled, refined_keypoints(heatmap, pixels, method), atol=TOLERANCE_PX)


@given(
    npst.arrays(np.float32, (24, 32), elements=st.sampled_from([0, 0.01, 0.02, 0.3, 0.9, -1, np.nan, np.inf])),
    methods,
    st.integers(0, 5),
    st.integers(0, 4),
)
def test_which_keypoints_there_are_does_not_depend_on_refinement(
    heatmap: np.ndarray, method: Subpixel, border_px: int, nms_radius_px: int
) -> None:
    outputs = HeatmapOutputs(heatmap, np.ones((3, 3, 4), np.float32))
    options = DecodeOptions.preset("superpoint").with_changes(border_px=border_px, nms_radius_px=nms_radius_px)
    plain, refined = decode(outputs, options), decode(outputs, options.with_changes(subpixel=method))
    np.testing.assert_array_equal(refined.scores, plain.scores)
    assert refined.keypoints.dtype == np.float32
    assert (np.abs(refined.keypoints - plain.keypoints) <= 0.5).all()
    lowest, highest = border_px - 0.5, np.array([32, 24]) - border_px - 0.5
    assert ((refined.keypoints >= lowest) & (refined.keypoints <= highest)).all()
