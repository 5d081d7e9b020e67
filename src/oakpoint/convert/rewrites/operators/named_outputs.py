"""Outputs of operators with several of them, whose names the compiler changes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.graph_edit import rename_tensor
from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.convert.rewrites.local import Known


class NamedOutputs(Rewrite):
    """An output of the network that an operator with several outputs computes passes through a product with 1.

    ``Split`` and ``TopK`` leave the compiler under the operator's name and a number in place of their own; an
    ``Identity`` it takes out. Whole numbers need none of it: they are cast at the end.
    """

    name = "named-outputs"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph, known, touched = model.graph, Known(model), []
        for output in graph.output:
            node = known.producers.get(output.name)
            kind = known.kind(output.name)
            if node is None or len(node.output) < 2 or kind not in (TensorProto.FLOAT, TensorProto.FLOAT16):
                continue
            inner, one = f"{output.name}_unnamed", f"{output.name}_one"
            rename_tensor(graph, output.name, inner)
            dtype = helper.tensor_dtype_to_np_dtype(kind)
            graph.initializer.append(numpy_helper.from_array(dtype.type(1), one))
            graph.node.append(helper.make_node("Mul", [inner, one], [output.name], name=f"{output.name}_Mul"))
            touched.append(label(node))
        return touched
