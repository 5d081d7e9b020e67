"""Networks of earlier opsets, brought to 13 by ONNX's version converter, and what that refuses or gets wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter

from oakpoint.convert.graph_edit import FREE_CONSTANTS_IR, static_sizes
from oakpoint.convert.rewrites.base import Rewrite, name_of
from oakpoint.convert.rewrites.intake.one_form import Initialisers
from oakpoint.convert.rewrites.opset.opset import DEVICE_OPSET, OLDEST_OPSET, opset_of
from oakpoint.errors import ConversionError, Finding, UnsupportedNetworkError, first_line


class EarlierOpset(Rewrite):
    """Convert an earlier opset to 13: the same name may have meant something else (a softmax over all that follows)."""

    name = "earlier-opset"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        opset = opset_of(model)
        if opset >= DEVICE_OPSET or any(node.domain not in ("", "ai.onnx") for node in model.graph.node):
            return ()  # the converter knows no other domain; those layers are findings anyway
        if opset < OLDEST_OPSET:
            raise ConversionError(
                f"opset {opset}: expected {OLDEST_OPSET} or later; export the network anew, at opset {DEVICE_OPSET} or "
                "later"
            )
        model.ir_version = max(model.ir_version, FREE_CONSTANTS_IR)
        before_conversion(model)
        try:
            converted = version_converter.convert_version(model, DEVICE_OPSET)
        except RuntimeError as error:
            raise ConversionError(
                f"opset {opset} cannot be converted to the device's opset {DEVICE_OPSET}: {first_line(error)}; "
                f"export the network at opset {DEVICE_OPSET} or later"
            ) from error
        after_conversion(converted, opset)
        model.CopyFrom(converted)
        Initialisers().apply(model)  # the converter writes constants as nodes
        del model.graph.value_info[:]
        return (f"opset {opset}",)


def before_conversion(model: onnx.ModelProto) -> None:
    """Say otherwise what the converter stops at or forgets, in place: batch norms by place, a hard maximum over all.

    Raises:
        UnsupportedNetworkError: such a layer, with weights that are computed, or of a size that is not known.
    """
    graph = model.graph
    sizes = static_sizes(model)
    findings = []
    for node in list(graph.node):
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == "BatchNormalization" and attributes.get("spatial", 1) == 0:
            findings += _normalise_by_place(graph, node)
        elif node.op_type == "Hardmax" and (size := sizes.get(node.input[0])) != []:
            findings += _maximum_over_all(graph, node, size, attributes.get("axis", 1))
    if findings:
        raise UnsupportedNetworkError(findings)


def _normalise_by_place(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[Finding]:
    """(x − mean) / √(variance + ε) · scale + bias with numbers for each place (opset 7, ``spatial`` 0)."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if any(name not in tensors for name in node.input[1:]):
        remedy = "keep its statistics as constants"
        return [Finding(layer=name_of(node), operator=node.op_type, problem="has computed statistics", remedy=remedy)]
    scale, bias, mean, variance = (numpy_helper.to_array(tensors[name]).astype(np.float64) for name in node.input[1:])
    epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    made = node.output[0]
    for name, values in ((f"{made}_factor", factor), (f"{made}_shift", bias - mean * factor)):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    place = list(graph.node).index(node)
    product = helper.make_node("Mul", [node.input[0], f"{made}_factor"], [f"{made}_scaled"], name=f"{made}_scaled")
    total = helper.make_node("Add", [f"{made}_scaled", f"{made}_shift"], [made], name=name_of(node))
    graph.node.remove(node)
    graph.node.insert(place, product)
    graph.node.insert(place + 1, total)
    return []


def _maximum_over_all(graph: onnx.GraphProto, node: onnx.NodeProto, size: list[int] | None, axis: int) -> list[Finding]:
    """Up to opset 12 it is over all axes from this one on; the converter leaves it as it stands."""
    if size is None:
        problem = "is over all axes from one on, and their sizes are not known"
        return [Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy="fix the network's sizes")]
    axis %= len(size)
    if axis == len(size) - 1:
        _set(node, "axis", axis)
        return []
    made = node.output[0]
    flat = [int(np.prod(size[:axis])), -1]
    for name, values in ((f"{made}_flat", flat), (f"{made}_size", size)):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    place = list(graph.node).index(node)
    before = helper.make_node("Reshape", [node.input[0], f"{made}_flat"], [f"{made}_in"], name=f"{made}_in")
    after = helper.make_node("Reshape", [f"{made}_out", f"{made}_size"], [made], name=f"{made}_out")
    node.input[0], node.output[0] = f"{made}_in", f"{made}_out"
    _set(node, "axis", 1)
    graph.node.insert(place, before)
    graph.node.insert(place + 2, after)
    return []


def after_conversion(model: onnx.ModelProto, opset: int) -> None:
    """Say what ``Upsample`` and the first ``Resize`` did without words, and the converter leaves out, in place.

    Until opset 10 a pixel's place is divided by the scale, with no half pixels, and the nearest pixel is the one before
    (of a larger image), or the one after (of a smaller one): so ONNX Runtime computes them.

    Args:
        model: as the converter gives it.
        opset: that it had before.

    Raises:
        UnsupportedNetworkError: one grows along one axis and shrinks along another.
    """
    if opset > 10:
        return
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    findings = []
    for node in graph.node:
        if node.op_type != "Resize":
            continue
        scales = constants.get(node.input[2], np.zeros(0))
        nearest = not any(attribute.name == "mode" and attribute.s != b"nearest" for attribute in node.attribute)
        if nearest and (not scales.size or scales.min() < 1 < scales.max()):
            problem = "takes the nearest pixel before or after, which opset 13 has no word for at these scales"
            findings.append(Finding(layer=name_of(node), operator=node.op_type, problem=problem,
                                    remedy="export the network at opset 11 or later"))  # fmt: skip
            continue
        _set(node, "coordinate_transformation_mode", "asymmetric")
        if nearest:
            _set(node, "nearest_mode", "ceil" if scales.min() < 1 else "floor")
        node.input[1] = ""
    if findings:
        raise UnsupportedNetworkError(findings)


def _set(node: onnx.NodeProto, name: str, value: int | str) -> None:
    for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, value))
