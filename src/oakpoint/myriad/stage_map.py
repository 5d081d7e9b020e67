"""Which layer each stage of a blob is of, and where each tensor of the network lies in the chip's memory.

A blob has numbers only. The names are in the compiler's own graph, which it writes beside the blob; here the two are
laid side by side, stage by stage and buffer by buffer, and the map is made only where both say the same.

Places of stages are those in ``Blob.all_stages()``: an injected stage comes after its host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from oakpoint.errors import StageMapError
from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.format import Location
from oakpoint.myriad.internal_graph import FAKE, GraphData, GraphStage, InternalGraph
from oakpoint.myriad.tensors import Buffer, Layout

NEVER: Final = -1
"""Place of a stage that there is none of: a network's input is written by none, its output read by none."""

_TILE = re.compile(r"@(so[chw]=\d+/\d+)")
_POINTER = re.compile(r"-for-0x[0-9a-f]+")
"""An address within the compiler, another one in each of its runs."""

_MAX_WORK: Final = 10_000
"""Candidates that NumPy tries before two strided tensors whose bounds overlap count as overlapping."""


@dataclass(frozen=True, slots=True)
class MappedStage:
    """A stage of a blob by the names of the network.

    Attributes:
        place: in ``Blob.all_stages()``.
        index: of the stage in the blob; an injected one has its host's.
        injected: whether it runs inside a hardware stage.
        type: of the stage, as the blob's reader names it.
        name: the compiler's own.
        layer: the layer of the device graph; empty for what the compiler added at the network's borders.
        layer_type: its type as the compiler names it.
        tile: which part of the layer it computes, ``"soh=05/11 sow=02/03"`` (of rows and columns); empty for all.
        reads, writes: tensors of the network of which it reads or writes a part or all.
    """

    place: int
    index: int
    injected: bool
    type: str
    name: str
    layer: str
    layer_type: str
    tile: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of the network that lies whole in memory, for a part of the run: other tensors take its bytes later.

    Attributes:
        name: in the device graph.
        copy: the compiler's name of a further copy of it, in another type or place; empty for the tensor itself.
        buffer: type, shape and strides with the axes as in the ONNX tensor, and where it lies.
        first_write, last_write: places of the first and last stage that write any part of it; ``NEVER`` for an input.
            It holds the tensor from then on until at least the last stage that reads it.
        first_read, last_read: places of the first and last stage that read any part of it; ``NEVER`` for an output.
    """

    name: str
    copy: str
    buffer: Buffer
    first_write: int
    last_write: int
    first_read: int
    last_read: int


@dataclass(frozen=True, slots=True)
class StageMap:
    """Names of a blob's stages, and places of the network's tensors.

    A layer of the network whose name no stage and no tensor has was computed together with another one: of a
    convolution with its ReLU only the ReLU's tensor exists.

    Attributes:
        stages: one for each of ``Blob.all_stages()``.
        tensors: those that lie whole in memory, in the order in which they are written.
    """

    stages: tuple[MappedStage, ...]
    tensors: tuple[MappedTensor, ...]

    def tensor(self, name: str) -> MappedTensor | None:
        """The tensor itself by its name in the device graph; None where it never lies whole in memory."""
        return next((tensor for tensor in self.tensors if tensor.name == name and not tensor.copy), None)


def stage_map(graph: InternalGraph, blob: Blob, names: Mapping[str, str] | None = None) -> StageMap:
    """Lay the compiler's graph beside the blob.

    Args:
        graph: what the compiler wrote.
        blob: what it compiled.
        names: the device graph's name of a tensor by the compiler's, where they differ; see ``device_names``.

    Raises:
        StageMapError: the two do not say the same of a stage or a tensor.
    """
    names = names or {}
    executed = _aligned(graph, blob)
    places = {pair[1].key: place for place, pair in enumerate(executed)}
    tensors = [
        _tensor(graph, data, places, names)
        for data in graph.data.values()
        if data.is_whole and data.usage not in (FAKE, "Const") and data.location in _MEMORIES
    ]
    tensors = sorted(_with_one_original(tensors), key=lambda tensor: (tensor.last_write, tensor.name, tensor.copy))
    mapped = StageMap(
        tuple(_stage(graph, place, stage, node, names) for place, (stage, node) in enumerate(executed)), tuple(tensors)
    )
    check_stage_map(mapped, blob)
    return mapped


def check_stage_map(mapped: StageMap, blob: Blob) -> None:
    """Check that a map is of a blob: as many stages of the same types, and every tensor within its memory.

    Raises:
        StageMapError: it is not.
    """
    stages = [(stage.index, stage.name) for stage in blob.all_stages()]
    if [(stage.index, stage.type) for stage in mapped.stages] != stages:
        raise StageMapError(f"the stage map is of another blob: this one has {len(stages)} stages, or others")
    for tensor in mapped.tensors:
        buffer = tensor.buffer
        size = blob.memory_size(buffer.location, buffer.index)
        if buffer.offset < 0 or buffer.offset + buffer.layout.extent > size:
            raise StageMapError(f"the stage map is of another blob: {tensor.name!r} leaves its memory of {size} bytes")
        places = (tensor.first_write, tensor.last_write, tensor.first_read, tensor.last_read)
        if any(not NEVER <= place < len(stages) for place in places):
            raise StageMapError(f"the stage map is of another blob: {tensor.name!r} is of stages that it lacks")


def same_stages(first: Blob, second: Blob) -> bool:
    """Whether two blobs have the same stages with the same buffers in the same places; their constants may differ."""
    return first.data == second.data or _plan(first) == _plan(second)


def _plan(blob: Blob) -> list[tuple[int, int, list[Buffer]]]:
    return [
        (stage.index, stage.type, [buffer for buffer in stage.buffers if buffer.location in _MEMORIES])
        for stage in blob.all_stages()
    ]


def device_names(outputs: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """The device graph's names of tensors that the compiler names by the last output of a layer and a number.

    Args:
        outputs: names of the outputs of each layer.
    """
    return {
        f"{last}.{number}": name
        for names in outputs
        if len(names) > 1
        for last in names
        for number, name in enumerate(names)
        if last and name
    }


_MEMORIES = (Location.INPUT, Location.OUTPUT, Location.BSS, Location.CMX)


def _aligned(graph: InternalGraph, blob: Blob) -> list[tuple[Stage, GraphStage]]:
    """Each stage of the blob with the compiler's own, in the order of ``all_stages``."""
    hosts = {stage.order: stage for stage in graph.stages if stage.order >= 0 and stage.key not in graph.hosts}
    inside = {graph.hosts[stage.key]: stage for stage in graph.stages if stage.key in graph.hosts}
    pairs: list[tuple[Stage, GraphStage]] = []
    for stage in blob.stages:
        host = hosts.get(stage.index)
        if host is None:
            raise StageMapError(f"the compiler's graph has no stage {stage.index}, which is a {stage.name} in the blob")
        pairs.append((stage, host))
        nested = inside.get(host.key)
        if (nested is None) != (stage.injected is None):
            raise StageMapError(f"{stage}: a stage runs inside it by the compiler's graph or by the blob, not by both")
        if nested is not None and stage.injected is not None:
            pairs.append((stage.injected, nested))
    if len(hosts) != len(blob.stages):
        raise StageMapError(f"the compiler's graph has {len(hosts)} stages, the blob {len(blob.stages)}")
    for stage, node in pairs:
        _check_stage(graph, stage, node)
    return pairs


