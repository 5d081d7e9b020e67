"""Reductions with their axes as an attribute, as opset 13 has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import onnx
from onnx import helper, numpy_helper

from oakpoint.convert.graph_edit import drop_unused
from oakpoint.convert.rewrites.base import Rewrite, label

_DEVICE_OPSET = 13


class ReductionAxes(Rewrite):
    """Give reductions with constant axes the attribute that opset 13 has in place of the later input.

    They then mean at opset 13 what they meant before. Which operators those are, ONNX's schemas tell.
    """

    name = "reduction-axes"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        touched = []
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.domain or not _moved_axes(node.op_type) or len(node.input) < 2 or node.input[1] not in constants:
                continue
            axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
            untouched = any(a.name == "noop_with_empty_axes" and a.i for a in node.attribute)
            if not axes and untouched:
                continue  # it does nothing; opset 13 cannot say that
            kept = [attribute for attribute in node.attribute if attribute.name != "noop_with_empty_axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
            if axes:
                node.attribute.append(helper.make_attribute("axes", axes))
            del node.input[1:]
            touched.append(label(node))
        drop_unused(graph)
        return touched


@cache
def _moved_axes(operator: str) -> bool:
    """Whether an operator has its axes in an attribute at opset 13, and in its second input now."""
    try:
        then, now = onnx.defs.get_schema(operator, _DEVICE_OPSET), onnx.defs.get_schema(operator)
    except onnx.defs.SchemaError:
        return False
    return "axes" in then.attributes and len(now.inputs) > 1 and now.inputs[1].name == "axes"
