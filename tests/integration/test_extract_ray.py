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
DRIVERS_KILLED, WORKERS_KILLED = 3, 2


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


class Runs:
    """Commands, each in a session of its own, by which everything that it started is found, also when it is dead."""

    def __init__(self) -> None:
        self.sessions: set[int] = set()

    def start(self, model: Path, images: Path, out: Path, *options: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "oakpoint", "extract", str(model), str(images), "--out", str(out), "--json"]
        process = subprocess.Popen(
            [*words, "--size", f"{SIZE[0]}x{SIZE[1]}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.sessions.add(process.pid)
        return process

    def alive(self) -> dict[int, str]:
        """Processes of all sessions by their names; Ray's workers are called ``ray::`` and so on."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it is gone
                if entry.name.isdigit():
                    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    if state != "Z" and int(session) in self.sessions:
                        name = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry.name)] = name.decode(errors="replace")
        return found

    def workers(self) -> list[int]:
        """Workers and registers. Ray 2.60 itself waits for ever where a process is killed that it starts at first."""
        return [pid for pid, name in self.alive().items() if name.startswith(("ray::MapWorker", "ray::_Register"))]


@pytest.fixture
def runs() -> Iterator[Runs]:
    """Nothing that they started may be left."""
    given = Runs()
    yield given
    end = time.monotonic() + 120
    while left := given.alive():
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.2)


def ended(process: subprocess.Popen[str], code: int) -> dict[str, object]:
    out, err = process.communicate()
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
    return made_once("plain-for-ray.h5", lambda path: ended(Runs().start(small_onnx, images, path), 1))


@pytest.mark.slow
def test_as_the_plain_command_and_nothing_left_behind(
    plain: Path, small_onnx: Path, images: Path, tmp_path: Path, runs: Runs
) -> None:
    options = ("--engine", "ray", "--workers", "2", "--format", "hdf5", "--shard-size", "7")
    facts = ended(runs.start(small_onnx, images, tmp_path / "parts", *options), 1)
    assert (facts["extracted"], facts["shared"], facts["images"]) == (IMAGES, COPIES, IMAGES + COPIES)
    assert list(facts["failed"]) == ["text.png"]  # type: ignore[call-overload]
    assert_same(plain, tmp_path / "parts")
    with h5py.File(tmp_path / "parts" / "features.h5") as file:
        assert np.array_equal(file["again/3.png"]["keypoints"], read_features(plain, "003.png").keypoints)


@pytest.mark.slow
def test_killed_at_random_moments(plain: Path, small_onnx: Path, images: Path, tmp_path: Path, runs: Runs) -> None:
    """Workers and registers, some of each run; and all drivers but the last, each after at least one part."""
    rng, out = random.Random(1), tmp_path / "parts"
    options = ("--engine", "ray", "--workers", "2", "--shard-size", "2")
    killed = 0
    for _ in range(DRIVERS_KILLED):
        process, before = runs.start(small_onnx, images, out, *options), rows(out)
        while rows(out) <= before and process.poll() is None:
            time.sleep(0.01)
        killed += sum(kill_one(runs, rng) for _ in range(WORKERS_KILLED))
        process.kill()
        process.communicate()
    process = runs.start(small_onnx, images, out, *options)
    while not runs.workers():
        time.sleep(0.05)
    while process.poll() is None and killed < WORKERS_KILLED * (DRIVERS_KILLED + 2):
        time.sleep(rng.uniform(0, 2))
        killed += kill_one(runs, rng)
    facts = ended(process, 1)
    assert killed >= WORKERS_KILLED
    assert facts["images"] == IMAGES + COPIES
    assert_same(plain, out)


def kill_one(runs: Runs, rng: random.Random) -> bool:
    """Kill one of Ray's workers after a while."""
    time.sleep(rng.uniform(0, 0.2))
    try:
        os.kill(rng.choice(runs.workers()), signal.SIGKILL)
    except (ProcessLookupError, IndexError):  # it, or all of them, have just ended
        return False
    return True


def rows(out: Path) -> set[str]:
    return {path.name for path in out.glob("manifest/*.json")}


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from oakpoint.extraction.parts.ray_session import import_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oakpoint\[ray\]'"):
        import_ray()


def test_ray_can_be_started_twice_in_one_process() -> None:
    """It reads the secret once: a second one of another would never be reached."""
    from oakpoint.extraction.parts.ray_session import _secret

    assert _secret() == _secret()
    assert len(_secret()) >= 32
