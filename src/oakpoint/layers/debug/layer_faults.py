"""What goes wrong in a single layer, as networks in which it is otherwise: to be held against what came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import onnx
from onnx import helper

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.layers.debug.onnx_layers import OnnxLayers

_ACTIVATIONS: Final = {
    "Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu", "Sigmoid",
    "Softmax", "Softplus", "Tanh",
}  # fmt: skip
_WITH_BIAS: Final = {"Conv", "ConvTranspose"}
_BIAS: Final = 2


def faulty_layers(graph: OnnxLayers, tensor: str, given: Collection[str]) -> Iterator[tuple[str, OnnxLayers]]:
    """Networks with a fault each in one of the layers by which a tensor comes from given ones.

    Args:
        graph: the healthy network.
        tensor: that is wrong.
        given: tensors that are right.

    Yields:
        What is wrong, and the network.
    """
    for node in graph.layers_of(tensor, given):
        for words, change in _changes(node):
            model = onnx.ModelProto.FromString(graph.model.SerializeToString())
            change(next(other for other in model.graph.node if other.output[:1] == node.output[:1]))
            yield f"{words} ({node.op_type} {node.name or node.output[0]})", OnnxLayers(model)


Change = Callable[[onnx.NodeProto], None]


def _changes(node: onnx.NodeProto) -> Iterator[tuple[str, Change]]:
    if node.op_type in _ACTIVATIONS:
        yield "a layer is left out", _leave_out
    if node.op_type in _WITH_BIAS and len(node.input) > _BIAS and node.input[_BIAS]:
        yield "a layer has no bias", lambda other: other.input.__delitem__(_BIAS)
    attributes = attributes_of(node)
    pads = list(attributes.get("pads", ()))
    if any(pads):
        half = len(pads) // 2
        whole = [first + last for first, last in zip(pads[:half], pads[half:], strict=True)]
        for where, moved in (("at the end", [*[0] * half, *whole]), ("in front", [*whole, *[0] * half])):
            if moved != pads:
                yield f"a wrong pad: all of it {where}", _setting("pads", moved)
    if node.op_type == "AveragePool" and any(pads):
        counted = attributes.get("count_include_pad", 0)
        words = "an average that leaves the border out" if counted else "an average that counts the border"
        yield words, _setting("count_include_pad", 1 - counted)


def _leave_out(node: onnx.NodeProto) -> None:
    node.CopyFrom(helper.make_node("Identity", [node.input[0]], list(node.output[:1]), name=node.name))


def _setting(name: str, value: Any) -> Change:
    def change(node: onnx.NodeProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change
