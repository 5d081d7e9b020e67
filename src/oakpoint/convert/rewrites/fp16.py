"""Weights, inputs and outputs in FP16, as the device computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.graph_edit import rename_tensor
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.rewrites.local import Known
from oakpoint.errors import ConversionError

_FLOATING = (TensorProto.FLOAT, TensorProto.DOUBLE)


class Fp16(Rewrite):
    """Round constants to FP16, subnormals kept; inputs and outputs of floating point are FP16, others int32.

    The compiler would flush FP32 weights below the normal FP16 range to zero on import. Whole numbers and truth values
    are 32 bits wide on the device, whatever they are in the network.
    """

    name = "fp16"
    tolerance = 2.0**-11

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        _give_whole_outputs_their_type(model)
        _round_to_fp16(model)
        del model.graph.value_info[:]  # of the types before
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
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:  # whole numbers stay: places of maxima, packed heads
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _FLOATING:
                attribute.i = TensorProto.FLOAT16
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))


def _give_whole_outputs_their_type(model: onnx.ModelProto) -> None:
    """End in a ``Cast`` to int32 where an output is of another type that is no floating point."""
    graph = model.graph
    known = Known(model)
    for output in graph.output:
        kind = known.kind(output.name)
        if kind in (TensorProto.UNDEFINED, TensorProto.INT32, TensorProto.FLOAT, TensorProto.FLOAT16):
            continue
        inner = f"{output.name}_whole"
        rename_tensor(graph, output.name, inner)
        graph.node.append(
            helper.make_node("Cast", [inner], [output.name], name=f"{output.name}_Cast", to=TensorProto.INT32)
        )
        output.type.tensor_type.elem_type = TensorProto.INT32