def _check_stage(graph: InternalGraph, stage: Stage, node: GraphStage) -> None:
    """A stage has the same type on both sides, and all tensors of the compiler's graph among its buffers."""
    if node.type.lower() != stage.name.lower():
        raise StageMapError(f"{stage}: the compiler's graph has a {node.type} there, {node.name!r}")
    own = {_identity(buffer) for buffer in stage.buffers if not buffer.layout.dynamic}
    for key in (*node.inputs, *node.outputs):
        data = graph.data[key]
        if data.usage != FAKE and data.location in _MEMORIES and _identity(_buffer(graph, data)) not in own:
            raise StageMapError(f"{stage}: it has no buffer where the compiler's graph has {data.name!r}")


def _identity(buffer: Buffer) -> tuple[object, ...]:
    """What two descriptions of one buffer have in common, whatever order they name the axes in."""
    layout = buffer.layout
    axes = sorted(zip(layout.axes, layout.shape, layout.strides, strict=True))
    return (buffer.location, buffer.index, buffer.offset, layout.dtype, tuple(axes))


def _buffer(graph: InternalGraph, data: GraphData) -> Buffer:
    return Buffer(data.layout, data.location, data.offset, graph.data[graph.root(data.key)].index)


def _stage(graph: InternalGraph, place: int, stage: Stage, node: GraphStage, names: Mapping[str, str]) -> MappedStage:
    return MappedStage(
        place=place,
        index=stage.index,
        injected=node.key in graph.hosts,
        type=stage.name,
        name=_POINTER.sub("", node.name),
        layer=names.get(node.layer, node.layer),
        layer_type=node.layer_type,
        tile=" ".join(_TILE.findall(node.name)),
        reads=_tensors_of(graph, node.inputs, names),
        writes=_tensors_of(graph, node.outputs, names),
    )


