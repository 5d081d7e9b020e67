from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError, UsageError
from oakpoint.training.images import default_size, gather_images


def written(folder: Path, **sizes: tuple[int, int]) -> Path:
    for name, (width, height) in sizes.items():
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ((640, 480), (640, 480)),
        ((800, 224), (800, 224)),
        ((4000, 3000), (640, 480)),
        ((100, 70), (96, 64)),
        ((20, 9), (32, 32)),
    ],
)
def test_the_size_of_images_is_kept_up_to_a_limit_and_a_multiple(image, expected):
    assert default_size(image) == expected


def test_the_first_image_decides_on_the_size(tmp_path):
    images = gather_images([written(tmp_path, a=(128, 96), b=(300, 100))], None)
    assert images.shape == (2, 96, 128)
    assert images.dtype == np.uint8


def test_images_are_on_disk_in_a_file_without_a_name(tmp_path):
    (tmp_path / "spool").mkdir()
    images = gather_images([written(tmp_path, a=(64, 64), b=(64, 64))], None, spool=tmp_path / "spool")
    assert isinstance(images, np.memmap)
    assert list((tmp_path / "spool").iterdir()) == []
    np.testing.assert_array_equal(images, gather_images([tmp_path], None))


def test_images_are_grey_and_cut_in_the_middle(tmp_path):
    image = np.zeros((64, 192, 3), np.uint8)
    image[:, 64:128] = (255, 0, 0)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    assert np.unique(gather_images([tmp_path], (64, 64))).tolist() == [29]  # 0.114 of blue


def video_of(path, count):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for number in range(count):
        writer.write(np.full((64, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_subfolders_and_videos_count(tmp_path):
    (tmp_path / "deeper").mkdir()
    written(tmp_path / "deeper", a=(64, 64))
    assert len(gather_images([tmp_path / "deeper", video_of(tmp_path / "v.avi", 10)], None)) == 11


@pytest.mark.parametrize(
    ("most", "expected"), [(3, [0, 4, 8]), (5, [0, 2, 4, 6, 8]), (9, [0, 2, 4, 6, 8]), (10, range(10))]
)
def test_frames_of_a_video_are_spread_over_all_of_it(tmp_path, monkeypatch, most, expected):
    monkeypatch.setattr("oakpoint.training.images.MAX_VIDEO_FRAMES", most)
    found = gather_images([video_of(tmp_path / "v.avi", 10)], None)
    assert np.rint(found.mean(axis=(1, 2)) / 20).tolist() == list(expected)


def test_an_unreadable_image_is_left_out_and_none_at_all_is_an_error(tmp_path):
    written(tmp_path, a=(64, 64))
    (tmp_path / "b.png").write_bytes(b"no image")
    assert len(gather_images([tmp_path], None)) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match="can be read"):
        gather_images([tmp_path], None)


def test_a_size_that_the_network_cannot_take_is_refused(tmp_path):
    with pytest.raises(UsageError, match="multiple"):
        gather_images([written(tmp_path, a=(64, 64))], (60, 64))
