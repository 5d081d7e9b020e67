from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.training.dataset import Dataset
from oakpoint.training.labels import ImageLabels


def labels(count, dim=4):
    return ImageLabels(
        np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        np.linspace(1, 0.5, count, dtype=np.float32),
        np.full((count, dim), 0.5, np.float16),
        np.arange(count, dtype=np.uint8) % 3 + 1,
    )


def test_labels_come_back(tmp_path):
    images = np.arange(3 * 8 * 16, dtype=np.uint8).reshape(3, 8, 16)
    Dataset.create(tmp_path, images, max_points=5, descriptor_dim=4)
    Dataset.open(tmp_path, writable=True).put(1, labels(3))
    dataset = Dataset.open(tmp_path)
    np.testing.assert_array_equal(dataset.images, images)
    assert dataset.done.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(dataset.points[1, :3], labels(3).points)
    assert (dataset.scores[1] > 0).tolist() == [True, True, True, False, False]
    assert (dataset.descriptors[1, :3] == 0.5).all()
    assert dataset.levels[1, :3].tolist() == [1, 2, 3]


def test_fewer_labels_replace_more(tmp_path):
    Dataset.create(tmp_path, np.zeros((1, 8, 8), np.uint8), max_points=5, descriptor_dim=4)
    dataset = Dataset.open(tmp_path, writable=True)
    dataset.put(0, labels(5))
    dataset.put(0, labels(2))
    assert (dataset.scores[0] > 0).sum() == 2


def test_more_labels_than_rows_are_refused(tmp_path):
    Dataset.create(tmp_path, np.zeros((1, 8, 8), np.uint8), max_points=5, descriptor_dim=4)
    with pytest.raises(UsageError, match="expected 5 keypoints or fewer, got 6"):
        Dataset.open(tmp_path, writable=True).put(0, labels(6))
