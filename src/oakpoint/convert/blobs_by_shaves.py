"""One network compiled for every number of SHAVE cores, several compilers side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import onnx

from oakpoint.convert.device_graph import DeviceInput, device_graph
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import naming
from oakpoint.myriad.compiler import MAX_SHAVES, compile_blob
from oakpoint.myriad.toolchain import ensure_toolchain
from oakpoint.threads import cores

ALL_SHAVES = tuple(range(1, MAX_SHAVES + 1))


def compile_for_shaves(
    source: Path,
    inputs: Sequence[DeviceInput],
    heads: Sequence[Rewrite] = (),
    *,
    shaves: Iterable[int] = ALL_SHAVES,
    compiled: Callable[[int], None] = lambda _: None,
) -> dict[int, bytes]:
    """Compile a host model once for each number of SHAVEs, as many processes at a time as there are cores.

    Args:
        source: the host's ONNX, see ``device_graph``.
        inputs: its inputs as the device gets them.
        heads: rewrites that make of its outputs what the consumer reads.
        shaves: the numbers, each 1 to 16.
        compiled: told of each number when its blob is done.

    Returns:
        Content of the blob for each number.

    Raises:
        ConversionError: the network cannot run on the device, or the compiler is not to be had.
    """
    ensure_toolchain()
    with tempfile.TemporaryDirectory(prefix="oakpoint-shaves-") as scratch:
        path = Path(scratch) / "device.onnx"
        onnx.save(device_graph(source, inputs, heads).model, path)

        def compile_one(number: int) -> bytes:
            blob = Path(scratch) / f"{number}.blob"
            with naming(path, "the device graph"), naming(blob, f"the blob for {number} shaves"):
                compile_blob(path, blob, shaves=number)
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
