"""A small labelled dataset, and networks small enough to train in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from oakpoint.training.dataset import Dataset
from oakpoint.training.labels import FULL, HALF, ImageLabels
from oakpoint.training.views import ViewPairs

IMAGE_SIZE = (160, 120)
POINTS = 64
DIM = 16


def toy_images(count: int, rng: np.random.Generator) -> tuple[np.ndarray, list[ImageLabels]]:
    """Dark and bright squares on grey; their centres are the keypoints, in a lattice with some play."""
    width, height = IMAGE_SIZE
    images = np.full((count, height, width), 120, np.uint8)
    labels = []
    lattice = np.stack(np.meshgrid(np.arange(12, width - 8, 20), np.arange(12, height - 8, 20)), axis=-1).reshape(-1, 2)
    for image in images:
        points = lattice + rng.integers(-4, 5, lattice.shape)
        for x, y in points:
            image[y - 3 : y + 4, x - 3 : x + 4] = rng.choice([20, 230])
        descriptors = rng.normal(size=(len(points), DIM))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        scores = np.sort(rng.uniform(0.5, 1, len(points)))[::-1]
        levels = np.full(len(points), FULL | HALF, np.uint8)
        labels.append(
            ImageLabels(points.astype(np.float32), scores.astype(np.float32), descriptors.astype(np.float16), levels)
        )
    return images, labels


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("toy")
    images, labels = toy_images(8, np.random.default_rng(0))
    Dataset.create(folder, images, max_points=POINTS, descriptor_dim=DIM)
    writable = Dataset.open(folder, writable=True)
    for index, label in enumerate(labels):
        writable.put(index, label)
    return Dataset.open(folder)


@pytest.fixture
def toy_pairs() -> Callable[..., ViewPairs]:
    """Pairs made by hand: views of 64×48 px, 12 keypoints in each, far from each other."""

    def make(count: int = 2, *, points: int = 12, dim: int = DIM, seed: int = 0) -> ViewPairs:
        generator = torch.Generator().manual_seed(seed)
        views = torch.rand((2 * count, 1, 48, 64), generator=generator)
        cells = torch.softmax(3 * torch.randn((2 * count, 65, 6, 8), generator=generator), dim=1)
        x, y = torch.meshgrid(torch.arange(8.0, 64, 16), torch.arange(8.0, 48, 16), indexing="xy")
        at = torch.stack([x, y], dim=-1).reshape(-1, 2)[:points].repeat(2 * count, 1, 1)
        descriptors = torch.randn((count, points, dim), generator=generator)
        return ViewPairs(
            views=views,
            cells=cells,
            cell_weights=torch.ones((2 * count, 6, 8)),
            points=at,
            homographies=torch.eye(3).repeat(2 * count, 1, 1),
            descriptors=torch.nn.functional.normalize(descriptors, dim=2),
            valid=torch.ones((count, points), dtype=torch.bool),
            images=torch.arange(count),
        )

    return make
