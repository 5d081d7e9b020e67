"""Pixels as the camera gives them, 0–255, where the network wants them normalised.

U8 pixels are not normalised on the device. Scale and mean are taken along through what comes first and folded into the
layer behind that has weights; a ``Mul`` node would stay a SHAVE stage of its own and cost accuracy (heat-map error
5.9e-3 against 1.6e-3 on SuperPoint). What a network does of that kind by itself (a standardised image, a batch norm in
front, grey repeated for a colour network) is folded with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from oakpoint.convert.graph_edit import drop_unused, inferred_values, numbers_of, rename_tensor
from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.convert.rewrites.image.absorbed import HANDLERS
from oakpoint.convert.rewrites.image.carried import OF_ANY_INPUT
from oakpoint.convert.rewrites.image.form import Shape
from oakpoint.convert.rewrites.image.walk import Walk, initial_form


class InputNormalisation(Rewrite):
    """Fold (level − mean) · scale of an image input into the layers behind it.

    Every tensor between is known as scale · levels + shift (``input_form``), in float64. An operator that only moves or
    averages works on levels (``input_carried``); a layer with weights takes scale and shift in, rounded once
    (``input_absorbed``). Before a border of zeros the mean is subtracted, since those zeros come after normalisation.
    Whatever takes neither gets the host's values from an explicit layer, with its cost in the journal.
    """

    name = "input-normalisation"
    tolerance = 5e-5  # of sums of levels up to 255, whose mean may cancel

    def __init__(self, tensor: str, mean: float | Sequence[float], scale: float | Sequence[float]) -> None:
        """Take the input's name, and of its pixels 0–255 what is subtracted and then multiplied with.

        Args:
            tensor: the input, (1, C, H, W) where numbers are given per channel.
            mean: one number, or one for each channel.
            scale: likewise.
        """
        self._tensor = tensor
        self._mean, self._scale = (np.atleast_1d(np.asarray(values, np.float64)) for values in (mean, scale))

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        shapes = _shapes(model)
        walk = Walk(model, shapes)
        shape = shapes[self._tensor]
        walk.spans[self._tensor] = 255.0
        walk.forms[self._tensor] = initial_form(self._tensor, shape, self._mean, self._scale)
        before = len(model.graph.node)
        nodes = list(model.graph.node)
        for node in nodes:
            _rewrite(walk, node)
        outputs = [output.name for output in model.graph.output if output.name in walk.forms]
        settled = {name: walk.settled(name, f"output {name!r}") for name in outputs}
        del model.graph.node[:]
        model.graph.node.extend(walk.nodes)
        for name in outputs:
            renamed = _name_output(model.graph, walk, name, settled[name])
            settled = {output: renamed.get(made, made) for output, made in settled.items()}
        if walk.touched or len(model.graph.node) != before:
            del model.graph.value_info[:]
            drop_unused(model.graph)
        return walk.touched


def _rewrite(walk: Walk, node: onnx.NodeProto) -> None:
    touched = [name for name in _all_inputs(node) if name in walk.forms]
    if not touched:
        walk.nodes.append(node)
        return
    first = node.input[0] in walk.forms or node.op_type in OF_ANY_INPUT
    handler = HANDLERS.get(node.op_type) if first and node.domain in ("", "ai.onnx") else None
    if handler is not None and set(touched) <= set(node.input) and handler(walk, node):
        return
    settled = {name: walk.settled(name, label(node)) for name in touched}
    node.input[:] = [settled.get(name, name) for name in node.input]
    for graph in _subgraphs(node):
        for old, new in settled.items():
            rename_tensor(graph, old, new)
    walk.nodes.append(node)


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """What an operator reads, within its graphs as well."""
    yield from node.input
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _all_inputs(inner)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        value: Any = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.GraphProto):
            yield value


def _name_output(graph: onnx.GraphProto, walk: Walk, name: str, made: str) -> dict[str, str]:
    """Give a tensor the name of the graph's output that it is now; levels that had the name take another.

    Returns:
        Old name → new name of what was renamed.
    """
    if made == name:
        return {}
    renamed = {}
    if any(name in node.output for node in graph.node):
        renamed[name] = walk.free_name(f"{name}_levels")
        rename_tensor(graph, name, renamed[name])
    if any(made in node.output for node in graph.node) and made not in {output.name for output in graph.output}:
        renamed[made] = name
        rename_tensor(graph, made, name)
    else:
        graph.node.append(helper.make_node("Identity", [made], [name], name=f"{name}_identity"))
    return renamed


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    sizes = {name: numbers_of(value) for name, value in inferred_values(model).items()}
    return {name: tuple(size) for name, size in sizes.items() if size is not None}
