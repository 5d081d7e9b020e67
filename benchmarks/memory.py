"""The memory that a network takes for one image, measured and as it is estimated before it runs.

    python benchmarks/memory.py --weights superpoint_v1.pth

Each row is a process of its own: the network runs on a small image, then on one of the given size; measured is how far
the peak of its resident memory (``VmHWM`` of /proc/self/status) rises above what it held before.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

import oakpoint
from oakpoint.backends.limit import MemoryLimit

BACKENDS = ("openvino", "onnxruntime", "torch")
SIZES = ("1280x960", "2560x1920", "4000x3000")
SMALL_PX = 64


def main() -> None:
    """Print a table, a row for each network, runtime and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="SuperPoint's; without them only acorn is measured")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxHEIGHT")
    parser.add_argument("--one", nargs=3, metavar=("NETWORK", "BACKEND", "SIZE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(*asked.one, asked.weights)
        return
    print("network     runtime      size        measured  estimate  B/px  B/px  ratio")
    for network in ("acorn", *(["superpoint"] if asked.weights else [])):
        weights = ["--weights", str(asked.weights)] if network == "superpoint" else []
        for backend in BACKENDS:
            for size in asked.sizes:
                command = [sys.executable, __file__, "--one", network, backend, size, *weights]
                subprocess.run(command, check=True)


def measure(network: str, backend: str, size: str, weights: Path | None) -> None:
    """Print one row."""
    width, height = map(int, size.split("x"))
    extractor = oakpoint.load(network, weights=weights, size="native", backend=backend, max_memory_gb=1000)
    rng = np.random.default_rng(0)
    extractor(rng.integers(0, 256, (SMALL_PX, SMALL_PX), np.uint8))
    coarse = rng.integers(0, 256, (height // 16, width // 16), np.uint8)
    image = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    limit = extractor._memory
    assert isinstance(limit, MemoryLimit)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = kilobytes("VmRSS")
    extractor(image)
    measured, estimate = 1024 * (kilobytes("VmHWM") - before), limit.needed((width, height)) or 0
    pixels = width * height
    print(
        f"{network:<11} {backend:<12} {size:<10} {measured / 1e9:>6.2f} GB {estimate / 1e9:>6.2f} GB "
        f"{measured / pixels:>5.0f} {estimate / pixels:>5.0f} {estimate / measured:>6.2f}",
        flush=True,
    )


def kilobytes(name: str) -> int:
    """A figure of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
