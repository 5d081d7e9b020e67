"""Parts of a graph as models: what they read and do not compute is given, what is read elsewhere is put out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.graph_edit import inferred_values, names_read, numbers_of

_FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_SMALL = 64
"""Elements of a constant that may be a size, an axis or a bound: its values count."""

_PUT_OUT = "_put_out"
_GIVEN = "_given"


def shape_of(value: onnx.ValueInfoProto | None) -> tuple[int, ...] | None:
    """The shape of a tensor; None where a side of it is not known."""
    size = None if value is None else numbers_of(value)
    return None if size is None else tuple(size)


@dataclass(frozen=True, slots=True)
class Parts:
    """A graph to take parts of.

    Attributes:
        model: the graph; its nodes stand in the order of execution.
        ends: the type of floating point of tensors that are cut through, for targets that take no other: one of another
            type is cast on its way, but for outputs of int32. The graph's own inputs and outputs stay what they are,
            and so do all with None.
        values: what can be inferred of its tensors.
    """

    model: onnx.ModelProto
    ends: int | None = None
    values: Mapping[str, onnx.ValueInfoProto] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", inferred_values(self.model))

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """The layers."""
        nodes: Sequence[onnx.NodeProto] = self.model.graph.node
        return nodes

    @property
    def constants(self) -> set[str]:
        """Names of the tensors that are constant."""
        return {tensor.name for tensor in self.model.graph.initializer}

    def producers(self) -> dict[str, int]:
        """The layer that computes each tensor, by its place."""
        return {name: place for place, node in enumerate(self.nodes) for name in node.output if name}

    def behind(self, place: int) -> set[int]:
        """A layer and all that hang on it."""
        reached, found = set(self.nodes[place].output), {place}
        for other in range(place + 1, len(self.nodes)):
            if reached.intersection(names_read(self.nodes[other])):
                reached.update(self.nodes[other].output)
                found.add(other)
        return found

    def frontier(self, places: Collection[int]) -> list[str]:
        """Tensors that layers put out: for whoever runs the network, in its own order, and then for other layers."""
        chosen = set(places)
        made = [name for place in sorted(chosen) for name in self.nodes[place].output if name]
        read = {name for place, node in enumerate(self.nodes) if place not in chosen for name in names_read(node)}
        own = [output.name for output in self.model.graph.output if output.name in made]
        return [*own, *(name for name in made if name in read and name not in own)]

    def can_be_had(self, cut: Collection[int]) -> set[int]:
        """The layers that can be tried where others are cut out: all they read is given, or of a known kind.

        What a layer that is cut out gives is an input of the rest, which needs its size; without it, what reads it
        cannot be tried, and what hangs on that neither.
        """
        lost: set[str] = set()
        kept = set()
        for place, node in enumerate(self.nodes):
            if place in cut:
                lost.update(name for name in node.output if not self._can_be_given(name))
            elif lost.intersection(names_read(node)):
                lost.update(node.output)
            else:
                kept.add(place)
        return kept

    def _can_be_given(self, name: str) -> bool:
        value = self.values.get(name)
        if self.ends is None:
            return value is not None and bool(value.type.tensor_type.elem_type)
        return shape_of(value) is not None and value is not None and value.type.tensor_type.elem_type in _FLOATING

    def part(self, places: Iterable[int]) -> onnx.ModelProto:
        """The layers at these places, in the order of execution, as a model; of all of them it is the graph itself."""
        chosen = sorted(set(places))
        if len(chosen) == len(self.nodes):
            return onnx.ModelProto.FromString(self.model.SerializeToString())
        nodes = [onnx.NodeProto.FromString(self.nodes[place].SerializeToString()) for place in chosen]
        made = {name for node in nodes for name in node.output}
        constants = self.constants
        read = dict.fromkeys(name for node in nodes for name in names_read(node) if name)
        inputs = [self._value(name) for name in read if name not in made and name not in constants]
        outputs = [self._value(name) for name in self.frontier(chosen)]
        if not outputs:  # nobody reads what it gives: it is tried all the same
            outputs = [self._value(next(name for name in nodes[-1].output if name))]
        if self.ends is not None:
            own = {value.name for value in (*self.model.graph.input, *self.model.graph.output)}
            given, put_out = ([value for value in ends if value.name not in own] for ends in (inputs, outputs))
            nodes = _with_ends(nodes, given, put_out, self.ends)
        kept = [tensor for tensor in self.model.graph.initializer if tensor.name in read]
        graph = helper.make_graph(nodes, "part", inputs, outputs, kept)
        part = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        part.functions.extend(self.model.functions)
        return part

    def kind_of(self, place: int) -> tuple[object, ...]:
        """What a layer is but for names and weights: layers of one kind are refused or taken alike."""
        node, constants = self.nodes[place], {tensor.name: tensor for tensor in self.model.graph.initializer}

        def form(name: str) -> tuple[object, ...]:
            if name in constants:
                tensor = constants[name]
                values = numpy_helper.to_array(tensor).tobytes() if np.prod(tensor.dims) <= _SMALL else b""
                return ("constant", tensor.data_type, *tensor.dims, values)
            value = self.values.get(name)
            return (name if value is None else (value.type.tensor_type.elem_type, shape_of(value)),)

        attributes = tuple(sorted(attribute.SerializeToString() for attribute in node.attribute))
        return (node.domain, node.op_type, attributes, *map(form, node.input), len(node.output))

    def closed(self, places: Collection[int], had: Set[int]) -> set[int]:
        """Layers with those before them, of ``had``, from which they get what is no number of floating point."""
        if self.ends is None:
            return set(places)
        producers, found, waiting = self.producers(), set(places), list(places)
        while waiting:
            for name in names_read(self.nodes[waiting.pop()]):
                before = producers.get(name)
                if before is None or before in found or before not in had or _is_floating(self._value(name)):
                    continue
                found.add(before)
                waiting.append(before)
        return found

    def _value(self, name: str) -> onnx.ValueInfoProto:
        value = onnx.ValueInfoProto()
        if name in self.values:
            value.CopyFrom(self.values[name])
        else:
            value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        return value


def _is_floating(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in _FLOATING


def _with_ends(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    ends: int,
) -> list[onnx.NodeProto]:
    """The layers with casts where a tensor goes in or out that is of another type; the ends are renamed in place."""
    before, after = [], []
    for value in inputs:
        if not _is_floating(value):
            kind, name = value.type.tensor_type.elem_type, value.name
            before.append(helper.make_node("Cast", [name + _GIVEN], [name], name=f"{name}{_GIVEN}_cast", to=kind))
            value.name, value.type.tensor_type.elem_type = name + _GIVEN, ends
    for value in outputs:
        if not _is_floating(value) and value.type.tensor_type.elem_type != TensorProto.INT32:
            name = value.name
            after.append(helper.make_node("Cast", [name], [name + _PUT_OUT], name=f"{name}{_PUT_OUT}_cast", to=ends))
            value.name, value.type.tensor_type.elem_type = name + _PUT_OUT, ends
    return [*before, *nodes, *after]
