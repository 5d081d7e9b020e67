"""How fast the simulator executes blobs, as a share of the goal and of one bare matrix product of the same size.

    python benchmarks/simulator.py BLOB… [--repeats 5]

The goal is 0.5 s for SuperPoint at 320x200 (5.9 G multiply-accumulates) on two cores. The matrix product is NumPy's in
float64, which the simulator calculates in; a ratio of 1 would be a simulator that does nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.cost import estimate
from oakpoint.myriad.simulator import Simulator

GOAL_S = 0.5


def best_s(function: Callable[[], object], repeats: int) -> float:
    """Shortest of some runs, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def product_s(macs: int, repeats: int) -> float:
    """Time of a float64 matrix product (64, 576) x (576, N) of so many multiply-accumulates."""
    columns = 8192
    weights, values = np.random.default_rng(0).standard_normal((64, 576)), np.ones((576, columns))
    return best_s(lambda: weights @ values, repeats) * macs / (64 * 576 * columns)


def main() -> None:
    """Measure every blob that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("blobs", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("blob                                      load s   run s  of goal  of product")
    for path in options.blobs:
        started = time.perf_counter()
        blob = read_blob(path)
        simulator = Simulator(blob)
        load = time.perf_counter() - started
        inputs = {t.name: rng.integers(0, 256, t.shape).astype(t.dtype.numpy) for t in blob.inputs}
        run = best_s(lambda simulator=simulator, inputs=inputs: simulator.run(inputs), options.repeats)  # type: ignore[misc]
        product = product_s(estimate(blob).macs, options.repeats)
        print(f"{path.name:40}  {load:6.2f}  {run:6.3f}  {run / GOAL_S:7.2f}  {run / product:10.2f}")


if __name__ == "__main__":
    main()
