"""Where a network is cut: which layers stay on the device, and which tensors cross to the host.

A part is *closed from the input* where every layer of it gets all that it reads from the part itself, from the
network's inputs or from constants. Only such parts go to the device: what left it never comes back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from onnx import TensorProto

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.split.flow import UNCUT, Capacities
from oakpoint.convert.split.parts import Parts, shape_of
from oakpoint.convert.split.work import work_of
from oakpoint.errors import ConversionError

WORK_PER_BYTE: Final = 8
"""Multiply-accumulates that a host does in about the time in which one byte comes over USB.

USB 3 carries some 350 MB/s (``oak.bandwidth``), and one core of a small host some 3 G multiply-accumulates a second.
"""

_FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class Cut:
    """A network in two.

    Attributes:
        on_device: the places of the layers that the device computes; closed from the input.
        crossing: tensors that the host reads of what the device has, in the order in which they arise; inputs of the
            network among them.
        finished: outputs of the network that the device gives, in the network's order.
    """

    on_device: frozenset[int]
    crossing: tuple[str, ...]
    finished: tuple[str, ...]


def from_input(parts: Parts, refused: Collection[int]) -> set[int]:
    """The largest part that is closed from the input and has none of these layers."""
    kept, lost = set(), set[str]()
    for place, node in enumerate(parts.nodes):
        if place in refused or lost.intersection(names_read(node)):
            lost.update(node.output)
        else:
            kept.add(place)
    return kept


def cut_at(parts: Parts, on_device: Collection[int]) -> Cut:
    """What crosses where these layers are the device's.

    Args:
        parts: the network.
        on_device: closed from the input.

    Raises:
        ConversionError: a tensor would cross that cannot: no numbers of floating point, or of a size that nobody knows.
    """
    outputs = [value.name for value in parts.model.graph.output]
    made = [name for place in sorted(on_device) for name in parts.nodes[place].output if name]
    inputs = [value.name for value in parts.model.graph.input]
    read = {n for place, node in enumerate(parts.nodes) if place not in on_device for n in names_read(node)}
    crossing = tuple(name for name in (*inputs, *made) if name in read)
    for name in crossing:
        if not crosses(parts, name):
            raise ConversionError(
                f"split: {name} would go from the device to the host, and is {_described(parts, name)}; only tensors "
                "of floating point whose size is known can: cut before it"
            )
    there = set(made)
    return Cut(frozenset(on_device), crossing, tuple(name for name in outputs if name in there))


def crosses(parts: Parts, name: str) -> bool:
    """Whether a tensor can go from the device to the host: the device gives floating point of a known size."""
    value = parts.values.get(name)
    return value is not None and value.type.tensor_type.elem_type in _FLOATING and shape_of(value) is not None


def _described(parts: Parts, name: str) -> str:
    value = parts.values.get(name)
    if value is None or shape_of(value) is None:
        return "of a size that is not known before the network runs"
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()


def usb_bytes(parts: Parts, cut: Cut) -> int:
    """Bytes that go over USB for each frame: floating point as FP16, whole numbers as int32."""
    return sum(_bytes(parts, name) for name in dict.fromkeys((*cut.crossing, *cut.finished)))


def _bytes(parts: Parts, name: str) -> int:
    value = parts.values.get(name)
    kind = TensorProto.FLOAT if value is None else value.type.tensor_type.elem_type
    return math.prod(shape_of(value) or ()) * (2 if kind in _FLOATING else 4)


def cheapest_cut(parts: Parts, taken: Collection[int]) -> Cut:
    """Cut where few bytes cross, without taking work from the device that is worth more.

    Of all parts of ``taken`` that are closed from the input, that one is chosen for which

        ``WORK_PER_BYTE`` × bytes over USB for each frame + multiply-accumulates that are given back to the host

    is least, where those of a layer that multiplies nothing are its elements (``work.work_of``); of several such parts
    the one with the most layers. So a resize or a softmax at the end of the device's part goes to the host where it
    makes the tensors larger, and a convolution stays. It is found exactly, as a cheapest cut of a graph of capacities
    (``flow``). A tensor crosses once, whoever reads it; an output of the network that the device computes crosses in
    any case. Where that leaves nothing to the device, ``taken`` as a whole stays there.

    Args:
        parts: the network.
        taken: what the device takes, closed from the input; not the whole network.

    Raises:
        ConversionError: see ``cut_at``.
    """
    chosen = _least(parts, set(taken))
    return cut_at(parts, chosen or taken)


def _least(parts: Parts, taken: set[int], kept: Collection[int] = ()) -> set[int]:
    """The places of the cheapest part; layers that are ``kept`` are in it, and with them what they hang on."""
    device, host = "device", "host"
    graph = Capacities(device, host)
    shapes = _shapes(parts)
    producers = parts.producers()
    outputs = {value.name for value in parts.model.graph.output}
    readers: dict[str, list[int]] = {}
    for place, node in enumerate(parts.nodes):
        for name in names_read(node):
            readers.setdefault(name, []).append(place)
    for place in taken:
        node = parts.nodes[place]
        graph.add(device, place, UNCUT if place in kept else work_of(node, shapes))
        for name in names_read(node):
            if name in producers:
                graph.add(place, producers[name], UNCUT)
    inputs = [value.name for value in parts.model.graph.input]
    for name in (*inputs, *(name for place in taken for name in parts.nodes[place].output if name)):
        _add_tensor(graph, parts, name, producers.get(name, device), readers.get(name, ()), taken, name in outputs)
    return {place for place in graph.source_side() if isinstance(place, int)}


def _add_tensor(
    graph: Capacities,
    parts: Parts,
    name: str,
    producer: int | str,
    readers: Collection[int],
    taken: Collection[int],
    is_output: bool,
) -> None:
    """What a tensor costs that the device has and the host reads."""
    price = WORK_PER_BYTE * _bytes(parts, name)
    can_cross, wire = crosses(parts, name), ("tensor", name)
    if is_output:
        graph.add(producer, "host", price)
    if is_output and can_cross:
        return  # it crosses in any case, for the layers of the host as well
    graph.add(producer, wire, price if can_cross else UNCUT)
    for reader in readers:
        graph.add(wire, reader if reader in taken else "host", UNCUT)


def _shapes(parts: Parts) -> Mapping[str, tuple[int, ...] | None]:
    shapes: dict[str, tuple[int, ...] | None] = {name: shape_of(value) for name, value in parts.values.items()}
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in parts.model.graph.initializer}


def cut_behind(parts: Parts, tensors: Collection[str]) -> Cut:
    """Cut where the user says: these tensors go to the host, and so does all that is computed from them.

    Layers that these tensors neither hang on nor lead to are cut where that is cheapest, as by ``cheapest_cut``.

    Args:
        parts: the network.
        tensors: that layers of the network compute.

    Raises:
        ConversionError: see ``cut_at``; nothing of the network is left behind these tensors, or one is behind another.
    """
    lost, device = set(tensors), set[int]()
    for place, node in enumerate(parts.nodes):
        if lost.intersection(names_read(node)):
            lost.update(node.output)
        else:
            device.add(place)
    if len(device) == len(parts.nodes):
        raise ConversionError(
            f"split: nothing of the network is computed from {', '.join(sorted(tensors))}, so that nothing is left for "
            "the host; name an earlier layer, or leave --split out"
        )
    producers = parts.producers()
    for name in tensors:
        if producers[name] not in device:
            raise ConversionError(
                f"split: {name} is computed from what the host has by another of the cuts, and nothing comes back to "
                "the device; name one of them"
            )
    return cut_at(parts, _least(parts, device, {producers[name] for name in tensors}) or device)
