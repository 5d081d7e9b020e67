from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.types import Subpixel

METHODS: tuple[Subpixel, ...] = ("soft_argmax", "quadratic")
CENTRES = [(12.0, 9.0), (12.3, 8.8), (11.6, 9.45), (12.49, 8.51), (12.05, 9.2)]


def bump(centre: tuple[float, float], sigma_px: tuple[float, float] = (1.0, 1.0), turn: float = 0.0) -> np.ndarray:
    """A Gaussian of peak 0.8 at (x, y) on 20×24 pixels, its axes turned by an angle in radians."""
    y, x = np.mgrid[0:20, 0:24]
    dx, dy = x - centre[0], y - centre[1]
    u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    return (0.8 * np.exp(-((u / sigma_px[0]) ** 2 + (v / sigma_px[1]) ** 2) / 2)).astype(np.float32)


def refined(heatmap: np.ndarray, method: Subpixel, *maxima: tuple[int, int]) -> np.ndarray:
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    found = refined_keypoints(heatmap, np.array(maxima or [(x, y)], np.int64), method)
    assert found.dtype == np.float32
    assert found.shape == (max(len(maxima), 1), 2)
    return found


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize(("method", "sigma_px", "within_px"), [
    ("quadratic", 0.7, 1e-3),  # exact but for float32
    ("quadratic", 1.0, 1e-3),
    ("quadratic", 3.0, 1e-2),
    ("soft_argmax", 0.5, 0.03),
    ("soft_argmax", 0.7, 0.02),
    ("soft_argmax", 1.0, 0.12),  # the window cuts 5 % of the bump off, more of it on the far side
])  # fmt: skip
def test_a_bump_is_found_between_pixels(
    centre: tuple[float, float], method: Subpixel, sigma_px: float, within_px: float
) -> None:
    found = refined(bump(centre, (sigma_px, sigma_px)), method)
    np.testing.assert_allclose(found, [centre], atol=within_px)


@pytest.mark.parametrize("method", METHODS)
def test_refinement_is_nearer_than_the_pixel(method: Subpixel, rng: np.random.Generator) -> None:
    offsets = rng.uniform(-0.5, 0.5, (50, 2))
    errors = [np.abs(refined(bump((12 + x, 9 + y)), method) - (12 + x, 9 + y)).mean() for x, y in offsets]
    assert np.mean(errors) < 0.35 * np.abs(offsets).mean()


@pytest.mark.parametrize("turn", [0.3, 0.8, -0.6])
def test_quadratic_knows_a_bump_that_lies_aslant(turn: float) -> None:
    centre = (12.2, 8.9)
    np.testing.assert_allclose(refined(bump(centre, (2.0, 0.8), turn), "quadratic"), [centre], atol=5e-3)


def test_none_is_the_pixel() -> None:
    assert refined(bump((12.3, 8.8)), "none").tolist() == [[12, 9]]


def test_soft_argmax_is_the_mean_over_five_by_five_pixels() -> None:
    heatmap = np.zeros((12, 12), np.float32)
    heatmap[5, 5], heatmap[5, 7], heatmap[4, 5] = 0.6, 0.1, 0.1
    heatmap[5, 8] = heatmap[8, 5] = 0.5  # outside the window
    np.testing.assert_allclose(refined(heatmap, "soft_argmax", (5, 5)), [[5 + 2 * 0.1 / 0.8, 5 - 0.1 / 0.8]])


def test_a_strong_neighbour_moves_a_keypoint_by_half_a_pixel_at_most() -> None:
    heatmap = np.zeros((12, 12), np.float32)
    heatmap[5, 5], heatmap[3:7, 7] = 0.5, 0.45
    assert refined(heatmap, "soft_argmax", (5, 5)).tolist()[0][0] == 5.5


@pytest.mark.parametrize("method", METHODS)
def test_two_equal_pixels_lie_either_side_of_the_top(method: Subpixel) -> None:
    heatmap = bump((12.5, 9.0))
    heatmap[:, 13:] = heatmap[:, 12::-1][:, :11]
    assert heatmap[9, 12] == heatmap[9, 13]
    found = refined(heatmap, method, (12, 9), (13, 9))
    np.testing.assert_allclose(found[:, 0], 12.5, atol=0.06)
    np.testing.assert_allclose(found[:, 1], 9, atol=1e-6)


ZERO_BESIDE = bump((3.0, 3.0))[:7, :7]
ZERO_BESIDE[2, 2] = 0
NO_TOP = {
    "plateau": (np.full((7, 7), 0.3, np.float32), (3, 3)),
    "ridge": (np.repeat(bump((3.2, 3.0))[3:4, :7], 7, axis=0), (3, 3)),
    "zero beside it": (ZERO_BESIDE, (3, 3)),
    "all zero": (np.zeros((7, 7), np.float32), (3, 3)),
    "edge": (bump((0.2, 3.0))[:7, :7], (0, 3)),
    "no maximum": (bump((3.0, 3.0))[:7, :7], (2, 3)),
    "maximum only along the axes": (np.fliplr(np.diag([0.1] * 7)).astype(np.float32) + np.float32(0.1), (4, 3)),
}


@pytest.mark.parametrize("case", NO_TOP)
def test_quadratic_stays_where_there_is_no_proper_top(case: str) -> None:
    heatmap, maximum = NO_TOP[case]
    assert refined(heatmap, "quadratic", maximum).tolist() == [list(maximum)]


def test_soft_argmax_leaves_out_what_lies_beyond_the_edge() -> None:
    assert refined(np.zeros((7, 7), np.float32), "soft_argmax", (0, 6)).tolist() == [[0, 6]]
    corner = np.zeros((7, 7), np.float32)
    corner[0, 0], corner[0, 1] = 0.3, 0.1
    np.testing.assert_allclose(refined(corner, "soft_argmax", (0, 0)), [[0.25, 0]])


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_no_maxima_give_no_keypoints(method: Subpixel) -> None:
    found = refined_keypoints(np.zeros((8, 8), np.float32), np.zeros((0, 2), np.int64), method)
    assert found.shape == (0, 2)
    assert found.dtype == np.float32


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="none, soft_argmax, quadratic, got 'cubic'"):
        refined_keypoints(np.zeros((8, 8), np.float32), np.zeros((0, 2), np.int64), "cubic")  # type: ignore[arg-type]