def _tensors_of(graph: InternalGraph, keys: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Tensors of the network that parts belong to: each part's own, or that of what it is a view of."""
    found: dict[str, None] = {}
    for key in keys:
        current = key
        while not graph.data[current].tensor and current in graph.parents:
            current = graph.parents[current]
        data = graph.data[current]
        if data.tensor and data.usage not in (FAKE, "Const"):
            found[names.get(data.tensor, data.tensor)] = None
    return tuple(found)


def _tensor(graph: InternalGraph, data: GraphData, places: Mapping[str, int], names: Mapping[str, str]) -> MappedTensor:
    root = graph.root(data.key)
    touched = {  # by key: what shares a byte with it, in the same tensor's memory
        key for key, other in graph.data.items() if graph.root(key) == root and _share_bytes(data.layout, data, other)
    }
    executed = [(places[stage.key], stage) for stage in graph.stages if stage.key in places]
    writes = [place for place, stage in executed if touched.intersection(stage.outputs)]
    reads = [place for place, stage in executed if touched.intersection(stage.inputs)]
    return MappedTensor(
        name=names.get(data.tensor, data.tensor),
        copy="" if data.name == data.tensor else _POINTER.sub("", data.name),
        buffer=_buffer(graph, data),
        first_write=min(writes, default=NEVER),
        last_write=max(writes, default=NEVER),
        first_read=min(reads, default=NEVER),
        last_read=max(reads, default=NEVER),
    )


def _with_one_original(tensors: list[MappedTensor]) -> list[MappedTensor]:
    """The tensors, where the first of several copies counts as the tensor itself if none bears its name."""
    named = {tensor.name for tensor in tensors if not tensor.copy}
    kept = []
    for tensor in tensors:
        if tensor.copy and tensor.name not in named:
            named.add(tensor.name)
            tensor = replace(tensor, copy="")
        kept.append(tensor)
    return kept


def _share_bytes(layout: Layout, first: GraphData, second: GraphData) -> bool:
    """Whether two views of one memory have a byte in common; those too intricate to tell count as having one."""
    if first.key == second.key:
        return True
    end = max(first.offset + layout.extent, second.offset + second.layout.extent)
    memory = np.empty(end, np.uint8)  # its bytes are never touched, so that it takes no room
    one, other = (
        np.ndarray(data.layout.shape, data.layout.dtype.numpy, memory.data, data.offset, data.layout.strides)
        for data in (first, second)
    )
    try:
        return bool(np.shares_memory(one, other, max_work=_MAX_WORK))  # type: ignore[arg-type]  # any number is taken
    except np.exceptions.TooHardError:
        return True
