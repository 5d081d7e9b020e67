from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from oakpoint.errors import BackendError, FeaturesError, ImageError
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import HOPELESS_AFTER, Extracted, extract_images
from oakpoint.features.hdf5 import read_features, stored_names
from oakpoint.features.types import Features

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_extract.py"


class Fake:
    """Finds one keypoint, whose score is the brightness of the first pixel."""

    in_flight = 2

    def __init__(self, *, native: bool = True, model: str = "m", fails: Callable[[Any], bool] = lambda _: False):
        self.native, self.model, self.fails = native, model, fails
        self._calls: list[int] = []

    def __call__(self, image: np.ndarray) -> Features:
        self._calls.append(1)  # from several threads
        if self.fails(image):
            raise BackendError("the model fails")
        brightness = np.array([image.ravel()[0] / 255], np.float32)
        return Features(np.ones((1, 2), np.float32), brightness, np.ones((1, 4), np.float32), image.shape[1::-1])

    @property
    def calls(self) -> int:
        return len(self._calls)

    def identity(self) -> dict[str, object]:
        return {"decode subpixel": "none", "model": self.model}

    def former_identity(self) -> dict[str, object]:
        return {"model": "formerly"}


def image(path: Path, brightness: int, size: tuple[int, int] = (16, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(".png", np.full(size[::-1], brightness, np.uint8))[1]
    path.write_bytes(data.tobytes())
    return path


def extract(source: Path, out: Path, fake: Fake | None = None, **options: Any) -> dict[str, Extracted]:
    results = list(extract_images(named_images(source)[1], fake or Fake(), out, **options))  # type: ignore[arg-type]
    assert len({result.name for result in results}) == len(results)
    return {result.name: result for result in results}


def outcomes(results: dict[str, Extracted]) -> dict[str, str]:
    return {name: result.outcome for name, result in results.items()}


def brightness(out: Path, name: str) -> int:
    return round(float(read_features(out, name).scores[0]) * 255)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "f.h5"


def test_a_changed_image_is_replaced_and_the_others_are_not_extracted_again(tmp_path: Path, out: Path) -> None:
    for name, value in (("a.png", 10), ("b.png", 20)):
        image(tmp_path / "set" / name, value)
    assert outcomes(extract(tmp_path / "set", out)) == {"a.png": "extracted", "b.png": "extracted"}
    image(tmp_path / "set" / "b.png", 30)
    os.utime(tmp_path / "set" / "a.png")
    fake = Fake()
    assert outcomes(extract(tmp_path / "set", out, fake)) == {"a.png": "there", "b.png": "replaced"}
    assert fake.calls == 1
    assert (brightness(out, "a.png"), brightness(out, "b.png")) == (10, 30)
    assert outcomes(extract(tmp_path / "set", out)) == {"a.png": "there", "b.png": "there"}


def test_several_folders_go_into_one_file_as_long_as_their_names_differ(tmp_path: Path, out: Path) -> None:
    image(tmp_path / "db" / "a.png", 10)
    image(tmp_path / "query" / "a.png", 20)
    image(tmp_path / "query" / "b.png", 30)
    extract(tmp_path / "db", out)
    found = extract(tmp_path / "query", out)
    assert outcomes(found) == {"a.png": "refused", "b.png": "extracted"}
    assert found["a.png"].error == f"{out} holds another image of this name"
    assert brightness(out, "a.png") == 10
    assert outcomes(extract(tmp_path / "query", out, replace=True)) == {"a.png": "replaced", "b.png": "there"}
    assert brightness(out, "a.png") == 20
    assert outcomes(extract(tmp_path / "db", out)) == {"a.png": "refused"}


def test_a_folder_that_was_moved_or_copied_is_the_same(tmp_path: Path, out: Path) -> None:
    image(tmp_path / "set" / "a.png", 10)
    extract(tmp_path / "set", out)
    shutil.copytree(tmp_path / "set", tmp_path / "elsewhere")
    assert outcomes(extract(tmp_path / "elsewhere", out)) == {"a.png": "there"}
    assert outcomes(extract(tmp_path / "elsewhere" / "a.png", out)) == {"a.png": "there"}


def video(path: Path, brightness: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), brightness, np.uint8))
    writer.release()
    return path


def test_videos_of_one_stem_are_not_taken_for_each_other(tmp_path: Path, out: Path) -> None:
    names = [f"clip-{index:06d}" for index in range(3)]
    extract(video(tmp_path / "a" / "clip.avi", 50), out)
    assert outcomes(extract(video(tmp_path / "b" / "clip.avi", 200), out)) == dict.fromkeys(names, "refused")
    fake = Fake()
    assert outcomes(extract(tmp_path / "a" / "clip.avi", out, fake)) == dict.fromkeys(names, "there")
    assert fake.calls == 0
    video(tmp_path / "a" / "clip.avi", 100)
    assert outcomes(extract(tmp_path / "a" / "clip.avi", out)) == dict.fromkeys(names, "replaced")


