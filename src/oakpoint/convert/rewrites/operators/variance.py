"""Variances as exporters and ONNX's own functions write them, which cancel in FP16."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import onnx

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.convert.rewrites.local import Known, LocalRewrite, Place


class Variance(LocalRewrite):
    """``E[x²] − E[x]²`` becomes ``E[(x − E[x])²]``, which is equal.

    In FP16 the first is wrong by 1e-3 of the mean's square, and below zero as often as not where the mean is large: a
    root of it is not a number. Layer and group normalisation are written so.
    """

    name = "variance"
    operators: ClassVar[frozenset[str]] = frozenset({"Sub"})
    tolerance = 1e-4

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        known = place.known
        mean = _squared(known, place.tensor(1))
        of_square, of_x = known.producers.get(place.x), known.producers.get(mean)
        if of_square is None or of_x is None or not of_square.op_type == of_x.op_type == "ReduceMean":
            return False
        how, x = attributes_of(of_x), of_x.input[0]
        if _squared(known, of_square.input[0]) != x or not how.get("keepdims", 1) or not _same(known, of_x, of_square):
            return False
        apart = place.editor.op("Sub", x, mean)
        square = place.editor.op("Mul", apart, apart)
        place.editor.op("ReduceMean", square, *of_x.input[1:], output=place.output, **how)
        return True


def _squared(known: Known, tensor: str) -> str:
    """What a tensor is the square of; empty where it is none."""
    node = known.producers.get(tensor)
    if node is None:
        return ""
    if node.op_type == "Mul" and node.input[0] == node.input[1]:
        return str(node.input[0])
    exponent = known.constant(node.input[1]) if node.op_type == "Pow" else None
    return str(node.input[0]) if exponent is not None and bool(np.all(exponent == 2)) else ""


def _same(known: Known, first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
    """Whether two reductions are over the same axes, and both keep them or not."""

    def said(node: onnx.NodeProto) -> dict[str, Any]:
        rank = len(known.shape(node.input[0]))
        given = attributes_of(node)
        axes = given.pop("axes", range(rank))
        return {"keepdims": 1, **given, "axes": sorted(axis % rank for axis in axes)}

    return said(first) == said(second) and list(first.input[1:]) == list(second.input[1:])
