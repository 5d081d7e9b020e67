"""Tensors without elements, which the compiler has no place for."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from oakpoint.convert.graph_edit import attributes_of, drop_unused
from oakpoint.convert.rewrites.base import Rewrite, label, name_of
from oakpoint.convert.rewrites.local import Known
from oakpoint.errors import Finding, UnsupportedNetworkError


class EmptyTensors(Rewrite):
    """Parts without elements are left out of concatenations and splits; any other such tensor is a finding.

    Exporters cut nothing off, or keep nothing, where a size happens to be 0: what is joined with it stays as it is.
    """

    name = "empty-tensors"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph, known = model.graph, Known(model)
        empty = {name for node in graph.node for name in node.output if known.is_empty(name)}
        empty |= {tensor.name for tensor in graph.initializer if 0 in tensor.dims and known.kind(tensor.name) == 1}
        empty |= {value.name for value in graph.input if known.is_empty(value.name)}
        if not empty:
            return ()
        touched = [label(node) for node in graph.node if _without(graph, node, empty, known)]
        drop_unused(graph)
        left = [node for node in graph.node if empty.intersection(node.output)]
        left += [node for node in graph.node if node not in left and empty.intersection(node.input[:1])]
        if left:
            problem, remedy = "one of its tensors has no elements", "leave out what is of size 0"
            raise UnsupportedNetworkError(
                [Finding(layer=name_of(n), operator=n.op_type, problem=problem, remedy=remedy) for n in left]
            )
        return touched


def _without(graph: onnx.GraphProto, node: onnx.NodeProto, empty: set[str], known: Known) -> bool:
    """Leave empty parts out of a layer, in place; whether there were any that could be."""
    if node.op_type == "Concat":
        full = [name for name in node.input if name not in empty]
        if len(full) == len(node.input) or not full:
            return False
        node.input[:] = full
        return True
    if node.op_type != "Split" or not empty.intersection(node.output):
        return False
    read = {name for other in graph.node for name in other.input if other.op_type != "Concat"}
    read |= {output.name for output in graph.output}
    full = [name for name in node.output if name not in empty]
    if read & empty & set(node.output) or not full:
        return False
    axis = attributes_of(node).get("axis", 0)
    sizes = [known.shape(name)[axis] for name in full]
    node.output[:] = full
    if len(full) == 1:
        node.op_type = "Identity"
        del node.input[1:]
        del node.attribute[:]
        return True
    graph.initializer.append(helper.make_tensor(f"{full[0]}_sizes", onnx.TensorProto.INT64, [len(full)], sizes))
    node.input[:] = [node.input[0], f"{full[0]}_sizes"]
    return True
