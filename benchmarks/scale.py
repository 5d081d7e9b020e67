"""The plain extraction against Ray with one and two workers, on the same images in the same process.

    python benchmarks/scale.py [--model acorn] [--images 120] [--size 640x480] [--rounds 3]

What is compared are images a second once the model is open and Ray is up: a first pass over a few images opens the
models, and the figures are of later passes, the three engines one after the other in each round. What starting takes
is told by itself. Images are JPEGs made of scikit-image's photographs, each with noise of its own, so that no two have
the same content.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import extract_images
from oakpoint.extraction.parts.portion import Job, settings_of
from oakpoint.extraction.parts.ray_engine import RayEngine
from oakpoint.extraction.parts.run import extract_into_parts
from oakpoint.extraction.parts.storage import Storage
from oakpoint.images.sizes import size_from
from oakpoint.loading import load_extractor
from oakpoint.models.naming import model_of
from oakpoint.threads import cores
from oakpoint.verify.photographs import load_photographs

WARM = 8
"""Images of the first portion of each worker, whose time does not count."""


def make_images(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Photographs with noise, as JPEG."""
    rng = np.random.default_rng(0)
    photographs = list(load_photographs(None).values())
    folder.mkdir()
    for index in range(count):
        picture = cv2.resize(photographs[index % len(photographs)], size).astype(np.int16)
        noisy = np.clip(picture + rng.integers(-4, 5, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])


def plain_rate(images: Path, out: Path, model: str) -> float:
    """Images a second of the plain command's code."""
    with load_extractor(model) as extractor:
        results = extract_images(named_images(images)[1], extractor, out)
        for _ in range(WARM):
            next(results)
        started = time.perf_counter()
        count = sum(1 for _ in results)
        return count / (time.perf_counter() - started)


def ray_rate(images: Path, out: Path, model: str, workers: int) -> tuple[float, float]:
    """Images a second of Ray's workers after their first portions, and seconds until these were done."""
    described = model_of(model)
    with load_extractor(described) as extractor:
        settings = settings_of(extractor, upright=False)
    job = Job(model=described, options={}, settings=settings, output=Storage.at(str(out)), form="parquet")
    started = time.time()
    extract_into_parts(str(images), job, RayEngine(workers=workers), shard_size=WARM)
    ends = sorted(row.stat().st_mtime for row in (out / "manifest").iterdir())
    first = ends[workers - 1]
    return WARM * (len(ends) - workers) / (ends[-1] - first), first - started


def main() -> None:
    """Measure, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acorn")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--size", type=size_from, default=(640, 480))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "images"
        make_images(images, options.images, options.size)
        starts: list[float] = []

        def on_ray(workers: int) -> Callable[[Path], float]:
            def measured(out: Path) -> float:
                rate, start = ray_rate(images, out, options.model, workers)
                starts.append(start)
                return rate

            return measured

        engines: dict[str, Callable[[Path], float]] = {
            "plain": lambda out: plain_rate(images, out.with_suffix(".h5"), options.model),
            "ray, 1 worker": on_ray(1),
            "ray, 2 workers": on_ray(2),
        }
        rates: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(options.rounds):
            for name, measure in engines.items():
                out = Path(place) / "out"
                rates[name].append(measure(out))
                shutil.rmtree(out, ignore_errors=True)
                out.with_suffix(".h5").unlink(missing_ok=True)
    width, height = options.size
    print(f"{options.model}, {options.images} images of {width}x{height}, {cores()} cores, {options.rounds} rounds")
    plain = rates["plain"]
    for name, each in rates.items():
        ratio = statistics.median(rate / other for rate, other in zip(each, plain, strict=True))
        spread = f"{min(each):.1f} to {max(each):.1f}"
        print(f"{name:<15} {statistics.median(each):6.1f} images/s ({spread}), {ratio:.2f} of plain")
    print(f"from the start until every worker has done its first portion: {statistics.median(starts):.1f} s")


if __name__ == "__main__":
    main()
