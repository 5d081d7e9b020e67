"""Both suppressions against definitions written down here, pixel by pixel, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from oakpoint.features import suppression
from oakpoint.features.nms import greedy_maxima, maxpool_maxima, nms_greedy, nms_maxpool, nms_maxpool_rounds

sizes = st.tuples(st.integers(1, 14), st.integers(1, 14))
radii = st.integers(0, 5)
few_levels = sizes.flatmap(
    lambda size: npst.arrays(np.float32, size, elements=st.sampled_from([0, 0.1, 0.2, 0.5, 0.9]))
)


@st.composite
def tie_free(draw: st.DrawFn) -> np.ndarray:
    """A heat map in which no two pixels have the same probability, smooth enough for long chains or not at all."""
    height, width = draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    slope_y, slope_x = draw(st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
    ramp = slope_y * np.arange(height)[:, None] + slope_x * np.arange(width) + rng.random((height, width))
    rank = np.argsort(np.argsort(ramp, axis=None)).reshape(height, width) + 1
    return (rank / rank.size).astype(np.float32)


def neighbourhood(shape: tuple[int, int], y: int, x: int, radius: int) -> np.ndarray:
    square = np.zeros(shape, bool)
    square[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = True
    return square


def greedy_by_definition(heatmap: np.ndarray, radius: int, threshold: float) -> np.ndarray:
    pixels = [(y, x) for y, x in np.ndindex(*heatmap.shape) if heatmap[y, x] >= threshold and heatmap[y, x] > 0]
    kept = np.zeros(heatmap.shape, bool)
    for y, x in sorted(pixels, key=lambda pixel: -heatmap[pixel]):  # stable: equal ones stay in row-major order
        if not (kept & neighbourhood(heatmap.shape, y, x, radius)).any():
            kept[y, x] = True
    return kept


def local_maxima(heatmap: np.ndarray, radius: int) -> np.ndarray:
    pixels = np.zeros(heatmap.shape, bool)
    for y, x in np.ndindex(*heatmap.shape):
        pixels[y, x] = 0 < heatmap[y, x] == heatmap[neighbourhood(heatmap.shape, y, x, radius)].max()
    return pixels


def near(kept: np.ndarray, radius: int) -> np.ndarray:
    return np.any(
        [np.zeros(kept.shape, bool), *(neighbourhood(kept.shape, y, x, radius) for y, x in np.argwhere(kept))], axis=0
    )


def maxpool_by_definition(heatmap: np.ndarray, radius: int) -> np.ndarray:
    kept = local_maxima(heatmap, radius)
    for _ in range(2):
        suppressed = near(kept, radius)
        kept = kept | (local_maxima(np.where(suppressed, 0, heatmap), radius) & ~suppressed)
    return kept


@given(few_levels, radii, st.sampled_from([0, 0.1, 0.3, 1]))
def test_greedy_is_the_loop_over_pixels_by_falling_probability(heatmap: np.ndarray, radius: int, least: float) -> None:
    np.testing.assert_array_equal(nms_greedy(heatmap, radius, least), greedy_by_definition(heatmap, radius, least))


@given(few_levels, radii)
def test_greedy_keeps_distance_and_suppresses_only_by_something_better(heatmap: np.ndarray, radius: int) -> None:
    kept = nms_greedy(heatmap, radius, 0.1)
    points = np.argwhere(kept)
    apart = np.abs(points[:, None] - points[None]).max(axis=2)
    assert (apart[~np.eye(len(points), dtype=bool)] > radius).all()
    for y, x in np.argwhere((heatmap >= 0.1) & ~kept):
        around = kept & neighbourhood(heatmap.shape, y, x, radius)
        assert heatmap[around].max(initial=0) >= heatmap[y, x]


@given(few_levels, radii)
def test_maxpool_is_local_maxima_and_two_rounds_on_the_rest(heatmap: np.ndarray, radius: int) -> None:
    np.testing.assert_array_equal(nms_maxpool(heatmap, radius), maxpool_by_definition(heatmap, radius))


@given(few_levels, radii)
def test_points_that_maxpool_keeps_near_each_other_are_equal(heatmap: np.ndarray, radius: int) -> None:
    points = np.argwhere(nms_maxpool(heatmap, radius))
    for y, x in points:
        around = points[np.abs(points - (y, x)).max(axis=1) <= radius]
        assert (heatmap[tuple(around.T)] == heatmap[y, x]).all()


@given(few_levels, radii, st.sampled_from([0.1, 0.3, 0.9]))
def test_a_threshold_before_maxpool_is_one_after_it(heatmap: np.ndarray, radius: int, least: float) -> None:
    before = nms_maxpool(np.where(heatmap >= least, heatmap, 0).astype(np.float32), radius)
    np.testing.assert_array_equal(before, nms_maxpool(heatmap, radius) & (heatmap >= least))


@settings(max_examples=60)
@given(tie_free(), radii)
def test_without_ties_rounds_of_maxpool_grow_into_greedy(heatmap: np.ndarray, radius: int) -> None:
    greedy = nms_greedy(heatmap, radius, 0)
    before = np.zeros_like(greedy)
    for rounds in (1, 2, 3, 4):
        kept = nms_maxpool_rounds(heatmap, radius, rounds)
        assert not (before & ~kept).any(), "a further round takes nothing back"
        assert not (kept & ~greedy).any(), "what max-pool keeps, greedy keeps"
        before = kept
    np.testing.assert_array_equal(nms_maxpool_rounds(heatmap, radius, heatmap.size), greedy)


@given(few_levels, radii, st.sampled_from([0, 0.1, 0.3, 1]))
def test_indices_are_those_of_the_maps(heatmap: np.ndarray, radius: int, least: float) -> None:
    greedy, maxpool = nms_greedy(heatmap, radius, least), nms_maxpool(heatmap, radius) & (heatmap >= least)
    np.testing.assert_array_equal(greedy_maxima(heatmap, radius, least), np.flatnonzero(greedy))
    np.testing.assert_array_equal(maxpool_maxima(heatmap, radius, least), np.flatnonzero(maxpool))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.booleans())
def test_one_by_one_and_over_the_whole_map_are_the_same(seed: int, radius: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    heatmap = rng.random((24, 30)).astype(np.float32)
    if ties:
        heatmap = np.round(heatmap, 1)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for few in (0, 1):
            patch.setattr(suppression, "FEW", few)
            found.append((greedy_maxima(heatmap, radius, 0.3), maxpool_maxima(heatmap, radius, 0.3)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_no_number_is_no_candidate_and_hides_none() -> None:
    heatmap = np.full((9, 9), np.nan, np.float32)
    heatmap[4, 4] = 0.5
    assert np.argwhere(nms_greedy(heatmap, 2, 0.1)).tolist() == [[4, 4]]
