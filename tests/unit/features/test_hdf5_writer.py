"""The writer of features files: what others see under the file's name is whole at every moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from oakpoint import files
from oakpoint.errors import FeaturesError, OutputError
from oakpoint.features import hdf5
from oakpoint.features.hdf5 import bind_settings, read_features, stored_names, stored_sources, writing_features
from oakpoint.features.types import Features


def some(seed: int, n: int = 20) -> Features:
    rng = np.random.default_rng(seed)
    values = [rng.uniform(0, 60, (n, 2)), np.sort(rng.random(n))[::-1], rng.normal(size=(n, 8))]
    return Features(*(np.ascontiguousarray(array, np.float32) for array in values), (64, 48))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.h5"


def write(path: Path, *seeds: int) -> None:
    with writing_features(path) as writer:
        for seed in seeds:
            writer.write(f"{seed}.jpg", some(seed), {"sha256": str(seed)})


def names_beside(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir()]


def assert_holds(path: Path, *seeds: int) -> None:
    assert stored_names(path) == sorted(f"{seed}.jpg" for seed in seeds)
    for seed in seeds:
        np.testing.assert_array_equal(read_features(path, f"{seed}.jpg").descriptors, some(seed).descriptors)


def test_the_file_is_whole_while_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    link = h5py.Group.__setitem__

    def looking(group: object, name: str, value: object) -> None:
        if path.exists():
            with h5py.File(path) as file:
                seen.append(sum(1 for item in file.values() if len(item) == 4))
        link(group, name, value)

    monkeypatch.setattr(h5py.Group, "__setitem__", looking)
    write(path, 1, 2, 3, 4)
    assert set(seen) == {1, 2, 3}
    monkeypatch.undo()
    assert_holds(path, 1, 2, 3, 4)
    assert names_beside(path) == ["f.h5"]


def test_what_an_image_was_made_from_is_noted(path: Path) -> None:
    write(path, 1)
    with writing_features(path) as writer:
        writer.write("2.jpg", some(2))
    with h5py.File(path, "r+") as file:
        file["2.jpg"].copy(file["2.jpg"], file, "3.jpg")
        file["3.jpg"].attrs["oakpoint_source"] = "damaged"
    assert stored_sources(path) == {"1.jpg": {"sha256": "1"}, "2.jpg": None, "3.jpg": None}


@pytest.mark.parametrize("lacking", ["exchange", "exchange and links"])
def test_where_names_cannot_be_exchanged(path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    if "links" in lacking:
        monkeypatch.setattr(os, "link", refuse)
    write(path, 1, 2, 3)
    write(path, 4, 2)
    assert_holds(path, 1, 2, 3, 4)
    assert names_beside(path) == ["f.h5"]


def test_one_writer_at_a_time(path: Path) -> None:
    write(path, 1)
    with writing_features(path):
        with pytest.raises(OutputError, match=r"f\.h5: another process is writing it"):
            write(path, 2)
        write(path.with_name("g.h5"), 2)
    write(path, 2)
    assert_holds(path, 1, 2)


def test_a_reader_keeps_what_it_opened(path: Path) -> None:
    write(path, 1)
    with writing_features(path) as writer, h5py.File(path) as reader:
        for seed in (2, 3, 4):
            writer.write(f"{seed}.jpg", some(seed))
        assert list(reader) == ["1.jpg"]
        assert reader["1.jpg/keypoints"].shape == (20, 2)
    assert_holds(path, 1, 2, 3, 4)


def test_a_reader_that_comes_in_between_does_not_stop_the_writer(path: Path) -> None:
    with writing_features(path) as writer:
        writer.write("1.jpg", some(1))
        writer.write("2.jpg", some(2))
        with h5py.File(path) as reader:
            writer.write("3.jpg", some(3))
            writer.write("4.jpg", some(4))
            assert list(reader) == ["1.jpg", "2.jpg"]
    assert_holds(path, 1, 2, 3, 4)


def test_links_and_permissions_stay(path: Path) -> None:
    write(path, 1)
    path.chmod(0o640)
    link = path.with_name("link.h5")
    link.symlink_to(path.name)
    write(link, 2, 3)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert_holds(path, 1, 2, 3)


def test_a_file_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 1)
    before = path.read_bytes()
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # root may do anything
    with pytest.raises(OutputError, match="not permitted to write it"):
        write(path, 2)
    assert path.read_bytes() == before


def test_a_full_disk_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 1)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy", full)
        with pytest.raises(OutputError, match=r"f\.h5: cannot be written \(No space left on device\)"):
            write(path, 2)
    assert path.read_bytes() == before
    assert names_beside(path) == ["f.h5"]


def test_after_a_failure_the_next_image_is_written_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with writing_features(path) as writer:
        writer.write("1.jpg", some(1))
        writer.write("2.jpg", some(2))
        with monkeypatch.context() as patch:
            patch.setattr(hdf5, "exchange_files", fail)
            with pytest.raises(KeyboardInterrupt):
                writer.write("3.jpg", some(3))
        with pytest.raises(FeaturesError, match="is an image here"):
            writer.write("1.jpg/4.jpg", some(4))
        assert_holds(path, 1, 2)
        writer.write("5.jpg", some(5))
        writer.write("6.jpg", some(6))
    assert_holds(path, 1, 2, 5, 6)


def test_a_file_bound_by_what_it_said_formerly_is_bound_by_todays_settings_from_then_on(path: Path) -> None:
    bind_settings(path, {"model": "short", "threshold": 0.1})
    write(path, 1)
    now = {"threshold": 0.1, "model": "long"}
    with pytest.raises(FeaturesError, match="made with model short, now it is long"):
        bind_settings(path, now)
    with pytest.raises(FeaturesError, match=r"made with threshold 0\.1, now it is 0\.2"):
        bind_settings(path, {**now, "threshold": 0.2}, formerly={"model": "short"})
    assert bind_settings(path, now, formerly={"model": "short"})
    assert not bind_settings(path, now)
    with pytest.raises(FeaturesError, match="made with model long, now it is other"):
        bind_settings(path, {**now, "model": "other"}, formerly={"model": "short"})
    assert_holds(path, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
import h5py, numpy as np
from oakpoint import files
from oakpoint.features import hdf5
from oakpoint.features.types import Features

path, steps = Path(sys.argv[1]), int(sys.argv[2])
count = 0

def dying(function):
    def call(*arguments, **options):
        global count
        count += 1
        if count == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

with hdf5.writing_features(path) as writer:
    if path.exists():
        done = len(hdf5.stored_names(path))
    else:
        done = 0
    h5py.Group.__setitem__ = dying(h5py.Group.__setitem__)
    h5py.File.close = dying(h5py.File.close)
    os.replace = dying(os.replace)
    hdf5.exchange_files = dying(hdf5.exchange_files)
    files._exchange = dying(files._exchange)
    for seed in range(done, 100):
        values = np.full((3, 2), seed, np.float32)
        writer.write(f"{seed:02}.jpg", Features(values, values[:, 0], np.ones((3, 8), np.float32), (200, 200)))
        print(seed + 1, flush=True)
"""


def test_killed_at_any_step_all_that_was_done_is_there(path: Path) -> None:
    before = 0
    for steps in (1, 3, 5, 8, 9, 10, 14, 17, 22, 26):
        ran = subprocess.run([sys.executable, "-c", KILLED, str(path), str(steps)], capture_output=True, text=True)
        assert ran.returncode == -9, ran.stderr
        done = int((ran.stdout.split() or [before])[-1])
        there = stored_names(path) if path.exists() else []
        assert there == [f"{seed:02}.jpg" for seed in range(len(there))]
        assert done <= len(there) <= done + 1
        for seed, name in enumerate(there):
            assert (read_features(path, name).keypoints == seed).all()
        before = len(there)
    assert before > 3
    write(path)
    assert names_beside(path) == ["f.h5"], "what the killed ones left is gone"
