from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample, normalize

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features import sampling as sampling_module
from oakpoint.features.sampling import cells_from_pixels, sample_descriptors
from oakpoint.features.types import DescriptorSampling

CONVENTIONS = get_args(DescriptorSampling)


def by_grid_sample(descriptors: np.ndarray, grid: np.ndarray, padding: str = "zeros") -> np.ndarray:
    """Descriptors at positions in PyTorch's terms: −1 and 1 are the centres of the outermost cells."""
    coarse = normalize(torch.from_numpy(descriptors)[None], dim=1)
    positions = torch.from_numpy(grid.astype(np.float32))[None, None]
    sampled = grid_sample(coarse, positions, mode="bilinear", padding_mode=padding, align_corners=True)
    return normalize(sampled[0, :, 0], dim=0).T.numpy()


@pytest.fixture
def descriptors(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(16, 5, 7)) * rng.uniform(0.1, 9, (1, 5, 7))).astype(np.float32)


@pytest.fixture
def pixels() -> np.ndarray:
    """Every pixel of the 56×40 image, the border included."""
    return np.argwhere(np.ones((56, 40), bool)).astype(np.float32)


def test_original_is_what_the_demo_asks_of_grid_sample(descriptors: np.ndarray, pixels: np.ndarray) -> None:
    expected = by_grid_sample(descriptors, pixels / (np.array([56, 40]) / 2) - 1)
    np.testing.assert_allclose(sample_descriptors(descriptors, pixels, "original"), expected, atol=2e-6)


def test_superglue_is_what_superglue_asks_of_grid_sample(descriptors: np.ndarray, pixels: np.ndarray) -> None:
    grid = (pixels - 8 / 2 + 0.5) / (np.array([56, 40]) - 8 / 2 - 0.5) * 2 - 1
    expected = by_grid_sample(descriptors, grid)  # zeros beyond the outermost cells, which the last norm undoes
    np.testing.assert_allclose(sample_descriptors(descriptors, pixels, "superglue"), expected, atol=2e-6)


def test_cell_centres_is_bilinear_between_centres(descriptors: np.ndarray, pixels: np.ndarray) -> None:
    grid = (pixels - 3.5) / 8 / (np.array([7, 5]) - 1) * 2 - 1
    expected = by_grid_sample(descriptors, grid, "border")
    np.testing.assert_allclose(sample_descriptors(descriptors, pixels, "cell_centres"), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("sampling", "first", "last"),
    [("original", 0.0, 4 * 39 / 40), ("superglue", -3.5 / 35.5 * 4, 4.0), ("cell_centres", -3.5 / 8, 4 + 3.5 / 8)],
)
def test_where_the_outermost_pixels_lie(sampling: DescriptorSampling, first: float, last: float) -> None:
    cells = cells_from_pixels((5, 5), sampling)(np.array([[0, 0], [39, 39]], np.float32))
    np.testing.assert_allclose(cells, [[first, first], [last, last]], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sampling", CONVENTIONS)
def test_a_zero_or_broken_cell_gives_zeros_and_no_warning(sampling: DescriptorSampling) -> None:
    descriptors = np.zeros((4, 3, 3), np.float32)
    points = np.array([[0, 0], [12, 12], [23, 23]], np.float32)
    assert not sample_descriptors(descriptors, points, sampling).any()
    for value in (np.nan, np.inf):
        descriptors[1, 1, 1] = value
        assert not sample_descriptors(descriptors, points[1:2], sampling).any()


@pytest.mark.parametrize("sampling", CONVENTIONS)
def test_a_grid_of_one_cell_has_one_descriptor(sampling: DescriptorSampling) -> None:
    descriptors = np.array([3, 4], np.float32).reshape(2, 1, 1)
    points = np.array([[0, 0], [7, 7], [3, 5]], np.float32)
    np.testing.assert_allclose(sample_descriptors(descriptors, points, sampling), [[0.6, 0.8]] * 3, rtol=1e-6)


def test_no_keypoint_keeps_the_length_of_descriptors(descriptors: np.ndarray) -> None:
    sampled = sample_descriptors(descriptors, np.zeros((0, 2), np.float32), "original")
    assert sampled.shape == (0, 16)
    assert sampled.dtype == np.float32


def test_wrong_arguments_are_refused(descriptors: np.ndarray) -> None:
    with pytest.raises(UsageError, match="original, superglue, cell_centres, got 'nearest'"):
        cells_from_pixels((7, 5), "nearest")  # type: ignore[arg-type]
    with pytest.raises(FeaturesError, match=r"\(channels, rows, columns\)"):
        sample_descriptors(descriptors[None], np.zeros((1, 2), np.float32), "original")


@pytest.mark.parametrize("dimension", [1, 3, 64])
@pytest.mark.parametrize("count", [7, 30, 2000])
def test_channels_last_are_sampled_to_the_same_bit(monkeypatch: pytest.MonkeyPatch, dimension: int, count: int) -> None:
    """From few keypoints to several chunks of them, with cells of no norm and of no number."""
    monkeypatch.setattr(sampling_module, "CHUNK_VALUES", 4096)
    rng = np.random.default_rng(count)
    first = rng.standard_normal((dimension, 5, 6)).astype(np.float32)
    first[:, 0, :2] = 0
    first[0, 3, 3] = np.nan
    last = np.ascontiguousarray(first.transpose(1, 2, 0)).transpose(2, 0, 1)
    keypoints = rng.uniform((-4, -4), (52, 44), (count, 2))
    one_by_one = np.concatenate([sample_descriptors(first, point[None], "cell_centres") for point in keypoints])
    for descriptors in (first, last):
        np.testing.assert_array_equal(sample_descriptors(descriptors, keypoints, "cell_centres"), one_by_one)
