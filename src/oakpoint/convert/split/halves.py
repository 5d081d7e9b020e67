"""The two models of a network that is cut: the device's part, and the host's tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import helper

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.float32 import Float32
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.rewrites.intake.sizes import FixedShapes
from oakpoint.convert.split.cut import Cut
from oakpoint.convert.split.parts import Parts

HANDED_ON: Final = "_handed_on"
"""Behind the name of an input that the device hands on to the host as it is."""


def fixed_graph(model: onnx.ModelProto, inputs: Sequence[DeviceInput]) -> onnx.ModelProto:
    """A network at fixed sizes, with what follows from them folded, so that the size of every tensor is known.

    Raises:
        ConversionError: it cannot be brought to these sizes.
    """
    fixed = onnx.ModelProto.FromString(model.SerializeToString())
    shapes = {given.name: given.shape for given in inputs}
    apply_all(fixed, (InlinedFunctions(), Initialisers(), Float32(), FixedShapes(shapes), FoldedConstants()))
    return fixed


def parts_at_size(model: onnx.ModelProto, inputs: Sequence[DeviceInput]) -> Parts:
    """A network to cut; see ``fixed_graph``."""
    fixed = fixed_graph(model, inputs)
    return Parts(fixed)


@dataclass(frozen=True, slots=True)
class Halves:
    """Two models that one after the other compute a network.

    Attributes:
        device: takes the network's inputs, and gives the outputs that it finishes and the tensors that cross.
        tail: takes the tensors that cross, float32, and gives the other outputs of the network.
    """

    device: onnx.ModelProto
    tail: onnx.ModelProto


def halves(parts: Parts, cut: Cut) -> Halves:
    """Cut a network; every tensor keeps its name, but that of an input which the device hands on.

    Args:
        parts: the network, at fixed sizes.
        cut: with layers on both sides.
    """
    names = {value.name: value.name + HANDED_ON for value in parts.model.graph.input if value.name in cut.crossing}
    rest = sorted(set(range(len(parts.nodes))) - cut.on_device)
    tail = parts.part(rest)
    for node in tail.graph.node:
        _rename(node, names)
    for value in tail.graph.input:
        value.name = names.get(value.name, value.name)
    _order_inputs(tail, [names.get(name, name) for name in cut.crossing])
    return Halves(_device_part(parts, cut, names), tail)


def _device_part(parts: Parts, cut: Cut, names: dict[str, str]) -> onnx.ModelProto:
    device = parts.part(cut.on_device)
    graph, own = device.graph, parts.model.graph.input
    there = {value.name for value in graph.input}
    given = [value for value in own if value.name in there or value.name in names]
    del graph.input[:]
    graph.input.extend(given)
    for value in given:
        if value.name not in names:
            continue
        handed_on = names[value.name]
        graph.node.append(helper.make_node("Identity", [value.name], [handed_on], name=handed_on))
        output = onnx.ValueInfoProto()
        output.CopyFrom(value)
        output.name = handed_on
        graph.output.append(output)
    return device


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Give tensors that a layer reads, in its own graphs as well, other names."""
    node.input[:] = [names.get(name, name) for name in node.input]
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {name for part in inner.node for name in part.output} | {value.name for value in inner.input}
            left = {old: new for old, new in names.items() if old not in own}
            for part in inner.node:
                _rename(part, left)


def _order_inputs(model: onnx.ModelProto, order: Sequence[str]) -> None:
    values = {value.name: value for value in model.graph.input}
    kept = [onnx.ValueInfoProto.FromString(values[name].SerializeToString()) for name in order]
    del model.graph.input[:]
    model.graph.input.extend(kept)
