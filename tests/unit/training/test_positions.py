"""Keypoints located in many views, by a network that sees bright spots exactly where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from oakpoint.training.dataset import LABELLED, LOCATED, Dataset
from oakpoint.training.labels import FULL, HALF, ImageLabels
from oakpoint.training.options import Precision
from oakpoint.training.photometric import PhotometricRanges
from oakpoint.training.positions import PositionOptions, locate_keypoints, located
from oakpoint.training.processes import Place

ALONE = Place(0, 1, torch.device("cpu"))
SIZE = (96, 80)
UNCHANGED = PhotometricRanges(gamma=1.0, contrast=(1.0, 1.0), brightness=0.0, probability=0.0)
OPTIONS = PositionOptions(views=24, photometric=UNCHANGED)
SPOTS = np.array([[24.3, 30.8], [60.0, 22.5], [41.6, 57.1]], np.float32)


class SeesSpots(nn.Module):
    """A detector whose probabilities are as bright spots are: high where the image is, nothing in the dark."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spots = torch.log(functional.pixel_unshuffle(image.float(), 8) + 1e-6)
        return torch.cat([spots, torch.full_like(spots[:, :1], -1.0)], dim=1), spots


def spotted(spots: np.ndarray, size: tuple[int, int] = SIZE, sigma_px: float = 1.0) -> np.ndarray:
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    distances = (x - spots[:, :1, None]) ** 2 + (y - spots[:, 1:, None]) ** 2
    return np.exp(-distances / (2 * sigma_px**2)).sum(axis=0).clip(0, 1)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).float()[None, None]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def distances(points: torch.Tensor | np.ndarray, spots: np.ndarray = SPOTS) -> np.ndarray:
    return np.linalg.norm(np.asarray(points) - spots, axis=1)


def test_points_move_to_where_the_network_sees_them() -> None:
    astray = SPOTS + np.array([[0.8, -0.6], [-1.0, 0.3], [0.5, 0.9]], np.float32)
    moved = located(SeesSpots(), tensor(spotted(SPOTS)), torch.from_numpy(astray), OPTIONS, generator(), "f32")
    assert distances(astray).min() > 0.9
    assert distances(moved).max() < 0.25


def test_what_the_network_does_not_see_stays() -> None:
    points = torch.from_numpy(SPOTS)
    moved = located(SeesSpots(), torch.zeros(1, 1, SIZE[1], SIZE[0]), points, OPTIONS, generator(), "f32")
    assert distances(moved).max() < 0.05


def test_what_is_found_out_of_reach_does_not_count() -> None:
    far = SPOTS + np.float32(1.2)
    short = replace(OPTIONS, reach_px=0.5)
    moved = located(SeesSpots(), tensor(spotted(SPOTS)), torch.from_numpy(far), short, generator(), "f32")
    assert distances(moved, far).max() < 0.5


def test_no_points_are_no_points() -> None:
    assert located(SeesSpots(), tensor(spotted(SPOTS)), torch.empty(0, 2), OPTIONS, generator(), "f32").shape == (0, 2)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Image 0 with labels astray at full and at half size and one that is known, image 1 located before."""
    fine, coarse = SPOTS[:2], SPOTS[2:]
    image = np.maximum(spotted(fine), spotted(coarse, sigma_px=2.0))
    images = np.stack([np.round(255 * image).astype(np.uint8)] * 2)
    points = np.concatenate([SPOTS + np.float32([[0.8, 0.6], [0.0, 0.9], [1.0, -1.0]]), [[70.0, 60.0]]])
    labels = ImageLabels(
        points.astype(np.float32),
        np.array([0.9, 0.5, 0.3, 1.0], np.float32),
        np.zeros((4, 2), np.float16),
        np.array([FULL, FULL | HALF, HALF, FULL], np.uint8),
    )
    Dataset.create(tmp_path, images, max_points=6, descriptor_dim=2)
    result = Dataset.open(tmp_path, writable=True)
    for index in (0, 1):
        result.put(index, labels)
    result.move(1, result.points[1])
    return result


def test_a_data_set_is_located_at_both_sizes_and_known_corners_stay(dataset: Dataset) -> None:
    before = dataset.points.copy()
    assert dataset.done.tolist() == [LABELLED, LOCATED]
    told: list[tuple[int, int]] = []
    locate_keypoints(
        dataset, SeesSpots(), OPTIONS, ALONE, seed=0, precision="f32", told=lambda *counts: told.append(counts)
    )
    assert told == [(2, 2)]
    assert dataset.done.tolist() == [LOCATED, LOCATED]
    assert distances(dataset.points[0, :2], SPOTS[:2]).max() < 0.25
    assert distances(dataset.points[0, 2:3], SPOTS[2:]).max() < 0.5, "a pixel of the half size is two of the image"
    np.testing.assert_array_equal(dataset.points[0, 3:], before[0, 3:])
    np.testing.assert_array_equal(dataset.points[1], before[1])


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("f32", torch.float32)])
def test_the_network_runs_in_the_precision_asked_for(precision: Precision, dtype: torch.dtype) -> None:
    class Convolves(SeesSpots):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(functional.conv2d(image, torch.ones(1, 1, 1, 1)).dtype)
            return super().forward(image)

    seen: list[torch.dtype] = []
    located(Convolves(), tensor(spotted(SPOTS)), torch.from_numpy(SPOTS), OPTIONS, generator(), precision)
    assert set(seen) == {dtype}
