from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.features.nms import nms_greedy, nms_maxpool, nms_maxpool_rounds


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def columns(kept: np.ndarray) -> list[int]:
    return np.nonzero(kept)[1].tolist()


def test_greedy_frees_what_a_suppressed_pixel_overshadowed() -> None:
    assert columns(nms_greedy(row(0.9, 0.8, 0.7, 0.6, 0.5), 1, 0.1)) == [0, 2, 4]


def test_maxpool_decides_three_links_of_a_chain_and_greedy_all() -> None:
    falling = row(*np.linspace(0.9, 0.1, 9))
    assert columns(nms_maxpool(falling, 1)) == [0, 2, 4]
    assert columns(nms_maxpool_rounds(falling, 1, 1)) == [0]
    assert columns(nms_greedy(falling, 1, 0)) == [0, 2, 4, 6, 8]
    assert columns(nms_maxpool_rounds(falling, 1, 5)) == [0, 2, 4, 6, 8]


def test_of_equal_pixels_greedy_keeps_the_first_and_maxpool_all() -> None:
    flat = np.full((5, 5), 0.5, np.float32)
    assert np.argwhere(nms_greedy(flat, 2, 0.1)).tolist() == [[0, 0], [0, 3], [3, 0], [3, 3]]
    assert nms_maxpool(flat, 2).all()


def test_the_neighbourhood_is_the_square_of_the_radius() -> None:
    heatmap = np.zeros((9, 9), np.float32)
    heatmap[4, 4] = 0.9
    heatmap[1, 1] = heatmap[7, 4] = 0.5  # three pixels away: inside
    heatmap[0, 8] = 0.4  # four pixels away along both axes: outside
    for kept in (nms_greedy(heatmap, 3, 0.1), nms_maxpool(heatmap, 3)):
        assert np.argwhere(kept).tolist() == [[0, 8], [4, 4]]


def test_a_probability_equal_to_the_threshold_is_a_candidate() -> None:
    heatmap = row(0.5, 0.25, 0.0)
    assert columns(nms_greedy(heatmap, 0, 0.25)) == [0, 1]
    assert columns(nms_greedy(heatmap, 0, 0)) == [0, 1], "a probability of 0 is no keypoint at any threshold"


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_empty_map_keeps_nothing(value: float) -> None:
    heatmap = np.full((16, 24), value, np.float32)
    assert not nms_greedy(heatmap, 4, 0).any()
    assert not nms_maxpool(heatmap, 4).any()


def test_a_radius_beyond_the_map_keeps_one() -> None:
    heatmap = np.random.default_rng(3).random((8, 8), dtype=np.float32)
    for kept in (nms_greedy(heatmap, 50, 0), nms_maxpool(heatmap, 50)):
        assert np.argwhere(kept).tolist() == [list(np.unravel_index(heatmap.argmax(), heatmap.shape))]


def test_the_heat_map_is_left_alone() -> None:
    heatmap = np.random.default_rng(4).random((16, 16), dtype=np.float32)
    before = heatmap.copy()
    nms_greedy(heatmap, 4, 0.1)
    nms_maxpool(heatmap, 4)
    np.testing.assert_array_equal(heatmap, before)


def test_a_negative_radius_is_refused() -> None:
    for suppress in (lambda: nms_greedy(row(1), -1, 0), lambda: nms_maxpool(row(1), -1)):
        with pytest.raises(UsageError, match="got -1"):
            suppress()
