"""What later opsets say in short, written out as opset 13 has it: axes of a pad or resize, splits by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.convert.graph_edit import inferred_values, static_sizes
from oakpoint.convert.rewrites.base import Rewrite, label

Array = NDArray[Any]


class LaterForms(Rewrite):
    """Give ``Pad`` and ``Resize`` all axes where they name some, and ``Split`` its sizes where it has their number.

    Axes that are not named are neither padded nor resized. A split into n parts has parts of ⌈size/n⌉, and the last
    one what is left (ONNX, Split-18). Only what is constant is written out.
    """

    name = "later-forms"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        wanted = [node for node in graph.node if node.domain in ("", "ai.onnx") and _is_short(node)]
        if not wanted:
            return ()
        sizes = static_sizes(model)
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        ranks = {**{name: len(size) for name, size in sizes.items() if size is not None}, **_ranks(model)}
        touched = []
        for node in wanted:
            size, rank = sizes.get(node.input[0]), ranks.get(node.input[0])
            if node.op_type == "Split" and size is not None:
                done = _split(graph, node, size)
            elif node.op_type == "Pad" and rank is not None:
                done = _pad(graph, node, rank, constants)
            else:
                done = node.op_type == "Resize" and rank is not None and _resize(graph, node, rank, size, constants)
            if done:
                touched.append(label(node))
        return touched


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    kinds = {name: value.type.tensor_type for name, value in inferred_values(model).items()}
    return {name: len(kind.shape.dim) for name, kind in kinds.items() if kind.HasField("shape")}


def _is_short(node: onnx.NodeProto) -> bool:
    named = {attribute.name for attribute in node.attribute}
    return (
        (node.op_type == "Pad" and len(node.input) > 3 and bool(node.input[3]))
        or (node.op_type == "Resize" and "axes" in named)
        or (node.op_type == "Split" and "num_outputs" in named)
    )


def _pad(graph: onnx.GraphProto, node: onnx.NodeProto, rank: int, constants: dict[str, Array]) -> bool:
    if node.input[1] not in constants or node.input[3] not in constants:
        return False
    axes = [int(axis) % rank for axis in constants[node.input[3]]]
    given = constants[node.input[1]].reshape(2, -1)
    pads = np.zeros((2, rank), np.int64)
    pads[:, axes] = given
    node.input[1] = _constant(graph, node, "pads", pads.ravel())
    del node.input[3:]
    return True


def _resize(
    graph: onnx.GraphProto, node: onnx.NodeProto, rank: int, size: list[int] | None, constants: dict[str, Array]
) -> bool:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    axes = [int(axis) % rank for axis in attributes["axes"].ints]
    others: dict[int, Array | None] = {
        1: np.repeat([0.0, 1.0], rank),
        2: np.ones(rank),
        3: None if size is None else np.array(size),
    }
    places = [place for place in others if place < len(node.input) and node.input[place]]
    if any(node.input[place] not in constants or others[place] is None for place in places):
        return False
    for place in places:
        values, rest = constants[node.input[place]], others[place]
        if not values.size or rest is None:
            continue
        full = rest.astype(values.dtype).reshape(-1, rank)
        full[:, axes] = values.reshape(-1, len(axes))
        node.input[place] = _constant(graph, node, ("roi", "scales", "sizes")[place - 1], full.ravel())
    node.attribute.remove(attributes["axes"])
    return True


def _split(graph: onnx.GraphProto, node: onnx.NodeProto, size: Sequence[int]) -> bool:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    whole, parts = size[attributes["axis"].i if "axis" in attributes else 0], attributes["num_outputs"].i
    part = math.ceil(whole / parts)
    last = whole - part * (parts - 1)
    if last < 0 or parts != len(node.output):
        return False
    node.attribute.remove(attributes["num_outputs"])
    if last != part:
        del node.input[1:]
        node.input.append(_constant(graph, node, "split", np.array([part] * (parts - 1) + [last], np.int64)))
    return True


def _constant(graph: onnx.GraphProto, node: onnx.NodeProto, what: str, values: Array) -> str:
    name = f"{node.output[0]}_{what}"
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name
