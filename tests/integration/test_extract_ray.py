"""``oakpoint extract --engine ray``, with Ray itself: against the plain command, and with its processes killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from oakpoint.errors import MissingExtraError
from oakpoint.extraction.parts.reading import FeatureParts
from oakpoint.features.hdf5 import read_features, stored_names

pytest.importorskip("ray", reason="the extra ray is not installed")

SIZE = (96, 64)
IMAGES, COPIES = 60, 6
DRIVERS_KILLED, WORKERS_KILLED = 3, 6


def make_images(folder: Path) -> None:
    """Noise with structure, some of it twice, and a file that is no image."""
    rng = np.random.default_rng(7)
    folder.mkdir()
    for index in range(IMAGES):
        coarse = rng.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8), np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.png"), cv2.resize(coarse, SIZE, interpolation=cv2.INTER_NEAREST))
    (folder / "again").mkdir()
    for index in range(COPIES):
        shutil.copy(folder / f"{index:03d}.png", folder / "again" / f"{index}.png")
    (folder / "text.png").write_text("hello")


@pytest.fixture(scope="module")
def images(made_once: Callable[..., Path]) -> Path:
    return made_once("images-for-ray", make_images)


@pytest.fixture
def ray_processes() -> Iterator[Callable[[], list[int]]]:
    """Gives Ray's workers among the descendants of this process; afterwards none of Ray's processes may be left."""
    yield lambda: [pid for pid, name in _descendants() if name.startswith("ray::")]
    end = time.monotonic() + 30
    while left := [(pid, name) for pid, name in _descendants() if "ray" in name]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.2)


def _descendants() -> Iterator[tuple[int, str]]:
    """Processes below this one, also those whose parent has died, which the kernel gives to a subreaper or to init."""
    marked = f"OAKPOINT_TEST_OF={os.getpid()}".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is gone, or another user's
            if entry.name.isdigit() and marked in (entry / "environ").read_bytes().split(b"\0"):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                name = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if state != "Z":
                    yield int(entry.name), name


def start(model: Path, images: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "oakpoint", "extract", str(model), str(images), "--out", str(out), "--json"]
    return subprocess.Popen(
        [*words, "--size", f"{SIZE[0]}x{SIZE[1]}", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OAKPOINT_TEST_OF": str(os.getpid())},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> dict[str, object]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    assert err == "", err
    facts: dict[str, object] = json.loads(out)
    return facts


def assert_same(plain: Path, out: Path) -> None:
    parts = FeatureParts(out)
    assert sorted(parts) == stored_names(plain)
    assert len(parts) == IMAGES + COPIES
    assert sum(part.contents for part in parts.parts) == IMAGES, "a content was written twice"
    for name in parts:
        one, other = read_features(plain, name), parts[name]
        assert one.image_size == other.image_size
        for array in ("keypoints", "scores", "descriptors"):
            assert np.array_equal(getattr(one, array), getattr(other, array)), name
    assert list(parts.failures) == ["text.png"]


@pytest.fixture(scope="module")
def plain(made_once: Callable[..., Path], small_onnx: Path, images: Path) -> Path:
    return made_once("plain-for-ray.h5", lambda path: ended(start(small_onnx, images, path), 1))


@pytest.mark.slow
def test_as_the_plain_command_and_nothing_left_behind(
    plain: Path, small_onnx: Path, images: Path, tmp_path: Path, ray_processes: object
) -> None:
    options = ("--engine", "ray", "--workers", "2", "--format", "hdf5", "--shard-size", "7")
    facts = ended(start(small_onnx, images, tmp_path / "parts", *options), 1)
    assert (facts["extracted"], facts["shared"], facts["images"]) == (IMAGES, COPIES, IMAGES + COPIES)
    assert list(facts["failed"]) == ["text.png"]  # type: ignore[call-overload]
    assert_same(plain, tmp_path / "parts")
    with h5py.File(tmp_path / "parts" / "features.h5") as file:
        assert np.array_equal(file["again/3.png"]["keypoints"], read_features(plain, "003.png").keypoints)


@pytest.mark.slow
def test_killed_at_random_moments(
    plain: Path, small_onnx: Path, images: Path, tmp_path: Path, ray_processes: Callable[[], list[int]]
) -> None:
    """Workers, registers and whatever else Ray started, one by one; and the driver."""
    rng, out = random.Random(1), tmp_path / "parts"
    options = ("--engine", "ray", "--workers", "2", "--shard-size", "3")
    drivers = workers = 0
    while drivers < DRIVERS_KILLED:
        process, before = start(small_onnx, images, out, *options), rows(out)
        while rows(out) == before and process.poll() is None:
            time.sleep(0.01)
        for _ in range(WORKERS_KILLED // DRIVERS_KILLED):
            time.sleep(rng.uniform(0, 0.3))
            if alive := ray_processes():
                workers += kill(rng.choice(alive))
        time.sleep(rng.uniform(0, 0.3))
        drivers += 1
        process.kill()
        process.communicate()
        wait_for(lambda: not list(_descendants()))
    assert workers
    process = start(small_onnx, images, out, *options)
    wait_for(lambda: bool(ray_processes()))
    for _ in range(3):
        time.sleep(rng.uniform(0, 1))
        if alive := ray_processes():
            kill(rng.choice(alive))
    facts = ended(process, 1)
    assert facts["images"] == IMAGES + COPIES
    assert_same(plain, out)


def rows(out: Path) -> set[str]:
    return {path.name for path in out.glob("manifest/*.json")}


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from oakpoint.extraction.parts.ray_engine import _import_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oakpoint\[ray\]'"):
        _import_ray()
