"""What an evaluation of many pairs costs beside its extractors.

    python benchmarks/eval_scale.py --photographs FOLDER [--tiles 100 400 1480] [--views 5]
    python benchmarks/eval_scale.py --bootstrap [--pairs 7400] [--extractors 2 4 8] [--resamples 2000] [--rounds 3]

The first form evaluates a stand-in that finds the same keypoints in every image, on synthetic pairs of so many
photographs of a folder, each in a process of its own: seconds to the first measurement, seconds for each pair, and the
peak of resident memory above what the process held before (``VmHWM`` of /proc/self/status). ``--first`` ends after the
first measurement of each.

The second form times the intervals alone, on random values of all figures of the three protocols: what counts is the
ratio to the smallest number of extractors in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import final

import numpy as np

from oakpoint.evaluate.candidates import Candidate
from oakpoint.evaluate.evaluation import evaluate
from oakpoint.evaluate.intervals import Sample, estimates
from oakpoint.evaluate.protocol import Prepared
from oakpoint.evaluate.protocols import PROTOCOLS, protocols_by_name
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_dataset
from oakpoint.evaluate.timing import Timed
from oakpoint.features.types import Features
from oakpoint.images.reading import list_images

KEYPOINTS = 500


class FirstMeasurementError(Exception):
    """Ends an evaluation that has begun."""


@final
class StandIn(Candidate):
    """Keypoints that cost nothing to find."""

    label, note = "stand-in", ""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        descriptors = rng.normal(size=(KEYPOINTS, 64)).astype(np.float32)
        self._descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
        self._places = rng.uniform(0, 1, (KEYPOINTS, 2)).astype(np.float32)
        self._scores = np.linspace(1, 0, KEYPOINTS, dtype=np.float32)

    def features(self, name: str, prepared: Prepared) -> Timed:
        """See ``Candidate.features``."""
        del name
        places = self._places * (np.array(prepared.size, np.float32) - 1)
        return Timed(Features(places, self._scores, self._descriptors, prepared.size), 1.0, "none")


def measure(folder: Path, views: int, *, first: bool) -> None:
    """Print one row, in a process that has done nothing else."""
    before = kilobytes("VmRSS")
    began = time.perf_counter()
    reached: list[float] = []

    def done(sequence: str, count: int) -> None:
        del sequence, count
        if not reached:
            reached.append(time.perf_counter() - began)
            if first:
                raise FirstMeasurementError

    dataset = synthetic_dataset(folder, SyntheticOptions(views=views))
    try:
        evaluate(dataset, [StandIn()], protocols_by_name(PROTOCOLS, "published"), done)
        each = f"{1e3 * (time.perf_counter() - began) / dataset.pairs:8.1f} ms"
    except FirstMeasurementError:
        each = "          –"
    peak_mb = (kilobytes("VmHWM") - before) / 1e3
    print(
        f"{len(dataset.sequences):>7} {dataset.pairs:>7} {reached[0]:>12.2f} s {each} {peak_mb:>10.0f} MB", flush=True
    )


def kilobytes(name: str) -> int:
    """A figure of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def measure_sizes(options: argparse.Namespace) -> None:
    """A row for each number of photographs."""
    names = list_images(options.photographs, recursive=True)
    print(" photos   pairs    first after      a pair    peak memory")
    for tiles in options.tiles:
        with tempfile.TemporaryDirectory() as temporary:
            for index, name in enumerate(names[:tiles]):
                link = Path(temporary) / f"{index}{Path(name).suffix}"
                link.symlink_to((options.photographs / name).resolve())
            command = [sys.executable, __file__, "--one", temporary, "--views", str(options.views)]
            subprocess.run([*command, *(["--first"] if options.first else [])], check=True)


def measure_bootstrap(options: argparse.Namespace) -> None:
    """A row for each number of extractors: median seconds, and the median ratio to the first row's."""
    rng = np.random.default_rng(0)
    protocols = protocols_by_name(PROTOCOLS, "published")
    sequences = [str(index // options.views) for index in range(options.pairs)]
    values = {
        (extractor, protocol.key, figure.key): rng.uniform(0, 6, options.pairs)
        for extractor in range(max(options.extractors))
        for protocol in protocols
        for figure in protocol.figures
    }
    seconds: dict[int, list[float]] = {count: [] for count in options.extractors}
    for _ in range(options.rounds):
        for count in options.extractors:
            began = time.perf_counter()
            for protocol in protocols:
                samples = [
                    Sample(
                        figure,
                        values[extractor, protocol.key, figure.key],
                        values[0, protocol.key, figure.key] if extractor else None,
                    )
                    for extractor in range(count)
                    for figure in protocol.figures
                ]
                estimates(samples, sequences, seed=0, resamples=options.resamples)
            seconds[count].append(time.perf_counter() - began)
    base = seconds[options.extractors[0]]
    print(f"{options.pairs} pairs of {len(set(sequences))} sequences, {options.resamples} draws, three protocols")
    for count, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        print(f"{count:>3} extractors {statistics.median(own):>8.2f} s {ratio:>6.2f} × {options.extractors[0]}'s")


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--tiles", nargs="+", type=int, default=[100, 400, 1480])
    parser.add_argument("--views", type=int, default=5, help="pairs of each photograph")
    parser.add_argument("--first", action="store_true", help="end after the first measurement")
    parser.add_argument("--bootstrap", action="store_true")
    parser.add_argument("--pairs", type=int, default=7400)
    parser.add_argument("--extractors", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        measure(options.one, options.views, first=options.first)
    elif options.bootstrap:
        measure_bootstrap(options)
    elif options.photographs is not None:
        measure_sizes(options)
    else:
        parser.error("expected --photographs FOLDER or --bootstrap")


if __name__ == "__main__":
    main()
