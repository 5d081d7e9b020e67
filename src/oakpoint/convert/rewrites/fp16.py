"""Weights, inputs and outputs in FP16, as the device computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import ConversionError


class Fp16(Rewrite):
    """Round constants to FP16, subnormals kept; inputs and outputs of floating point are FP16.

    The compiler would flush FP32 weights below the normal FP16 range to zero on import.
    """

    name = "fp16"
    tolerance = 2.0**-11

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        _round_to_fp16(model)
        return ("every constant",)


def _round_to_fp16(model: onnx.ModelProto) -> None:
    scales = {node.input[2] for node in model.graph.node if node.op_type == "Resize" and len(node.input) > 2}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in scales:  # ONNX has these in float32 only
            with np.errstate(over="ignore"):
                rounded = numpy_helper.to_array(tensor).astype(np.float16)
            if not np.isfinite(rounded).all():
                raise ConversionError(f"{tensor.name}: holds weights over FP16's largest value, 65504")
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type != TensorProto.INT32:  # packed: see heads
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))
