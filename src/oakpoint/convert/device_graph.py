"""The graph that the Myriad X runs, made from the host's ONNX: U8 in, FP16 inside, heads as the consumer wants them.

Three things that go wrong on the way to a blob are settled here, before the compiler sees the network:

* U8 pixels are not scaled on the device. The factor is folded into the first convolution's weights; a ``Mul`` node
  would stay a SHAVE stage of its own and cost accuracy (heat-map error 5.9e-3 against 1.6e-3 on SuperPoint).
* FP32 weights below the normal FP16 range are flushed to zero on import. Weights are rounded to FP16 here, which keeps
  subnormals, and so are inputs and outputs.
* The compiler reads operator sets up to 13. Operators that mean the same there are restamped; others are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.heads import append_heads
from oakpoint.errors import ConversionError

DEVICE_OPSET = 13
DEVICE_IR_VERSION = 7  # the ONNX file version that goes with opset 13

_CARRYING_OPS = {"Identity", "Reshape", "Transpose", "SpaceToDepth", "Slice", "Concat", "Pad"}
"""Operators that only move pixels (or add zeros), through which a factor can be taken to the convolution behind."""

_SAME_AT_13 = {
    "Add", "BatchNormalization", "Div", "Identity", "LeakyRelu", "Mul", "PRelu", "Relu", "Reshape", "Shape", "Split",
    "Sub", "AveragePool", "GlobalAveragePool", "Pad", "Resize",
}  # fmt: skip
"""Operators whose later versions only widened the types, or added attributes that are refused below when used."""

_LATER_ATTRIBUTES = {
    "Reshape": {"allowzero"},
    "Split": {"num_outputs"},
    "AveragePool": {"dilations"},
    "Resize": {"antialias", "axes", "keep_aspect_ratio_policy"},
}


def device_graph(source: Path, *, size: tuple[int, int], scale: float, heads: str) -> onnx.ModelProto:
    """Make the device graph of a host model.

    Args:
        source: the host's ONNX: one float32 input (N, 1, H, W), outputs ``semi`` and ``desc``.
        size: (W, H) in pixels.
        scale: what the pixels 0–255 are multiplied with; folded into the first convolution.
        heads: what the graph puts out, see ``heads.append_heads``.

    Returns:
        A checked model: FP16 input (1, 1, H, W) that holds 0–255, FP16 outputs, opset 13, static shapes, batch 1.

    Raises:
        ConversionError: an operator that opset 13 does not have, or a first layer that the scale cannot be folded into.
    """
    model = onnx.load(source)
    _fix_input(model, (1, 1, size[1], size[0]))
    _lower_opset(model)
    _fold_scale(model, scale)
    append_heads(model, heads, size=size)
    _round_to_fp16(model)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    _require_static_outputs(model)
    onnx.checker.check_model(model)
    return model


def _fix_input(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    source = model.graph.input[0]
    source.CopyFrom(helper.make_tensor_value_info(source.name, TensorProto.FLOAT, shape))
    del model.graph.value_info[:]
    for output in model.graph.output:  # sizes follow from the input's
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))


def _lower_opset(model: onnx.ModelProto) -> None:
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ConversionError(
                f"{_label(node)}: operators of the domain {node.domain!r} are not taken by the device"
            )
        if opset > DEVICE_OPSET:
            _require_same_meaning(node, opset)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", DEVICE_OPSET))
    model.ir_version = DEVICE_IR_VERSION


def _require_same_meaning(node: onnx.NodeProto, opset: int) -> None:
    try:
        then = onnx.defs.get_schema(node.op_type, DEVICE_OPSET).since_version
    except onnx.defs.SchemaError as error:
        raise ConversionError(
            f"{_label(node)}: the device's compiler knows operators up to opset {DEVICE_OPSET}, this one came later"
        ) from error
    now = onnx.defs.get_schema(node.op_type, opset).since_version
    later = _LATER_ATTRIBUTES.get(node.op_type, set())
    used = {attribute.name for attribute in node.attribute if attribute.name in later and _has_effect(attribute)}
    if then != now and (node.op_type not in _SAME_AT_13 or used):
        raise ConversionError(
            f"{_label(node)}: opset {opset} gives it another meaning than the device's opset {DEVICE_OPSET}"
            + (f" (attribute {sorted(used)[0]})" if used else "")
        )


def _has_effect(attribute: onnx.AttributeProto) -> bool:
    """Whether an attribute that opset 13 lacks says something else than opset 13 does without it."""
    value: Any = helper.get_attribute_value(attribute)
    if isinstance(value, list):
        return any(item != 1 for item in value)
    return bool(value != 0 and value != b"stretch")


def _fold_scale(model: onnx.ModelProto, scale: float) -> None:
    graph = model.graph
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    pending, seen = [graph.input[0].name], set()
    while pending:
        name = pending.pop()
        for node in consumers.get(name, []):
            if node.op_type == "Conv" and node.input[0] == name and node.input[1] in initializers:
                if node.input[1] not in seen:
                    seen.add(node.input[1])
                    _scale_weights(graph, node, initializers[node.input[1]], scale, len(consumers[node.input[1]]))
            elif node.op_type in _CARRYING_OPS and node.input[0] == name:
                pending.extend(node.output)
            else:
                raise ConversionError(
                    f"{_label(node)}: the device's input is U8, and 1/255 has to be folded into the convolution behind "
                    f"it; expected a convolution with constant weights at the input, got {node.op_type}"
                )


def _scale_weights(
    graph: onnx.GraphProto, node: onnx.NodeProto, weights: onnx.TensorProto, scale: float, users: int
) -> None:
    # One rounding: float64 product to float32, later to FP16.
    scaled = (numpy_helper.to_array(weights).astype(np.float64) * scale).astype(np.float32)
    if users == 1:
        weights.CopyFrom(numpy_helper.from_array(scaled, weights.name))
    else:  # the same weights serve another layer, which is not to be scaled
        name = f"{weights.name}_scaled"
        graph.initializer.append(numpy_helper.from_array(scaled, name))
        node.input[1] = name


def _round_to_fp16(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            rounded = numpy_helper.to_array(tensor).astype(np.float16)
            if not np.isfinite(rounded).all():
                raise ConversionError(f"{tensor.name}: holds weights over FP16's largest value, 65504")
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))


def _require_static_outputs(model: onnx.ModelProto) -> None:
    for output in model.graph.output:
        for dimension in output.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value"):
                raise ConversionError(
                    f"output {output.name}: its size depends on the input's values; the device needs a fixed one"
                )


def _label(node: Any) -> str:
    return f"layer {node.name or node.output[0]!r} ({node.op_type})"


def static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of a graph input or output whose dimensions are all numbers."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
