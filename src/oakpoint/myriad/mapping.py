"""The stage map of a blob, from the graph that the compiler writes beside it.

The two are laid side by side, stage by stage and buffer by buffer, and the map is made only where both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from oakpoint.errors import StageMapError
from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.internal_graph import FAKE, GraphData, GraphStage, InternalGraph
from oakpoint.myriad.network import Network
from oakpoint.myriad.stage_map import MEMORIES, NEVER, MappedStage, MappedTensor, StageMap, check_stage_map
from oakpoint.myriad.tensors import Buffer

_TILE = re.compile(r"@(so[chw]=\d+/\d+|tile=\d+/\d+)")
_POINTER = re.compile(r"-for-0x[0-9a-f]+")
"""An address within the compiler, another one in each of its runs."""

_SAME_VALUES: Final = frozenset({"adjust-strides", "copy", "DDR-copy", "CMX-copy", "aligned"})
"""What the compiler puts behind a tensor's name when it moves the tensor and leaves its numbers."""

_MOVES: Final = frozenset({"Copy", "Crop", "Expand", "Reshape", "Shrink", "Split", "StubConcat", "Concat"})
"""Stages that leave all numbers as they are."""

_MAX_WORK: Final = 10_000
"""Candidates that NumPy tries before two strided tensors whose bounds overlap count as overlapping."""


def map_stages(graph: InternalGraph, blob: Blob, network: Network) -> StageMap:
    """Lay the compiler's graph beside the blob.

    Args:
        graph: what the compiler wrote.
        blob: what it compiled.
        network: of what.

    Raises:
        StageMapError: the two do not say the same of a stage or a tensor.
    """
    executed = _aligned(graph, blob)
    tensors = _Tensors(graph, {node.key: place for place, (_, node) in enumerate(executed)}, network)
    names = {key: name for key in graph.data if (name := tensors.part_of(key))}
    stages = tuple(_stage(graph, place, pair, network, names) for place, pair in enumerate(executed))
    mapped = StageMap(stages, tuple(tensors.found()))
    check_stage_map(mapped, blob)
    return mapped


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
        if data.usage != FAKE and data.location in MEMORIES and _identity(_buffer(graph, data)) not in own:
            raise StageMapError(f"{stage}: it has no buffer where the compiler's graph has {data.name!r}")


def _identity(buffer: Buffer) -> tuple[object, ...]:
    """What two descriptions of one buffer have in common, whatever order they name the axes in."""
    layout = buffer.layout
    axes = sorted(zip(layout.axes, layout.shape, layout.strides, strict=True))
    return (buffer.location, buffer.index, buffer.offset, layout.dtype, tuple(axes))


def _buffer(graph: InternalGraph, data: GraphData) -> Buffer:
    return Buffer(data.layout, data.location, data.offset, graph.data[graph.root(data.key)].index)


def _stage(
    graph: InternalGraph, place: int, pair: tuple[Stage, GraphStage], network: Network, names: Mapping[str, str]
) -> MappedStage:
    stage, node = pair
    return MappedStage(
        place=place,
        index=stage.index,
        injected=node.key in graph.hosts,
        type=stage.name,
        name=_POINTER.sub("", node.name),
        layer=network.name_of(node.layer),
        layer_type=node.layer_type,
        tile=" ".join(_TILE.findall(node.name)),
        reads=tuple(dict.fromkeys(names[key] for key in node.inputs if key in names)),
        writes=tuple(dict.fromkeys(names[key] for key in node.outputs if key in names)),
    )


