"""Reductions with their axes as an attribute, as opset 13 has them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper, numpy_helper

from oakpoint.convert.graph_edit import drop_unused
from oakpoint.convert.rewrites.base import Rewrite, label

REDUCTIONS = {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"}
"""Reductions that take their axes as an input from opset 18 on, and as an attribute before."""


class ReductionAxes(Rewrite):
    """Give reductions with constant axes the attribute that opset 13 has in place of the later input.

    They then mean at opset 13 what they meant before.
    """

    name = "reduction-axes"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        touched = []
        constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type not in REDUCTIONS or len(node.input) < 2 or node.input[1] not in constants:
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
