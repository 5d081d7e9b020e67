"""ONNX to Myriad X blob: the device graph, then the compiler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from oakpoint.bundle.interface import TensorSpec
from oakpoint.bundle.records import Applied
from oakpoint.convert.device_graph import DeviceGraph, DeviceInput, device_graph, static_shape, tensor_spec
from oakpoint.convert.graph_edit import static_sizes
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import BlobError, StageMapError, naming
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import COMPILER, compile_blob
from oakpoint.myriad.internal_graph import internal_graph_from_dot
from oakpoint.myriad.mapping import map_stages
from oakpoint.myriad.network import Network, NetworkLayer
from oakpoint.myriad.stage_map import StageMap


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBlob:
    """What a blob is.

    Attributes:
        tool: the compiler with its version.
        inputs: its tensors.
        outputs: its tensors.
        rewrites: what was done to the host's model for it, in order.
        stages: the layers of its stages and the places of its tensors, by the device graph's names; None where the
            compiler's graph of the network does not fit its blob.
        unmapped: why there is no such map; empty where there is.
    """

    tool: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rewrites: tuple[Applied, ...]
    stages: StageMap | None = None
    unmapped: str = ""


def write_blob(
    source: Path,
    blob: Path,
    inputs: Sequence[DeviceInput],
    heads: Sequence[Rewrite] = (),
    *,
    shaves: int,
    cache: Path | None = None,
) -> CompiledBlob:
    """Compile a host model for the Myriad X: images as U8 0–255 in, FP16 (or, packed, S32) out, batch 1.

    Args:
        source: the host's ONNX, see ``device_graph``.
        blob: the file to write.
        inputs: its inputs as the device gets them.
        heads: rewrites that make of its outputs what the consumer reads.
        shaves: SHAVE cores, 1 to 16.
        cache: the compiler's cache folder.

    Returns:
        What was compiled.

    Raises:
        ConversionError: the network cannot run on the device, or the compiler is not to be had (its two subclasses).
    """
    return compile_graph(device_graph(source, inputs, heads), blob, shaves=shaves, cache=cache)


def compile_graph(graph: DeviceGraph, blob: Path, *, shaves: int, cache: Path | None = None) -> CompiledBlob:
    """Compile a device graph; see ``write_blob``.

    Raises:
        ConversionError: the compiler refuses it, or is not to be had (its two subclasses).
    """
    with tempfile.TemporaryDirectory(prefix="oakpoint-device-") as scratch:
        path = Path(scratch) / "device.onnx"
        onnx.save(graph.model, path)
        with naming(path, "the device graph"):
            dump = compile_blob(path, blob, shaves=shaves, images=graph.images, cache=cache)
    stages, unmapped = _mapped(graph, dump, blob)
    return CompiledBlob(
        tool=COMPILER,
        inputs=tuple(_input_spec(value, graph.images) for value in graph.model.graph.input),
        outputs=tuple(tensor_spec(value) for value in graph.model.graph.output),
        rewrites=graph.rewrites,
        stages=stages,
        unmapped=unmapped,
    )


def _mapped(graph: DeviceGraph, dump: str, blob: Path) -> tuple[StageMap | None, str]:
    """The map of a blob, or why there is none: a blob is as good without."""
    try:
        return map_stages(internal_graph_from_dot(dump), read_blob(blob), network_of(graph.model)), ""
    except (StageMapError, BlobError) as error:
        return None, str(error).replace(f"{blob}: ", "")


def network_of(model: onnx.ModelProto) -> Network:
    """The names, order and shapes of a device graph."""
    layers = [NetworkLayer(node.name, node.op_type, tuple(node.input), tuple(node.output)) for node in model.graph.node]
    sizes = {name: tuple(size) for name, size in static_sizes(model).items() if size}
    return Network(layers, sizes)


def _input_spec(value: onnx.ValueInfoProto, images: Sequence[str] | None) -> TensorSpec:
    is_image = images is None or value.name in images
    return TensorSpec(value.name, "uint8" if is_image else "float16", static_shape(value))