class _Tensors:
    """The tensors of the network in the compiler's graph.

    Args:
        graph: the compiler's.
        places: key of an executed stage → its place.
        network: of which the tensors are.
    """

    def __init__(self, graph: InternalGraph, places: Mapping[str, int], network: Network) -> None:
        self._graph, self._network = graph, network
        self._families: dict[str, list[str]] = {}
        for key in graph.data:
            self._families.setdefault(graph.root(key), []).append(key)
        self._writes: dict[str, list[int]] = {}
        self._reads: dict[str, list[int]] = {}
        for stage in graph.stages:
            if stage.key in places:
                for keys, found in ((stage.outputs, self._writes), (stage.inputs, self._reads)):
                    for key in keys:
                        found.setdefault(key, []).append(places[stage.key])
        self._activated = {network.place(stage.layer) for stage in graph.stages if stage.activation}

    def found(self) -> list[MappedTensor]:
        """Those that lie whole in memory, in the order in which they are written; one of each name is the original."""
        behind = self._layers_behind()
        tensors = []
        for data in self._graph.data.values():
            name = self._name(data)
            if name and not behind.get(data.key, 0) & self._network.after(name):
                tensors.append(self._tensor(data, name))
        tensors.sort(key=lambda tensor: (tensor.last_write, tensor.name, tensor.copy))
        return list(_with_originals(tensors))

    def part_of(self, key: str) -> str:
        """The tensor of the network of which something is a part or all; empty where it is of none."""
        while not (name := self._name(self._graph.data[key])) and key in self._graph.parents:
            key = self._graph.parents[key]
        return name

    def _name(self, data: GraphData) -> str:
        """The tensor of the network that this is all of; empty where it is none, or only a part of one."""
        if data.usage in (FAKE, "Const") or data.location not in MEMORIES:
            return ""
        if data.tensor:
            return self._network.name_of(data.tensor) if data.is_whole else ""
        base, *changes = data.name.split("@")
        name = self._network.name_of(base)
        if not _SAME_VALUES.issuperset(changes) or self._network.shapes.get(name) != data.layout.shape:
            return ""
        return self._network.activated(name) if self._network.place(name) in self._activated else name

    def _layers_behind(self) -> dict[str, int]:
        """For each tensor the layers that went into it, a bit for each place in the network.

        The compiler computes some activations before a reshape that they follow in the network. What the reshape then
        gives still has its name, and is something else: an activation that depends on it went into it.
        """
        behind: dict[str, int] = {}
        for stage in self._graph.stages:
            mask = 0
            for key in stage.inputs:
                mask |= behind.get(key, 0)
            place = self._network.place(stage.layer)
            if place is not None and stage.type not in _MOVES:  # what moves a tensor is of the layer that wants it so
                mask |= 1 << place
            for key in stage.outputs:
                behind[key] = behind.get(key, 0) | mask
        return behind

    def _tensor(self, data: GraphData, name: str) -> MappedTensor:
        family = self._families[self._graph.root(data.key)]
        touched = [key for key in family if _share_bytes(data, self._graph.data[key])]
        writes = [place for key in touched for place in self._writes.get(key, [])]
        reads = [place for key in touched for place in self._reads.get(key, [])]
        return MappedTensor(
            name=name,
            copy="" if self._network.name_of(data.name) == name else _POINTER.sub("", data.name),
            buffer=_buffer(self._graph, data),
            first_write=min(writes, default=NEVER),
            last_write=max(writes, default=NEVER),
            first_read=min(reads, default=NEVER),
            last_read=max(reads, default=NEVER),
        )


def _with_originals(tensors: Iterable[MappedTensor]) -> Iterator[MappedTensor]:
    """The tensors, where the first of several copies counts as the tensor itself if none bears its name."""
    tensors = list(tensors)
    named = {tensor.name for tensor in tensors if not tensor.copy}
    for tensor in tensors:
        if tensor.copy and tensor.name not in named:
            yield replace(tensor, copy="")
        else:
            yield tensor
        named.add(tensor.name)


def _share_bytes(first: GraphData, second: GraphData) -> bool:
    """Whether two views of one memory have a byte in common; those too intricate to tell count as having one."""
    if first.key == second.key:
        return True
    end = max(data.offset + data.layout.extent for data in (first, second))
    memory = np.empty(end, np.uint8)  # its bytes are never touched, so that it takes no room
    one, other = (
        np.ndarray(data.layout.shape, data.layout.dtype.numpy, memory.data, data.offset, data.layout.strides)
        for data in (first, second)
    )
    try:
        return bool(np.shares_memory(one, other, max_work=_MAX_WORK))  # type: ignore[arg-type]  # any number is taken
    except np.exceptions.TooHardError:
        return True
