"""Read many mutated blobs; every one must be read or refused with BlobError, each within a time limit.

    python scripts/fuzz_blobs.py [--count 20000] [--seed 0] [--run] BLOB…

``--run`` also executes those that are still readable, with the simulator, where only BlobError may come. Ends with 1
when anything else came, and leaves the offending file in the current folder.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from oakpoint.errors import BlobError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.summary import summarize

LIMIT_S = 5
EXTREMES = np.array([0, 1, 2, 7, 8, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
MAX_RUN_BYTES = 1 << 26


def mutated(data: bytes, structure_end: int, rng: np.random.Generator) -> bytes:
    """Cut, grow or overwrite; most changes fall on headers and stages, where they do harm."""
    kind = rng.integers(0, 10)
    if kind == 0:
        return data[: rng.integers(0, len(data))]
    if kind == 1:
        start = int(rng.integers(0, structure_end))
        return data[:start] + data[start + int(rng.integers(1, 200)) :]
    if kind == 2:
        start = int(rng.integers(0, structure_end))
        return data[:start] + rng.bytes(int(rng.integers(1, 64))) + data[start:]
    changed = np.frombuffer(data, np.uint8).copy()
    for _ in range(rng.integers(1, 6)):
        end = structure_end if rng.random() < 0.8 else len(data)
        place = 4 * int(rng.integers(0, end // 4))
        if rng.random() < 0.3:
            changed[place] ^= np.uint8(1 << rng.integers(0, 8))
        else:
            value = rng.choice(EXTREMES) if rng.random() < 0.5 else np.uint32(rng.integers(0, 2**16))
            changed[place : place + 4] = np.array([value], "<u4").view(np.uint8)
    return changed.tobytes()


def outcome(data: bytes, *, run: bool) -> str:
    """``"read"``, ``"refused"``, ``"executed"`` or ``"not executed"``; anything unexpected passes through."""
    try:
        blob = Blob.from_bytes(data)
    except BlobError:
        return "refused"
    summarize(blob)
    if not run or max(blob.header.bss_size, blob.header.inputs_size, blob.header.outputs_size) > MAX_RUN_BYTES:
        return "read"
    try:
        inputs = {t.name: np.zeros(t.shape, t.dtype.numpy) for t in blob.inputs}
        Simulator(blob).run(inputs)
    except BlobError:
        return "not executed"
    return "executed"


def main() -> int:
    """Run the mutants and count what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("blobs", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", action="store_true")
    options = parser.parse_args()
    sources = [path.read_bytes() for path in options.blobs]
    ends = [Blob.from_bytes(data).header.constant_section for data in sources]
    rng = np.random.default_rng(options.seed)
    counts: Counter[str] = Counter()
    slowest = 0.0
    for number in range(options.count):
        index = int(rng.integers(0, len(sources)))
        data = mutated(sources[index], ends[index], rng)
        signal.alarm(LIMIT_S)
        started = time.perf_counter()
        try:
            counts[outcome(data, run=options.run)] += 1
        except Exception as error:  # noqa: BLE001 - finding any other exception is the purpose
            Path(f"fuzz-{options.seed}-{number}.blob").write_bytes(data)
            print(f"mutant {number}: {type(error).__name__}: {error}", file=sys.stderr)
            counts["WRONG"] += 1
        signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - started)
    print(f"{options.count} mutants: {dict(counts)}, slowest {slowest:.2f} s")
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
