"""The estimated time of a bundle's blob by the layers of the user's network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from oakpoint.bundle.folder import Bundle
from oakpoint.convert.device_graph import DeviceGraph
from oakpoint.convert.onnx_from_torch import modules_of
from oakpoint.layers.names import Layer, Layers
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.models.bundle_stages import stage_map_of
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.cost import CostEstimate, StageCost, estimate
from oakpoint.myriad.stage_map import MappedStage, StageMap

ADDED = Layer("(conversion of inputs)", "")
"""What the compiler puts before the first layer: pixels become FP16 numbers."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What a layer of the user's network asks for.

    Attributes:
        layer: of the network; ``ADDED`` for what the compiler added.
        nodes: places in the device graph of the layers that are its own.
        stages: of the blob, by index, that compute it. A stage that runs inside a hardware stage counts with that one.
        engine_ms, shave_ms, memory_ms, fixed_ms: the parts of its time: on the convolution engine, on the SHAVEs (the
            least that it can be), over DDR, and the fixed part of its stages.
        macs: multiply-accumulates.
        ddr_bytes: read and written over DDR, constants included.
        constant_bytes: weights and other constants among them.
    """

    layer: Layer
    nodes: tuple[int, ...]
    stages: tuple[int, ...]
    engine_ms: float
    shave_ms: float
    memory_ms: float
    fixed_ms: float
    macs: int
    ddr_bytes: int
    constant_bytes: int

    @property
    def total_ms(self) -> float:
        """Estimated time of the layer."""
        return self.engine_ms + self.shave_ms + self.memory_ms + self.fixed_ms


@dataclass(frozen=True, slots=True)
class NetworkCosts:
    """A blob's time by layer.

    Attributes:
        blob: the blob.
        estimate: by stage.
        device: the graph that was compiled.
        layers: the user's layers that have stages of their own, in the order in which they are first computed.
        owners: for each stage of the blob the place of its layer in ``layers``.
        others: how many of the network's layers have none: they are computed together with others, or change nothing
            in memory.
    """

    blob: Blob
    estimate: CostEstimate
    device: DeviceGraph
    layers: tuple[LayerCost, ...]
    owners: tuple[int, ...]
    others: int


def network_costs(bundle: Bundle) -> NetworkCosts:
    """Sum the estimated time of a bundle's blob by the layers of its network.

    Raises:
        BundleError: it has no blob.
        StageMapError: its stages have no names, and none can be had.
        ConversionError: a bundle of an earlier oakpoint cannot be compiled again, which gives its stages their names.
    """
    blob = read_blob(bundle.path("blob"))
    mapped = stage_map_of(bundle)
    model = onnx.load(bundle.path("onnx"))
    layers = Layers(model, modules_of(model))
    device = device_graph_of(bundle)
    nodes = device.model.graph.node
    node_of_stage = _Nodes(nodes, mapped).of_hosts()
    owners = [None if place is None else layers.owners(nodes)[place] for place in node_of_stage]
    return _summed(blob, device, layers, owners, layers.owners(nodes))


class _Nodes:
    """Which layer of the device graph each stage computes."""

    def __init__(self, nodes: Iterable[onnx.NodeProto], mapped: StageMap) -> None:
        nodes = list(nodes)
        self._mapped = mapped
        self._by_output = {name: place for place, node in enumerate(nodes) for name in node.output if name}
        self._by_name = {node.name: place for place, node in enumerate(nodes) if node.name}
        self._by_input: dict[str, int] = {}
        for place, node in enumerate(nodes):
            for name in node.input:
                self._by_input.setdefault(name, place)

    def of_hosts(self) -> list[int | None]:
        """The layer of each stage of the blob but injected ones, in order; None before the first layer.

        The compiler splits some layers into several under names of its own. Such a stage is of the layer whose tensor
        it writes, else of the one that reads what it reads, else of the one before it.
        """
        found: list[int | None] = []
        for stage in self._mapped.stages:
            if stage.injected:
                continue
            place = self._named(stage)
            if place is None and stage.layer and found:
                place = found[-1]
            found.append(place)
        return found

    def _named(self, stage: MappedStage) -> int | None:
        for known in (self._by_output, self._by_name):
            if stage.layer in known:
                return known[stage.layer]
        if not stage.layer:
            return None
        written = (self._by_output.get(name) for name in stage.writes)
        read = (self._by_input.get(name) for name in stage.reads)
        return next((place for place in (*written, *read) if place is not None), None)


def _summed(
    blob: Blob, device: DeviceGraph, layers: Layers, owners: list[int | None], owner_of_node: list[int | None]
) -> NetworkCosts:
    costs = estimate(blob)
    rows: dict[int | None, list[StageCost]] = {}
    for stage, owner in zip(costs.stages, owners, strict=True):
        rows.setdefault(owner, []).append(stage)
    found = []
    for owner, stages in rows.items():
        nodes = tuple(place for place, of in enumerate(owner_of_node) if of == owner and owner is not None)
        found.append(_layer_cost(ADDED if owner is None else layers.layers[owner], nodes, stages))
    order = list(rows)
    return NetworkCosts(
        blob=blob,
        estimate=costs,
        device=device,
        layers=tuple(found),
        owners=tuple(order.index(owner) for owner in owners),
        others=len(layers.layers) - sum(owner is not None for owner in rows),
    )


def _layer_cost(layer: Layer, nodes: tuple[int, ...], stages: list[StageCost]) -> LayerCost:
    return LayerCost(
        layer=layer,
        nodes=nodes,
        stages=tuple(stage.index for stage in stages),
        engine_ms=sum(stage.engine_ms for stage in stages),
        shave_ms=sum(max(stage.shave_ms - stage.engine_ms, 0.0) for stage in stages),
        memory_ms=sum(stage.memory_ms for stage in stages),
        fixed_ms=sum(stage.fixed_ms for stage in stages),
        macs=sum(stage.macs for stage in stages),
        ddr_bytes=sum(stage.ddr_bytes for stage in stages),
        constant_bytes=sum(stage.constant_bytes for stage in stages),
    )
