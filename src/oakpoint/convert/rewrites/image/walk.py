"""A walk along a graph in the order of execution, with what becomes of an image's raw levels on the way."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from oakpoint.convert.rewrites.image.form import Array, Form, Shape, form
from oakpoint.fp16 import LARGEST
from oakpoint.myriad.cost import MEMORY, STAGE

_FEW = 8
_OPERAND = "value"


class Walk:
    """The graph that is being made, and the forms of the tensors that are not the host's any more.

    Attributes:
        nodes: of the new graph so far.
        forms: tensor of the host's graph → its form; a tensor that has none is computed as the host computes it.
        shapes: tensor of the host's graph → its shape, where all of it is known.
        spans: tensor of the device's graph that holds levels → how far apart two of its values may lie.
        touched: what goes into the journal.
    """

    def __init__(self, model: onnx.ModelProto, shapes: dict[str, Shape]) -> None:
        """Take a model, of which only ``nodes`` and initialisers will be others, and the shapes of its tensors."""
        self._graph = model.graph
        self._users = Counter(name for node in model.graph.node for name in node.input)
        self._users.update(output.name for output in model.graph.output)
        self._constants = _constants_of(model.graph)
        self._initialisers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)} | set(
            self._initialisers
        )
        self._settled: dict[str, str] = {}
        self._copies: dict[tuple[str, bytes], str] = {}
        self.shapes = shapes
        self.nodes: list[onnx.NodeProto] = []
        self.forms: dict[str, Form] = {}
        self.spans: dict[str, float] = {}
        self.touched: list[str] = []

    # What the graph holds

    def constant(self, name: str) -> Array | None:
        """The values of a constant, or None where the tensor is none."""
        found = self._constants.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def constants(self, node: onnx.NodeProto, first: int = 1) -> list[Array | None] | None:
        """Inputs of an operator from a place on, None for those left out; None if one of them is no constant."""
        values = [self.constant(name) if name else None for name in node.input[first:]]
        known = all(not name or value is not None for name, value in zip(node.input[first:], values, strict=True))
        return values if known else None

    # What is added to it

    def emit(self, operator: str, *inputs: str, like: str, **attributes: Any) -> str:
        """Append an operator, and return its output's name, made from that of a tensor."""
        output = self.free_name(f"{like}_{operator.lower()}")
        self.spans[output] = max(self.spans.get(name, 0.0) for name in inputs)
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def add_constant(self, values: Array, like: str) -> str:
        """Add a constant, and return its name, made from that of a tensor; numbers become float32."""
        array = values.astype(np.float32) if values.dtype.kind == "f" else values
        name = self.free_name(f"{like}_{_OPERAND}")
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def free_name(self, wanted: str) -> str:
        """A name that no tensor has."""
        name = next(
            name
            for name in (f"{wanted}{number or ''}" for number in itertools.count())
            if name not in self._taken and name not in self._constants
        )
        self._taken.add(name)
        return name

    def set_constant(self, node: onnx.NodeProto, index: int, values: Array, dtype: Any = None) -> None:
        """Give an operator other values for one of its constants, in a copy where other layers use that, too.

        Args:
            node: changed in place.
            index: of the input; the operator may lack it so far.
            values: float64, rounded once here.
            dtype: of the new constant where there was none.
        """
        while len(node.input) <= index:
            node.input.append("")
        old = node.input[index]
        tensor = self._initialisers.get(old)
        rounded = values.astype(dtype or numpy_helper.to_array(self._constants[old]).dtype)
        if tensor is not None and self._users[old] == 1:
            tensor.CopyFrom(numpy_helper.from_array(rounded, old))
            return
        key = old, rounded.tobytes()
        if key not in self._copies:
            self._copies[key] = self.free_name(f"{old or node.output[0]}_scaled")
            self._graph.initializer.append(numpy_helper.from_array(rounded, self._copies[key]))
        node.input[index] = self._copies[key]

    # What becomes of the levels

    def keep(self, node: onnx.NodeProto, *forms: Form) -> None:
        """Append an operator that now works on levels; one form for each of its outputs."""
        self.nodes.append(node)
        self.forms.update(zip(node.output, forms, strict=True))
        self.spans.update(dict.fromkeys(node.output, self._span_of(node)))

    def _span_of(self, node: onnx.NodeProto) -> float:
        """How far apart values of an operator on levels may lie."""
        spans = [self.spans.get(name, math.inf) for name in node.input]
        if node.op_type in ("Add", "Sub"):
            return sum(spans)
        if node.op_type == "Concat":
            return max(spans)
        calculated = node.op_type == "Resize" or (node.op_type == "Pad" and len(node.input) > 2)  # cubic; any value
        return 2 * spans[0] if calculated else spans[0]

    def settled(self, name: str, why: str) -> str:
        """The host's values of a tensor, made of the levels by layers of their own where it is needed.

        Args:
            name: of the host's tensor.
            why: for the journal: for whom.
        """
        found = self.forms.get(name)
        if found is None:
            return name
        if name not in self._settled:
            self._settled[name] = self._explicit(name, self.whole(found), why)
        return self._settled[name]

    def _explicit(self, name: str, found: Form, why: str) -> str:
        tensor = found.tensor
        if (found.scale != 1).any():
            tensor = self.emit("Mul", tensor, self.add_constant(found.scale, name), like=name)
        if found.shift.any():
            tensor = self.emit("Add", tensor, self.add_constant(found.shift, name), like=name)
        if tensor != found.tensor:
            self.touched.append(f"{why}: scaled by a layer of its own, {_cost(found.host_shape)}")
        return tensor

    def whole(self, found: Form) -> Form:
        """The same with a device's tensor of the host's size."""
        tensor = found.tensor
        shape = list(found.shape)
        for axis, (size, wanted) in enumerate(zip(found.shape, found.host_shape, strict=True)):
            if size != wanted and wanted <= _FEW:
                tensor = self.emit("Concat", *[tensor] * wanted, like=found.tensor, axis=axis)
                shape[axis] = wanted
        if tuple(shape) != found.host_shape:
            to = self.add_constant(np.array(found.host_shape, np.int64), found.tensor)
            tensor = self.emit("Expand", tensor, to, like=found.tensor)
        return Form(tensor, found.host_shape, found.host_shape, found.scale, found.shift)

    def can_centre(self, found: Form) -> bool:
        """Whether the shift can be made part of the device's tensor."""
        return bool((found.scale != 0).all() and np.abs(found.shift / found.scale).max() <= LARGEST)

    def centred(self, name: str, why: str) -> Form:
        """A tensor's form without a shift: what is zero for the host is zero on the device, as padding needs it.

        Source of the cost: a 3-channel 320×320 stem on the simulator; the sum takes the place of a copy, and the
        error is that of padding each channel with its mean first (5.2e-4 against 5.1e-4 of the largest value).
        """
        found = self.forms[name]
        if found.shift.any():
            offset = found.shift / found.scale
            shape = tuple(np.broadcast_shapes(found.shape, offset.shape))
            tensor = self.emit("Add", found.tensor, self.add_constant(offset, name), like=name)
            self.touched.append(f"{why}: mean subtracted in front of it by a layer of its own, {_cost(shape)}")
            none = np.zeros((1,) * len(shape))
            self.forms[name] = Form(tensor, shape, found.host_shape, found.scale, none)  # for whoever comes after, too
        return self.forms[name]