def test_a_file_of_before_is_read_and_extended_without_loss(
    tmp_path: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image(tmp_path / "set" / "a.png", 10)
    extract(tmp_path / "set", out, Fake(model="formerly"))
    with h5py.File(out, "r+") as file:
        del file["a.png"].attrs["oakpoint_source"]
    image(tmp_path / "set" / "a.png", 20)
    image(tmp_path / "set" / "b.png", 30)
    caplog.clear()
    assert outcomes(extract(tmp_path / "set", out)) == {"a.png": "unknown", "b.png": "extracted"}
    assert "before all of a model was noted" in caplog.text
    assert (brightness(out, "a.png"), brightness(out, "b.png")) == (10, 30)
    with pytest.raises(FeaturesError, match="made with model m, now it is another"):
        extract(tmp_path / "set", out, Fake(model="another"))
    assert outcomes(extract(tmp_path / "set", out, replace=True)) == {"a.png": "replaced", "b.png": "there"}
    assert brightness(out, "a.png") == 20


def test_bad_items_do_not_end_the_batch(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "set"
    good = ["a.png", "ü\u0301.png", "new\nline.png", "z/img.jpg/in.png"]
    for name in good:
        image(folder / name, 10)
    bad = os.fsdecode(b"b\xe9.png")
    image(folder / bad, 10)
    (folder / "link.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "folder.png").mkdir()
    found = outcomes(extract(folder, out))
    left_out = dict.fromkeys([bad, "link.png", "pipe.png", "empty.png", "text.png"], "failed")
    assert found == left_out | dict.fromkeys(good, "extracted")
    assert stored_names(out) == sorted(good)


def test_a_name_that_the_file_cannot_hold_beside_others_is_passed_over(tmp_path: Path, out: Path) -> None:
    image(tmp_path / "first" / "a.png" / "1.png", 10)
    extract(tmp_path / "first", out)
    image(tmp_path / "second" / "a.png", 20)
    image(tmp_path / "second" / "b.png", 20)
    found = extract(tmp_path / "second", out)
    assert outcomes(found) == {"a.png": "failed", "b.png": "extracted"}
    assert "is a folder of images here" in str(found["a.png"].error)


def test_a_subfolder_that_cannot_be_read_is_left_out_and_said(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "set" / "a.png", 10)
    image(tmp_path / "set" / "closed" / "b.png", 10)
    scandir = os.scandir

    def refusing(place: Any) -> Any:
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    found = extract(tmp_path / "set", out)
    assert outcomes(found) == {"closed": "failed", "a.png": "extracted"}
    assert "Permission denied" in str(found["closed"].error)


def test_a_size_that_the_model_fails_at_is_that_images_fault(tmp_path: Path, out: Path) -> None:
    image(tmp_path / "set" / "a.png", 10, (24, 24))
    image(tmp_path / "set" / "b.png", 10)
    odd = Fake(fails=lambda pixels: pixels.shape == (24, 24))
    assert outcomes(extract(tmp_path / "set", out, odd)) == {"a.png": "failed", "b.png": "extracted"}
    with pytest.raises(BackendError):
        extract(tmp_path / "set", out.with_name("g.h5"), Fake(native=False, fails=odd.fails))


def test_a_model_that_never_works_is_found_out_early(tmp_path: Path, out: Path) -> None:
    for index in range(HOPELESS_AFTER + 25):
        image(tmp_path / "set" / f"{index}.png", 10)
    broken = Fake(fails=lambda _: True)
    with pytest.raises(BackendError, match="the model fails"):
        extract(tmp_path / "set", out, broken)
    ahead = (Fake.in_flight + 1) + 1
    assert HOPELESS_AFTER <= broken.calls <= HOPELESS_AFTER + ahead


def test_one_that_is_left_early_has_written_what_it_told_and_leaves_no_thread(tmp_path: Path, out: Path) -> None:
    for index in range(30):
        image(tmp_path / "set" / f"{index:02d}.png", index)
    before = set(threading.enumerate())
    extraction = extract_images(named_images(tmp_path / "set")[1], Fake(), out)  # type: ignore[arg-type]
    with contextlib.closing(extraction) as results:
        told = [next(results).name for _ in range(7)]
    assert set(threading.enumerate()) <= before
    assert stored_names(out) == told
    assert set(outcomes(extract(tmp_path / "set", out)).values()) == {"there", "extracted"}


def test_bad_images_among_good_ones_are_told_in_their_places(tmp_path: Path, out: Path) -> None:
    for index in range(20):
        place = image(tmp_path / "set" / f"{index:02d}.png", index)
        if index % 3 == 1:
            place.write_bytes(place.read_bytes()[:40])
    found = extract(tmp_path / "set", out, Fake(fails=lambda pixels: pixels.flat[0] == 6))
    assert list(found) == sorted(found)
    bad = {f"{index:02d}.png" for index in range(20) if index % 3 == 1 or index == 6}
    assert {name for name, result in found.items() if result.outcome == "failed"} == bad
    assert {name: brightness(out, name) for name in stored_names(out)} == {
        name: int(name[:2]) for name in found if name not in bad
    }


def test_an_image_without_memory_is_passed_over(tmp_path: Path, out: Path) -> None:
    def hungry(pixels: Any) -> bool:
        if pixels.flat[0] == 10:
            raise MemoryError
        return False

    image(tmp_path / "set" / "a.png", 10)
    image(tmp_path / "set" / "b.png", 20)
    found = extract(tmp_path / "set", out, Fake(fails=hungry))
    assert outcomes(found) == {"a.png": "failed", "b.png": "extracted"}
    assert "too large for this machine's memory" in str(found["a.png"].error)


def test_an_image_that_is_written_to_meanwhile_is_not_noted_as_another(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = image(tmp_path / "set" / "a.png", 10)

    def read(path: Path, *, upright: bool) -> np.ndarray:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        image(place, 20, (24, 24))
        return pixels

    monkeypatch.setattr("oakpoint.extraction.images.read_image", read)
    found = extract(tmp_path / "set", out)
    assert "written to while it was read" in str(found["a.png"].error)


def test_nothing_to_extract(tmp_path: Path) -> None:
    for source, reason in (("missing", "no such image"), ("empty", "no image in this folder")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ImageError, match=reason):
            named_images(tmp_path / source)


def test_killed_at_random_moments() -> None:
    words = [sys.executable, str(SCRIPT), "--kills", "10", "--images", "15", "--seed", "7"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("10 kills")
