"""What goes wrong in a single layer, as networks in which it is otherwise: to be held against what came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import onnx
from onnx import helper

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.layers.debug.looking import Run
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.layers.debug.weight_faults import weight_faults

_ACTIVATIONS: Final = {
    "Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu", "Sigmoid",
    "Softmax", "Softplus", "Swish", "Tanh",
}  # fmt: skip
_LEFT_OUT: Final = {*_ACTIVATIONS, "LayerNormalization", "InstanceNormalization", "BatchNormalization"}
_OF_TWO: Final = {"Add", "Sub", "Mul", "Div", "Max", "Min"}
_WITH_BIAS: Final = {"Conv", "ConvTranspose", "Gemm"}
_BIAS: Final = 2
_MOST_INPUTS: Final = 8
"""Of a layer whose inputs are tried in each other's place."""

_WAYS_TO_RESIZE: Final = (
    ("nearest", "asymmetric"), ("nearest", "half_pixel"), ("linear", "asymmetric"), ("linear", "half_pixel"),
    ("linear", "align_corners"), ("cubic", "half_pixel"), ("cubic", "align_corners"),
)  # fmt: skip
_EPSILONS: Final = {
    "BatchNormalization": 1e-5, "InstanceNormalization": 1e-5, "LayerNormalization": 1e-5,
}  # fmt: skip
"""What they are where nothing is said."""

_OTHER_EPSILONS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-12)
_OTHER_ACTIVATIONS: Final = {"HardSigmoid": "Sigmoid", "HardSwish": "Relu", "MaxPool": "AveragePool"}
"""What is taken for what."""

_ONLY_OF_THE_FIRST: Final = {"HardSigmoid": ("alpha", "beta"), "MaxPool": ("dilations", "storage_order")}

Change = Callable[[onnx.NodeProto, onnx.GraphProto], None]
"""Changes a layer of a graph."""


def faulty_layers(graph: OnnxLayers, tensor: str, given: Collection[str]) -> Iterator[tuple[str, Run]]:
    """Networks with a fault each in one of the layers by which a tensor comes from given ones.

    Args:
        graph: the healthy network.
        tensor: that is wrong.
        given: tensors that are right.

    Yields:
        What is wrong, and runs of these layers; preparing or running one may raise ``BackendError``.
    """
    for node in reversed(graph.layers_of(tensor, given)):  # what the last one does is told with the least of doubt
        for words, change in (*_changes(node), *weight_faults(node, graph.model.graph)):

            def run(tensors: Any, node: onnx.NodeProto = node, change: Change = change) -> Any:
                def changed(part: onnx.GraphProto) -> None:
                    change(next(other for other in part.node if other.output[:1] == node.output[:1]), part)

                return graph.run_apart([tensor], given, changed)(tensors)

            yield f"{words} ({node.op_type} {node.name or node.output[0]})", run


