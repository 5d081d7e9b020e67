"""What threads of libraries cost that spin on when their work is done, and what oakpoint's bounds leave of it.

    python benchmarks/threads.py [--model acorn] [--backend openvino] [--rounds 5]

Two tables, both in CPU time of the whole process, which other programs on the machine hardly change:

* a loop over frames, each extracted and matched with the one before: as oakpoint does it, with BLAS at one thread for
  good, and with all of BLAS's threads, as NumPy does it by itself; interleaved, as ratios to the second of them;
* what is used in the 300 ms after one call, with the program asleep.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

import oakpoint
from oakpoint import threads
from oakpoint.verify.photographs import load_photographs

FRAMES = 30
ASLEEP_S = 0.3


class Unbounded:
    """In the place of oakpoint's bound: none."""

    def held(self) -> AbstractContextManager[None]:
        """Nothing is bounded."""
        return nullcontext()


def loop_ms(extractor: oakpoint.Extractor, frames: list[NDArray[np.uint8]]) -> tuple[float, float]:
    """CPU and wall time per frame."""
    before = extractor(frames[-1])
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(FRAMES):
        found = extractor(frames[number % len(frames)])
        oakpoint.match(before, found)
        before = found
    return (time.process_time() - cpu) / FRAMES * 1e3, (time.perf_counter() - wall) / FRAMES * 1e3


def after_ms(call: Callable[[], object], rounds: int) -> float:
    """CPU time used after a call, with the program asleep; the median of some rounds."""
    used = []
    for _ in range(rounds):
        call()
        before = time.process_time()
        time.sleep(ASLEEP_S)
        used.append((time.process_time() - before) * 1e3)
    return statistics.median(used)


def print_loops(extractor: oakpoint.Extractor, frames: list[NDArray[np.uint8]], rounds: int) -> None:
    """The loop in three ways."""
    bound = threads._blas
    found: dict[str, list[tuple[float, float]]] = {"oakpoint": [], "one BLAS thread": [], "all BLAS threads": []}
    for _ in range(rounds):
        found["oakpoint"].append(loop_ms(extractor, frames))
        threads._blas = Unbounded()  # type: ignore[assignment]
        try:
            with threadpool_limits(1, user_api="blas"):
                found["one BLAS thread"].append(loop_ms(extractor, frames))
            found["all BLAS threads"].append(loop_ms(extractor, frames))
        finally:
            threads._blas = bound
    print(f"{'a frame extracted and matched':32} {'CPU ms':>8} {'ratio':>6} {'wall ms':>8} {'ratio':>6}")
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()
    }
    one_cpu, one_wall = medians["one BLAS thread"]
    for name, (cpu, wall) in medians.items():
        print(f"{name:32} {cpu:8.1f} {cpu / one_cpu:6.2f} {wall:8.1f} {wall / one_wall:6.2f}")


def main() -> None:
    """Measure on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="acorn")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    photographs = [image for image in load_photographs(None).values() if image.ndim == 2 or image.shape[2] == 3]
    frames = [cv2.resize(image, (640, 480)) for image in photographs[:4]]
    with oakpoint.load(options.model, size=(320, 240), backend=options.backend) as extractor:
        found = extractor(frames[0])
        shape = "×".join(map(str, found.descriptors.shape))
        counts = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
        print(f"{extractor.description()}, {threads.cores()} cores, BLAS with {counts} threads, descriptors {shape}")
        print_loops(extractor, frames, options.rounds)
        print(f"\n{f'in the {ASLEEP_S * 1e3:.0f} ms after':32} {'CPU ms':>8}")
        product = after_ms(lambda: found.descriptors @ found.descriptors.T, options.rounds)
        print(f"{'a bare product of descriptors':32} {product:8.1f}")
        print(f"{'oakpoint.match':32} {after_ms(lambda: oakpoint.match(found, found), options.rounds):8.1f}")
        print(f"{'a run of the network':32} {after_ms(lambda: extractor.dense(frames[0]), options.rounds):8.1f}")


if __name__ == "__main__":
    main()
