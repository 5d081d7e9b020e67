"""One network compiled for every number of SHAVE cores, several compilers side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import onnx

from oakpoint.convert.device_graph import DeviceGraph
from oakpoint.errors import naming
from oakpoint.myriad.compiler import MAX_SHAVES, compile_blob
from oakpoint.myriad.toolchain import ensure_toolchain
from oakpoint.threads import cores

ALL_SHAVES = tuple(range(1, MAX_SHAVES + 1))


def compile_for_shaves(
    graph: DeviceGraph,
    *,
    shaves: Iterable[int] = ALL_SHAVES,
    compiled: Callable[[int], None] = lambda _: None,
) -> dict[int, bytes]:
    """Compile a device graph once for each number of SHAVEs, as many processes at a time as there are cores.

    Args:
        graph: what the blobs are compiled from.
        shaves: the numbers, each 1 to 16.
        compiled: told of each number when its blob is done.

    Returns:
        Content of the blob for each number.

    Raises:
        ConversionError: the compiler refuses it, or is not to be had.
    """
    ensure_toolchain()
    with tempfile.TemporaryDirectory(prefix="oakpoint-shaves-") as scratch:
        path = Path(scratch) / "device.onnx"
        onnx.save(graph.model, path)

        def compile_one(number: int) -> bytes:
            blob = Path(scratch) / f"{number}.blob"
            with naming(path, "the device graph"), naming(blob, f"the blob for {number} shaves"):
                compile_blob(path, blob, shaves=number, images=graph.images)
            return blob.read_bytes()

        blobs: dict[int, bytes] = {}
        with ThreadPoolExecutor(cores()) as pool:
            numbers = {pool.submit(compile_one, number): number for number in shaves}
            try:
                for future in as_completed(numbers):
                    blobs[numbers[future]] = future.result()
                    compiled(numbers[future])
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return dict(sorted(blobs.items()))