def _changes(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    if node.op_type in _LEFT_OUT:
        yield "a layer is left out", _only(0)
    if node.op_type in _WITH_BIAS and len(node.input) > _BIAS and node.input[_BIAS]:
        yield "a layer has no bias", lambda other, _: other.input.__delitem__(_BIAS)
    if node.op_type in _OF_TWO and len(node.input) == 2:
        for place in (0, 1):
            yield f"a layer is left out, and gives its {('first', 'second')[place]} input", _only(place)
    if node.op_type in ("Concat", "Add", "Sub", "Mul", "Div"):
        yield from _of_several(node)
    if node.op_type == "Split" and len(node.output) > 1:
        yield "the parts are in the opposite order", lambda other, _: _reverse(other.output)
    yield from _of_pads(node)
    yield from _of_attributes(node)


def _of_several(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    if node.op_type in ("Concat", "Sub", "Div"):
        yield "the inputs are in the opposite order", lambda other, _: _reverse(other.input)
    if node.op_type == "Concat" and 2 < len(node.input) <= _MOST_INPUTS:
        for one, two in itertools.combinations(range(len(node.input)), 2):
            yield f"inputs {one} and {two} stand in each other's place", _exchanging(one, two)
    for mine, another in (("Add", "Sub"), ("Sub", "Add"), ("Mul", "Div"), ("Div", "Mul")):
        if node.op_type == mine:
            yield f"another operation: {another} for {mine}", _as(another)


def _of_pads(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    attributes = attributes_of(node)
    pads = list(attributes.get("pads", ()))
    if node.op_type == "Pad":
        mode = _text(attributes.get("mode", "constant"))
        for other in sorted({"constant", "edge", "reflect"} - {mode}):
            yield f"another way to pad: {other} for {mode}", _setting(mode=other)
    if not any(pads):
        return
    half = len(pads) // 2
    whole = [first + last for first, last in zip(pads[:half], pads[half:], strict=True)]
    for where, moved in (("at the end", [*[0] * half, *whole]), ("in front", [*whole, *[0] * half])):
        if moved != pads:
            yield f"a wrong pad: all of it {where}", _setting(pads=moved)
    if node.op_type == "AveragePool":
        counted = attributes.get("count_include_pad", 0)
        words = "an average that leaves the border out" if counted else "an average that counts the border"
        yield words, _setting(count_include_pad=1 - counted)
    dilations = list(attributes.get("dilations", [1] * half))
    for times in (2, 3, 4):  # the pads that keep the size for a dilation are as many times as large
        wider, narrower = [d * times for d in dilations], [d // times for d in dilations]
        if node.op_type == "Conv":
            yield (
                f"another dilation: {wider} for {dilations}",
                _setting(dilations=wider, pads=[p * times for p in pads]),
            )
        if node.op_type in ("Conv", "MaxPool") and all(d % times == 0 for d in dilations):
            smaller = [pad // times for pad in pads]
            yield f"another dilation: {narrower} for {dilations}", _setting(dilations=narrower, pads=smaller)


def _of_attributes(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    attributes = attributes_of(node)
    if node.op_type in ("Resize", "Upsample"):
        yield from _of_resizes(node)
    if node.op_type in ("Softmax", "LogSoftmax"):
        axis = attributes.get("axis", -1)
        yield from (
            (f"another axis: {other} for {axis}", _setting(axis=other)) for other in (-1, -2, -3) if other != axis
        )
    if node.op_type in _EPSILONS:
        own = attributes.get("epsilon", _EPSILONS[node.op_type])
        for epsilon in _OTHER_EPSILONS:
            yield f"another epsilon: {epsilon:g} for {own:g}", _setting(epsilon=epsilon)
    if node.op_type == "Gelu":
        way = _text(attributes.get("approximate", "none"))
        another = "tanh" if way == "none" else "none"
        yield f"another approximation: {another} for {way}", _setting(approximate=another)
    if (instead := _OTHER_ACTIVATIONS.get(node.op_type)) is not None:
        yield f"another operation: {instead} for {node.op_type}", _as(instead)


def _of_resizes(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    attributes = attributes_of(node)
    own = tuple(_text(attributes.get(name, usual)) for name, usual in _RESIZE)
    for mode, coordinates in _WAYS_TO_RESIZE:
        if (mode, coordinates) == own or node.op_type == "Upsample":
            continue
        words = f"another way to resize: {mode}, {coordinates} for {own[0]}, {own[1]}"
        nearest = {"nearest_mode": "floor" if coordinates == "asymmetric" else "round_prefer_floor"}
        yield words, _setting(mode=mode, coordinate_transformation_mode=coordinates, **nearest)


_RESIZE: Final = (("mode", "nearest"), ("coordinate_transformation_mode", "half_pixel"))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _only(place: int) -> Change:
    """The layer gives one of its inputs."""

    def change(node: onnx.NodeProto, _: onnx.GraphProto) -> None:
        node.CopyFrom(helper.make_node("Identity", [node.input[place]], list(node.output[:1]), name=node.name))

    return change


def _as(operator: str) -> Change:
    def change(node: onnx.NodeProto, _: onnx.GraphProto) -> None:
        dropped = _ONLY_OF_THE_FIRST.get(node.op_type, ())
        kept = [attribute for attribute in node.attribute if attribute.name not in dropped]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.op_type = operator

    return change


def _exchanging(one: int, two: int) -> Change:
    def change(node: onnx.NodeProto, _: onnx.GraphProto) -> None:
        node.input[one], node.input[two] = node.input[two], node.input[one]

    return change


def _reverse(names: Any) -> None:
    names[:] = list(names)[::-1]


def _setting(**values: Any) -> Change:
    def change(node: onnx.NodeProto, _: onnx.GraphProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])

    return change