def initial_form(tensor: str, shape: Shape, mean: Array, scale: Array) -> Form:
    """The form of an image input (1, C, H, W), or of another rank where the numbers are the same for all channels."""
    axes = (1, -1, 1, 1) if scale.size > 1 or mean.size > 1 else (1,) * len(shape)
    # 0 − …: without a mean the shift is 0, not −0.
    return form(tensor, shape, shape, scale.reshape(axes if scale.size > 1 else (1,) * len(shape)),
                (0 - mean * scale).reshape(axes))  # fmt: skip


def _cost(shape: Shape) -> str:
    size_mb = 2 * float(np.prod(shape)) / 1e6
    milliseconds = STAGE.value + 2 * size_mb * MEMORY.value
    return f"about {milliseconds:.2f} ms for {'×'.join(map(str, shape[1:]))} values"


def _constants_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initialisers, ``Constant`` nodes that hold a tensor, and what is behind an ``Identity`` of one."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        constants.update(_constant_of(node, constants))
    return constants


def _constant_of(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[tuple[str, onnx.TensorProto]]:
    if node.op_type == "Identity" and node.input[0] in constants:
        yield node.output[0], constants[node.input[0]]
    if node.op_type == "Constant":
        attribute = node.attribute[0]
        value: Any = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            yield node.output[0], value
        elif attribute.name.startswith("value_") and not attribute.name.endswith(("string", "strings")):
            kind = np.float32 if attribute.name.startswith("value_float") else np.int64
            yield node.output[0], numpy_helper.from_array(np.asarray(value, kind))
