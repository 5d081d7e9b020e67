"""Kill an extraction at many random moments; its file must be whole each time, and lack at most the last image.

    python scripts/kill_extract.py [--kills 500] [--images 40] [--seed 0]

Each run goes on with the file that the one before left, until all images are in it; then a new file is begun. A run is
a process of its own that uses the real reading and writing, with an extractor that makes up features by the image's
pixels, so that most of the time goes into writing. After each kill the file is opened with h5py alone, as hloc would,
and every image that the run had reported as done must be there with its features. Ends with 1 when one was not.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import cv2
import h5py
import numpy as np

from oakpoint.errors import OakpointError
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import extract_images
from oakpoint.extractor import Extractor
from oakpoint.features.types import Features
from oakpoint.images.reading import read_image

FURTHER_IMAGES, FURTHER_S = 6, 0.012
"""A run is killed at most so many images after the ones that it found, and at most so long after the last of them: a
few times what it takes to write one."""


class MadeUp:
    """Features that follow from an image's pixels, at no cost."""

    native = True
    in_flight = 2

    def __call__(self, image: Any) -> Features:
        """Features of an image."""
        rng = np.random.default_rng(int(image.ravel()[0]))
        count = int(rng.integers(0, 500))
        keypoints = rng.uniform(0, 8, (count, 2)).astype(np.float32)
        descriptors = rng.normal(size=(count, 64)).astype(np.float32)
        return Features(keypoints, rng.random(count, np.float32), descriptors, (image.shape[1], image.shape[0]))

    def identity(self) -> dict[str, object]:
        """As ``Extractor`` has it."""
        return {"model": "made up", "decode subpixel": "none"}

    def former_identity(self) -> dict[str, object]:
        """As ``Extractor`` has it."""
        return {"model": "made up", "decode subpixel": "none"}


def run(images: Path, path: Path, reports: int) -> None:
    """Extract, and write a byte for each image that is done."""
    for result in extract_images(named_images(images)[1], cast(Extractor, MadeUp()), path):
        if result.error:
            raise AssertionError(result.error)
        os.write(reports, b".")


def killed_run(images: Path, path: Path, after: int, further_s: float) -> tuple[int, bool]:
    """Start a run, and kill it some time after an image; how many it had reported, and whether it was still running."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            run(images, path, writing)
        except BaseException as error:  # noqa: BLE001 - nothing of the parent's may run in the child
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    reported = 0
    while reported < after and (chunk := os.read(reading, 1)):
        reported += len(chunk)
    time.sleep(further_s)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    while chunk := os.read(reading, 4096):
        reported += len(chunk)
    os.close(reading)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError("a run failed by itself")
    return reported, os.WIFSIGNALED(status)


def fault_of(path: Path, expected: dict[str, Features], done: int) -> str | None:
    """What is wrong with the file that a killed run left; None where it is whole and lacks nothing that was done.

    Args:
        path: the file.
        expected: features by name, in the order in which they are made.
        done: how many images the killed run had reported, or the file held before it.
    """
    if not path.exists():
        return f"there is no file, {done} images were done" if done else None
    names = list(expected)
    try:
        with h5py.File(path) as file:
            there = list(file)
            if there != names[: len(there)]:
                return f"holds {there}"
            if not done <= len(there) <= done + 1:
                return f"holds {len(there)} images, {done} were done"
            for name in there:
                made, group = expected[name], file[name]
                same = np.array_equal(group["keypoints"][()], made.keypoints)
                if not same or not np.array_equal(group["descriptors"][()], made.descriptors.T):
                    return f"{name} has other features"
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


def stored_count(path: Path) -> int:
    """How many images a whole file holds; 0 where there is none."""
    if not path.exists():
        return 0
    with h5py.File(path) as file:
        return len(file)


def main() -> int:
    """Kill, look, go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        images, path = Path(place) / "images", Path(place) / "features.h5"
        images.mkdir()
        for index in range(options.images):
            cv2.imwrite(str(images / f"{index:04d}.png"), np.full((8, 8), index % 256, np.uint8))
        expected = {file.name: MadeUp()(read_image(file)) for file in sorted(images.iterdir())}
        started, before = time.perf_counter(), 0
        while counts["kills"] < options.kills:
            after = min(before + int(rng.integers(0, FURTHER_IMAGES)), options.images)
            reported, killed = killed_run(images, path, after, float(rng.uniform(0, FURTHER_S)))
            counts["kills" if killed else "runs that ended first"] += 1
            counts["kills with an image being written"] += killed and before < reported < options.images
            if (fault := fault_of(path, expected, max(before, reported))) is not None:
                counts["RUINED OR LACKING"] += 1
                print(f"after {counts['kills']} kills: {fault}", file=sys.stderr)
                path.unlink(missing_ok=True)
            before = stored_count(path)
            if before == options.images:
                path.unlink()
                counts["files"] += 1
                before = 0
    seconds = time.perf_counter() - started
    print(f"{', '.join(f'{count} {what}' for what, count in counts.items())}, in {seconds:.0f} s")
    return 1 if counts["RUINED OR LACKING"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OakpointError, AssertionError) as error:
        sys.exit(f"error: {error}")
