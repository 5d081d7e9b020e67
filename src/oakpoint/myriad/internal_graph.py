"""The compiler's own graph of a network, as it writes it to a Graphviz file: stages, their tensors, and who views whom.

The compiler writes it with ``MYRIAD_DUMP_INTERNAL_GRAPH_FILE_NAME`` and changes no byte of the blob for it. Here it is
read into plain data, and everything that is not as expected is an error: what it says is only used where the blob says
the same (:mod:`oakpoint.myriad.mapping`).

Source of the form: OpenVINO, tag 2021.3, ``inference-engine/src/vpu/graph_transformer/src/backend/dump_to_dot.cpp``,
and what the compiler writes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from oakpoint.errors import StageMapError
from oakpoint.myriad.dot_labels import Label, label_from_text, numbers_in
from oakpoint.myriad.format import AXIS_NAMES, DataType, Location
from oakpoint.myriad.tensors import Layout

FAKE: Final = "Fake"
"""Usage of an operand that a stage does without."""

_LOCATIONS: Final = {
    "None": Location.NONE,
    "Input": Location.INPUT,
    "Output": Location.OUTPUT,
    "Blob": Location.CONSTANT,
    "BSS": Location.BSS,
    "CMX": Location.CMX,
}
_HEAD = "digraph ie_vpu_model_view {\n"
_BLOCK = re.compile(r' {4}(\w+)(?: -> (\w+))? \[\n(?: {8}\w+=\w+\n)* {8}label="([^\n]*)"\n {4}\];\n')
_SAME_RANK = re.compile(r" {4}\{\n {8}rank=same;\n {8}[\w, ]+\n {4}\}\n")
"""Two nodes to be drawn side by side."""

_STAGE = re.compile(r"\[(-?\d+) / (\d+)\] Stage (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GraphData:
    """A tensor of the compiler's graph, or a part of one.

    Attributes:
        key: the node of the Graphviz file.
        name: the compiler's own; a tile, a copy or a view has something behind an ``@``.
        usage: ``Input``, ``Output``, ``Const``, ``Intermediate``, ``Temp``, or ``Fake`` for what does not exist.
        layout: type, shape and strides, the axes in the order of an ONNX tensor's.
        location, offset: where it lies; for an input or output within that tensor's part.
        index: which input or output; -1 for a view, whose parent says it, and for other tensors.
        tensor: the tensor of the network that it stands for; empty for what the compiler made up.
        tensor_shape: that tensor's shape.
    """

    key: str
    name: str
    usage: str
    layout: Layout
    location: Location
    offset: int
    index: int
    tensor: str
    tensor_shape: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is all of a tensor of the network: as many elements along each axis."""
        return bool(self.tensor) and self.layout.shape == (self.tensor_shape or (1,))


@dataclass(frozen=True, slots=True)
class GraphStage:
    """A stage of the compiler's graph.

    Attributes:
        key: the node of the Graphviz file.
        order: place in the order of execution; -1 for one that only makes views and is not executed. A stage that runs
            inside another one has that one's.
        name: the compiler's own; the layer's, and behind each ``@`` what became of it.
        type: of the stage.
        layer, layer_type: the layer of the network that it comes from; both empty for what the compiler added.
        inputs, outputs: keys of the tensors, in the order of its ports.
        activation: whether the activation behind the layer is computed with it.
    """

    key: str
    order: int
    name: str
    type: str
    layer: str
    layer_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: bool


@dataclass(frozen=True, slots=True)
class InternalGraph:
    """The compiler's graph.

    Attributes:
        data: by key.
        stages: in the order of the file.
        parents: key of a view → key of the tensor in whose memory it lies.
        hosts: key of a stage that runs inside a hardware stage → key of that one.
    """

    data: dict[str, GraphData]
    stages: tuple[GraphStage, ...]
    parents: dict[str, str]
    hosts: dict[str, str]

    def root(self, key: str) -> str:
        """The tensor whose memory a view lies in, through all views between; of any other tensor itself."""
        while key in self.parents:
            key = self.parents[key]
        return key


def internal_graph_from_dot(text: str) -> InternalGraph:
    """Read what the compiler wrote.

    Raises:
        StageMapError: it is not such a file, or something in it is not as expected.
    """
    data: dict[str, GraphData] = {}
    stage_labels: dict[str, Label] = {}
    ports: dict[tuple[str, str], dict[int, str]] = {}
    parents: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for source, target, label in _blocks(text):
        if not target:
            if label.title.startswith("Data "):
                data[source] = _data(source, label)
            else:
                stage_labels[source] = label
        elif label.title == "Injected Stage":
            hosts[target] = source
        elif label.title in ("DataToDataAllocation", "DataToShapeAllocation"):
            if label.title == "DataToDataAllocation":
                parents[source] = target
        elif label.title in ("StageInput", "StageOutput"):
            stage, tensor = (target, source) if label.title == "StageInput" else (source, target)
            ports.setdefault((stage, label.title), {})[label.number("portInd")] = tensor
        else:
            raise StageMapError(f"the compiler's graph has an edge {label.title!r}, which is not known")
    if unknown := {stage for stage, _ in ports} - set(stage_labels):
        raise StageMapError(f"the compiler's graph: edges lead to {min(unknown)}, which is not there")
    _take_from_hosts(hosts, ports)
    stages = tuple(_stage(key, label, ports) for key, label in stage_labels.items())
    graph = InternalGraph(data, stages, parents, hosts)
    _check_keys(graph)
    return graph


