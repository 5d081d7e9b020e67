"""ONNX to Myriad X blob: the device graph, then the compiler."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from oakpoint.bundle.records import TensorSpec
from oakpoint.convert.device_graph import device_graph, static_shape, tensor_spec
from oakpoint.convert.heads import Heads
from oakpoint.errors import naming
from oakpoint.myriad.compiler import COMPILER, compile_blob


def write_blob(
    source: Path,
    blob: Path,
    *,
    size: tuple[int, int],
    scale: float,
    heads: Heads,
    shaves: int,
    cache: Path | None = None,
) -> tuple[str, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Compile a host model for the Myriad X: U8 0–255 in, FP16 (or, packed, S32) out, batch 1.

    Args:
        source: the host's ONNX, see ``device_graph``.
        blob: the file to write.
        size: (W, H) in pixels.
        scale: folded into the first convolution.
        heads: what the blob puts out.
        shaves: SHAVE cores, 1 to 16.
        cache: the compiler's cache folder.

    Returns:
        The tool with its version, the blob's inputs and its outputs.

    Raises:
        ConversionError: the network cannot run on the device, or the compiler is not to be had (its two subclasses).
    """
    model = device_graph(source, size=size, scale=scale, heads=heads)
    with tempfile.TemporaryDirectory(prefix="oakpoint-device-") as scratch:
        path = Path(scratch) / "device.onnx"
        onnx.save(model, path)
        with naming(path, "the device graph"):
            compile_blob(path, blob, shaves=shaves, cache=cache)
    inputs = tuple(TensorSpec(value.name, "uint8", static_shape(value)) for value in model.graph.input)
    outputs = tuple(tensor_spec(value) for value in model.graph.output)
    return COMPILER, inputs, outputs
