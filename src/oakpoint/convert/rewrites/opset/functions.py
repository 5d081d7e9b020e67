"""Operators that ONNX defines by others, spelt out where the compiler does not know them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import onnx
from onnx import helper, inliner

from oakpoint.convert.graph_edit import drop_unused, drop_weights_among_inputs, inferred_values, replace_node
from oakpoint.convert.rewrites.base import Rewrite, apply_all, label
from oakpoint.convert.rewrites.intake.float32 import Float32, drop_needless_casts
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers
from oakpoint.convert.rewrites.opset.later_forms import LaterForms
from oakpoint.convert.rewrites.opset.opset import DEVICE_OPSET, DeviceOpset, opset_of
from oakpoint.convert.rewrites.opset.reductions import ReductionAxes
from oakpoint.errors import ConversionError

_CONTROL = {"If", "Loop", "Scan"}
"""What a body may still hold that says less to a user than the operator itself (``Range`` is a loop)."""


class SpeltOut(Rewrite):
    """Replace an operator by its body, as ONNX's schema gives it, down to operators that are kept.

    HardSwish, Gelu, Mish, Swish, Celu, CastLike and the like are *functions* of ONNX: their meaning is their body, so
    nothing changes but the order of roundings. A body is taken for the operator's own types and sizes, and what in it
    follows from them is folded.
    """

    name = "functions"
    tolerance = 1e-5

    def __init__(self, kept: Collection[str]) -> None:
        """Take the operators that are not spelt out: those the compiler takes, or another rewrite is for."""
        self._kept = kept

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``; nothing happens before opset 13, whose operators have to be converted first."""
        opset = opset_of(model)
        wanted = [node for node in model.graph.node if self._is_wanted(node, opset)]
        if not wanted or opset < DEVICE_OPSET:
            return ()
        values = inferred_values(model)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        touched = []
        for node in wanted:
            if (body := self._body(node, values, constants, opset)) is not None:
                touched.append(label(node))
                replace_node(model.graph, node, body)
        drop_unused(model.graph)
        return touched

    def _is_wanted(self, node: onnx.NodeProto, opset: int) -> bool:
        return (
            node.domain in ("", "ai.onnx") and node.op_type not in self._kept and bool(_versions(node.op_type, opset))
        )

    def _body(
        self, node: onnx.NodeProto, values: dict[str, Any], constants: dict[str, Any], opset: int
    ) -> onnx.GraphProto | None:
        """The operator as a graph of others at the model's opset or at 13; None where ONNX gives no body for it."""
        for version in _versions(node.op_type, opset):
            if (part := _alone(node, values, constants, version)) is None:
                return None
            try:
                part = inliner.inline_selected_functions(part, [("", node.op_type)], inline_schema_functions=True)
            except Exception:  # noqa: BLE001, S112 - the inliner's own, of several kinds: no body for these types
                continue
            drop_weights_among_inputs(part.graph)
            if any(inner.op_type == node.op_type for inner in part.graph.node):
                continue
            try:
                apply_all(
                    part,
                    [
                        Initialisers(),
                        FoldedConstants(),
                        self,
                        Float32(),
                        FoldedConstants(),
                        LaterForms(),
                        ReductionAxes(),
                    ],
                )
                drop_needless_casts(part)
                if version != opset:
                    apply_all(part, [DeviceOpset()])
            except ConversionError:
                continue  # a body in words that the device lacks is no help: the operator itself is then the finding
            if not _CONTROL.intersection(inner.op_type for inner in part.graph.node):
                return part.graph
        return None


def _value_of(tensor: onnx.TensorProto) -> onnx.ValueInfoProto:
    """A constant as an input of the graph, too: the inliner looks for types there alone."""
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)


def _versions(operator: str, opset: int) -> list[int]:
    """Opsets, from the model's on, at which an operator has a body and the same meaning."""
    try:
        now = onnx.defs.get_schema(operator, opset)
    except onnx.defs.SchemaError:
        return []
    every = {entry.since_version: entry for entry in _history(operator)}
    bodies: set[int] = set()
    for entry in every.values():
        bodies.update(entry.function_opset_versions, entry.context_dependent_function_opset_versions)
    if not bodies:
        return []
    later = [version for version in sorted(bodies) if version > opset]
    same = [v for v in later if onnx.defs.get_schema(operator, v).since_version == now.since_version]
    return [opset, *same]


def _history(operator: str) -> list[Any]:
    return [
        entry for entry in onnx.defs.get_all_schemas_with_history() if entry.name == operator and entry.domain == ""
    ]


def _alone(
    node: onnx.NodeProto, values: dict[str, Any], constants: dict[str, Any], opset: int
) -> onnx.ModelProto | None:
    """A model of this operator alone, its inputs of their types and sizes; None where those are not known."""
    read = list(dict.fromkeys(name for name in node.input if name))
    if any(name not in constants and name not in values for name in read):
        return None
    given = {attribute.name for attribute in node.attribute}
    whole = onnx.NodeProto.FromString(node.SerializeToString())
    for name, known in onnx.defs.get_schema(node.op_type, opset).attributes.items():  # the inliner knows no defaults
        if name not in given and known.default_value.name:
            whole.attribute.append(known.default_value)
    graph = helper.make_graph(
        [whole],
        "part",
        [values[name] if name not in constants else _value_of(constants[name]) for name in read],
        [values.get(name, onnx.ValueInfoProto(name=name)) for name in node.output if name],
        [constants[name] for name in read if name in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