def _blocks(text: str) -> list[tuple[str, str, Label]]:
    """Node, second node of an edge (else empty) and label of each block of the file."""
    if not text.startswith(_HEAD) or not text.endswith("}\n"):
        raise StageMapError(f"not a graph of the compiler: it begins with {text[:40]!r}, expected {_HEAD.strip()!r}")
    blocks = []
    position = text.find("    data_")
    while 0 <= position < len(text) - len("}\n"):
        if (beside := _SAME_RANK.match(text, position)) is not None:
            position = beside.end()
            continue
        if (found := _BLOCK.match(text, position)) is None:
            line = text.count("\n", 0, position) + 1
            raise StageMapError(f"the compiler's graph, line {line}: expected a node or an edge")
        blocks.append((found[1], found[2] or "", label_from_text(found[3])))
        position = found.end()
    return blocks


def _take_from_hosts(hosts: dict[str, str], ports: dict[tuple[str, str], dict[int, str]]) -> None:
    """Leave each host its own tensors: behind them it has those of the stage inside it, which has them as well."""
    for guest, host in hosts.items():
        for kind in ("StageInput", "StageOutput"):
            own, inside = ports.get((host, kind), {}), ports.get((guest, kind), {})
            kept = sorted(own)[: len(own) - len(inside)]
            if [own[port] for port in sorted(own)[len(kept) :]] != [inside[port] for port in sorted(inside)]:
                raise StageMapError("the compiler's graph: a hardware stage lacks the tensors of the stage inside it")
            ports[host, kind] = {port: own[port] for port in kept}


def _data(key: str, label: Label) -> GraphData:
    description = label.part("desc")
    dims = numbers_in(description.value("dims"))
    strides = numbers_in(label.value("strides"))
    location = label.value("dataLocation")
    if location not in _LOCATIONS or description.value("type") not in DataType.__members__ or set(dims) != set(strides):
        raise StageMapError(f"the compiler's graph: {label.title!r} has a type, place or shape that is not known")
    axes = _onnx_axes(tuple(dims))
    origin, extra = label.parts.get("origData"), label.parts.get("extraAttrs")
    return GraphData(
        key=key,
        name=label.title.removeprefix("Data "),
        usage=label.value("usage"),
        layout=Layout(
            DataType[description.value("type")],
            axes,
            tuple(dims[axis] for axis in axes),
            tuple(strides[axis] for axis in axes),
        ),
        location=_LOCATIONS[location],
        offset=label.number("dataOffset"),
        index=extra.number("ioIdx") if extra is not None and "ioIdx" in extra.values else -1,
        tensor=origin.value("name") if origin is not None else "",
        tensor_shape=tuple(map(int, re.findall(r"\d+", origin.value("dims")))) if origin is not None else (),
    )


def _onnx_axes(axes: tuple[str, ...]) -> str:
    """Letters of the axes, outermost first as in an ONNX tensor, whatever order they have in memory.

    Up to four they are the last of N, C, H, W, but a matrix is NC and a vector C; from five on the further axis comes
    behind the batch, or before all of them.
    """
    orders = {1: "C", 2: "NC", 3: "CHW", 4: "NCHW", 5: "NCDHW"}
    usual = orders.get(len(axes), "".join(reversed([AXIS_NAMES[n] for n in sorted(AXIS_NAMES)][: len(axes)])))
    if set(usual) == set(axes):
        return usual
    return "".join(sorted(axes, key="EGFNCDHW".find))


def _stage(key: str, label: Label, ports: dict[tuple[str, str], dict[int, str]]) -> GraphStage:
    if (found := _STAGE.fullmatch(label.title)) is None:
        raise StageMapError(f"the compiler's graph: expected a stage or a tensor, got {label.title!r}")
    layer = label.parts.get("origLayer")
    settings = label.parts["extraAttrs"].values if "extraAttrs" in label.parts else {}
    inputs, outputs = (ports.get((key, kind), {}) for kind in ("StageInput", "StageOutput"))
    return GraphStage(
        key=key,
        order=int(found[1]),
        name=found[3],
        type=label.value("type"),
        layer=layer.value("name") if layer is not None else "",
        layer_type=layer.value("type") if layer is not None else "",
        inputs=tuple(inputs[port] for port in sorted(inputs)),
        outputs=tuple(outputs[port] for port in sorted(outputs)),
        activation="1" in (settings.get("withReLU"), settings.get("withClamp"))
        or settings.get("postOperation", "Empty") != "Empty",
    )


def _check_keys(graph: InternalGraph) -> None:
    """Everything that is named is there, and no tensor is a view of itself."""
    stages = {stage.key for stage in graph.stages}
    used = {key for stage in graph.stages for key in (*stage.inputs, *stage.outputs)}
    tensors = used | set(graph.parents) | set(graph.parents.values())
    if missing := sorted((tensors - set(graph.data)) | ((set(graph.hosts) | set(graph.hosts.values())) - stages)):
        raise StageMapError(f"the compiler's graph: edges lead to {missing[0]}, which is not there")
    for key in graph.parents:
        seen = {key}
        while (key := graph.parents.get(key, "")) != "":
            if key in seen:
                raise StageMapError(f"the compiler's graph: {graph.data[key].name!r} is a view of itself")
            seen.add(key)
    if any(math.prod(data.layout.shape) < 1 for data in graph.data.values() if data.usage != FAKE):
        raise StageMapError("the compiler's graph: a tensor without elements")
