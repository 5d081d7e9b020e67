from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import TrainingError, UsageError
from oakpoint.training.dataset import ARRAYS, Dataset
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


@pytest.mark.parametrize("to_come", [0, 3])
def test_more_images_than_are_copied_at_a_time(tmp_path, to_come):
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 16), np.uint8)
    Dataset.create(tmp_path, images[::-1], max_points=5, descriptor_dim=4, to_come=to_come)
    there = Dataset.open(tmp_path).images
    np.testing.assert_array_equal(there, [*images[::-1], *np.zeros((to_come, 8, 16), np.uint8)])


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


def written(folder):
    Dataset.create(folder, np.full((2, 8, 16), 7, np.uint8), max_points=5, descriptor_dim=4)
    return folder


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("size", [0, 60, -1, +1], ids=["empty", "half a header", "a byte less", "a byte more"])
def test_a_file_of_another_size_is_refused_and_not_filled_up(tmp_path, name, size, writable):
    path = written(tmp_path) / f"{name}.npy"
    content = path.read_bytes()
    path.write_bytes(content + b"\0" if size == 1 else content[:size])
    damaged = path.read_bytes()
    with pytest.raises(TrainingError, match=rf"{name}.npy: damaged: expected .*; choose another --out") as caught:
        Dataset.open(tmp_path, writable=writable)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images", np.zeros((2, 8, 16), np.float32), "expected uint8 of rank 3, got float32 of rank 3"),
        ("images", np.zeros((2, 8), np.uint8), "expected uint8 of rank 3, got uint8 of rank 2"),
        ("points", np.zeros((2, 5, 3), np.float32), r"expected shape \(2, 5, 2\), got \(2, 5, 3\)"),
        ("scores", np.zeros((2, 4), np.float32), r"expected shape \(2, 5\), got \(2, 4\)"),
        ("descriptors", np.zeros((3, 5, 4), np.float16), r"expected shape \(2, 5, 4\), got \(3, 5, 4\)"),
        ("done", np.zeros(1, np.uint8), r"expected shape \(2,\), got \(1,\)"),
    ],
)
def test_an_array_of_another_data_set_is_refused(tmp_path, name, array, message):
    np.save(written(tmp_path) / f"{name}.npy", array)
    with pytest.raises(TrainingError, match=f"{name}.npy: damaged: {message}"):
        Dataset.open(tmp_path)


def test_a_missing_file_and_an_archive_are_refused(tmp_path):
    path = written(tmp_path) / "levels.npy"
    path.unlink()
    with pytest.raises(TrainingError, match=r"levels.npy: damaged: expected uint8 of rank 2, got .*No such file"):
        Dataset.open(tmp_path)
    with path.open("wb") as file:
        np.savez(file, levels=np.zeros((2, 5), np.uint8))
    with pytest.raises(TrainingError, match="got NpzFile"):
        Dataset.open(tmp_path)
