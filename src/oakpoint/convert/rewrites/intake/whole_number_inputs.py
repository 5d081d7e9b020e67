"""Images that a network takes as whole numbers (uint8), as the device graph has every image: numbers from 0 to 255."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto

from oakpoint.convert.rewrites.base import Rewrite, name_of
from oakpoint.convert.rewrites.intake.float32 import drop_needless_casts
from oakpoint.errors import Finding, UnsupportedNetworkError

_MOVING = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators that only move values, of whatever type."""


class WholeNumberInputs(Rewrite):
    """Make a uint8 input one of float, and take out the casts behind it: 0 to 255 are the same numbers in both.

    Between the two, values may be moved and nothing else, since whole numbers are calculated with otherwise (they wrap
    around). Inputs of other types that are no floating point are findings: the device takes images and FP16.
    """

    name = "whole-number-inputs"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        findings, touched = [], []
        for value in graph.input:
            kind = value.type.tensor_type.elem_type
            if kind == TensorProto.UINT8:
                found = _calculated_with(graph, value.name)
                findings += found
                if not found:
                    value.type.tensor_type.elem_type = TensorProto.FLOAT
                    touched.append(f"input {value.name!r}")
            elif kind not in (TensorProto.FLOAT, TensorProto.FLOAT16):
                findings.append(_of_another_type(value.name, kind))
        if touched:
            del model.graph.value_info[:]
            drop_needless_casts(model)
        if findings:
            raise UnsupportedNetworkError(findings)
        return touched


def _of_another_type(name: str, kind: int) -> Finding:
    called = TensorProto.DataType.Name(kind).lower()
    return Finding(
        layer=name,
        operator="Input",
        problem=f"it is of type {called}, and the device takes uint8 images and floating-point tensors",
        remedy="take it as float and cast it within the network, or keep what uses it on the host",
    )


def _calculated_with(graph: onnx.GraphProto, name: str) -> list[Finding]:
    reached, findings = {name}, []
    for node in graph.node:  # in the order of execution
        if not reached.intersection(node.input):
            continue
        if node.op_type in _MOVING:
            reached.update(node.output)
        elif node.op_type != "Cast" or node.attribute[0].i != TensorProto.FLOAT:
            problem = f"it calculates with input {name!r} in whole numbers, and the device in FP16"
            findings.append(Finding(layer=name_of(node), operator=node.op_type, problem=problem,
                                    remedy="cast the image to float before it"))  # fmt: skip
    return findings
