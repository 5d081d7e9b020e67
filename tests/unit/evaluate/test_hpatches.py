from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError
from oakpoint.evaluate.hpatches import read_dataset, read_homography

IMAGE = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)


def sequence(folder: Path, *, suffix=".ppm", numbers=(1, 2, 3), homographies=(2, 3)) -> Path:
    folder.mkdir(parents=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), np.dstack([IMAGE] * 3) + number)
    for number in homographies:
        np.savetxt(folder / f"H_1_{number}", np.array([[1, 0, number], [0, 1, 0], [0, 0, 1]]))
    return folder


@pytest.mark.parametrize("suffix", [".ppm", ".png", ".jpg"])
def test_the_layout_as_downloaded(tmp_path, suffix):
    sequence(tmp_path / "v_b", suffix=suffix)
    sequence(tmp_path / "i_a", suffix=suffix)
    dataset = read_dataset(tmp_path)
    assert [s.name for s in dataset.sequences] == ["i_a", "v_b"]
    assert dataset.pairs == 4
    assert dataset.skipped == ()
    last = dataset.sequences[1]
    assert [last.first.name, *(image.name for image in last.others)] == [f"v_b/{k}{suffix}" for k in (1, 2, 3)]
    assert last.first.read().shape[:2] == (48, 64)
    assert last.others[1].read().other_from_first.tolist() == [[1, 0, 3], [0, 1, 0], [0, 0, 1]]


def test_a_single_folder_with_one_pair(tmp_path):
    dataset = read_dataset(sequence(tmp_path / "pair", numbers=(1, 2), homographies=(2,)))
    assert [(s.name, s.first.name) for s in dataset.sequences] == [("pair", "1.ppm")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: (f / "1.ppm").unlink(), "no image 1"),
        (lambda f: (f / "H_1_3").unlink(), "3.ppm has no H_1_3"),
        (lambda f: (f / "3.ppm").unlink(), "H_1_3 has no image 3"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0"), "expected nine finite numbers, got 8"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0 x"), "expected nine numbers"),
        (
            lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0 nan"),
            "expected nine finite numbers, got nan as number 9",
        ),
        (
            lambda f: (f / "H_1_2").write_text("1 -inf 0 0 1 0 0 0 1"),
            "expected nine finite numbers, got -inf as number 2",
        ),
        (lambda f: (f / "H_1_2").write_text("1 0 0 2 0 0 0 0 1"), "inverted"),
        (lambda f: (f / "H_1_2").write_bytes(b"\xff\xfe\x00"), "expected nine numbers"),
        (lambda f: cv2.imwrite(str(f / "2.png"), IMAGE), "image 2 twice"),
        (lambda f: [p.unlink() for p in f.iterdir()], "no image 1"),
    ],
)
def test_a_malformed_sequence_is_skipped_with_its_reason(tmp_path, change, reason):
    sequence(tmp_path / "good")
    change(sequence(tmp_path / "malformed"))
    dataset = read_dataset(tmp_path)
    assert [s.name for s in dataset.sequences] == ["good"]
    assert [s.sequence for s in dataset.skipped] == ["malformed"]
    assert reason in dataset.skipped[0].reason


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        read_dataset(tmp_path / "missing")
    with pytest.raises(ImageError, match="no usable sequence"):
        read_dataset(tmp_path)
    (sequence(tmp_path / "bad") / "1.ppm").unlink()
    with pytest.raises(ImageError, match="bad: no image 1"):
        read_dataset(tmp_path)


def test_a_sequence_that_may_not_be_read_is_skipped(tmp_path, monkeypatch):
    sequence(tmp_path / "good")
    sequence(tmp_path / "closed")
    iterdir = Path.iterdir

    def refusing(self):
        if self.name in closed:
            raise PermissionError(13, "Permission denied", str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refusing)
    closed = {"closed"}
    dataset = read_dataset(tmp_path)
    assert [s.name for s in dataset.sequences] == ["good"]
    assert "Permission denied" in dataset.skipped[0].reason
    closed.add(tmp_path.name)
    with pytest.raises(ImageError, match="cannot be read"):
        read_dataset(tmp_path)


def test_a_folder_above_the_dataset_names_it(tmp_path):
    sequence(tmp_path / "release" / "v_a")
    (tmp_path / "notes").mkdir()
    with pytest.raises(
        ImageError, match=rf"no usable sequence, but {tmp_path}/release has some; .*--dataset {tmp_path}/"
    ):
        read_dataset(tmp_path)


def test_homographies_are_scaled(tmp_path):
    (tmp_path / "H_1_2").write_text("2 0 4\n0 2 6\n0 0 2\n")
    assert read_homography(tmp_path / "H_1_2").tolist() == [[1, 0, 2], [0, 1, 3], [0, 0, 1]]
