"""The graph that the Myriad X runs, made from the host's ONNX: U8 in, FP16 inside, heads as the consumer wants them.

Three things that go wrong on the way to a blob are settled here, before the compiler sees the network:

* U8 pixels are not scaled on the device. The factor is folded into the first convolution's weights; a ``Mul`` node
  would stay a SHAVE stage of its own and cost accuracy (heat-map error 5.9e-3 against 1.6e-3 on SuperPoint).
* FP32 weights below the normal FP16 range are flushed to zero on import. Weights are rounded to FP16 here, which keeps
  subnormals, and so are inputs and outputs.
* The compiler reads operator sets up to 13. Later operators that mean the same there are restamped, others are refused;
  earlier ones are converted, since the same name may have meant something else (a softmax over all that follows).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from oakpoint.bundle.records import TensorSpec
from oakpoint.convert.heads import Heads, append_heads
from oakpoint.convert.lowering import REDUCTIONS, fold_static_shapes, lower_reductions
from oakpoint.convert.open_sizes import why_open
from oakpoint.errors import ConversionError, first_line

DEVICE_OPSET = 13
DEVICE_IR_VERSION = 7  # the ONNX file version that goes with opset 13

_CARRYING_OPS = {"Identity", "Reshape", "Transpose", "SpaceToDepth", "Slice", "Split", "Squeeze", "Unsqueeze", "Pad"}
"""Operators that only move pixels (or add zeros), through which a factor can be taken to the convolution behind."""

_SAME_AT_13 = {
    "Add", "AveragePool", "BatchNormalization", "Constant", "Conv", "ConvTranspose", "Div", "Flatten",
    "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Pad", "Relu", "Reshape",
    "Resize", "Shape", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators whose later versions only widened the types, or added attributes that are refused below when used."""


def device_graph(source: Path, *, size: tuple[int, int], scale: float, heads: Heads) -> onnx.ModelProto:
    """Make the device graph of a host model.

    Args:
        source: the host's ONNX: one float32 input (N, 1, H, W), outputs ``semi`` and ``desc``.
        size: (W, H) in pixels.
        scale: what the pixels 0–255 are multiplied with; folded into the first convolution.
        heads: what the graph puts out.

    Returns:
        A checked model: FP16 input (1, 1, H, W) that holds 0–255, FP16 outputs (packed ones int32), opset
            13, static shapes, batch 1.

    Raises:
        ConversionError: no valid ONNX, an operator that opset 13 does not have, a first layer that the scale cannot be
            folded into, or a size that is not known before the network runs.
    """
    model = _prepared(source, size)
    _fold_scale(model, scale)
    append_heads(model, heads, size=size)
    _round_to_fp16(model)
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(f"the network has no valid FP16 form for the device: {first_line(error)}") from error
    if reason := why_open(model):
        raise ConversionError(reason)
    return model


def host_graph_with_heads(source: Path, *, size: tuple[int, int], heads: Heads) -> onnx.ModelProto:
    """The host's float32 model with the outputs of the device graph: what a runtime gives in the camera's place.

    Args:
        source: the host's ONNX, see ``device_graph``.
        size: (W, H) in pixels.
        heads: what the graph puts out.

    Returns:
        A model with float32 input (1, 1, H, W) as the host's has it, opset 13.

    Raises:
        ConversionError: see ``device_graph``.
    """
    model = _prepared(source, size)
    append_heads(model, heads, size=size)
    return model


def _prepared(source: Path, size: tuple[int, int]) -> onnx.ModelProto:
    """The model at the device's opset, its shapes fixed."""
    model = _read(source)
    _fix_input(model, (1, 1, size[1], size[0]))
    fold_static_shapes(model)
    lower_reductions(model)
    return _at_device_opset(model)


def _read(source: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except Exception as error:
        raise ConversionError(f"{source}: not a valid ONNX model ({first_line(error)})") from error
    return model


def _fix_input(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    source = model.graph.input[0]
    source.CopyFrom(helper.make_tensor_value_info(source.name, TensorProto.FLOAT, shape))
    del model.graph.value_info[:]
    for output in model.graph.output:  # sizes follow from the input's
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))


def _at_device_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    empty_shapes = {tensor.name for tensor in model.graph.initializer if _holds_zero_size(tensor)}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ConversionError(
                f"{_label(node)}: operators of the domain {node.domain!r} are not taken by the device"
            )
        if opset > DEVICE_OPSET:
            _require_same_meaning(node, opset, empty_shapes)
    if opset < DEVICE_OPSET:
        try:
            model = version_converter.convert_version(model, DEVICE_OPSET)
            del model.graph.value_info[:]
        except RuntimeError as error:
            raise ConversionError(
                f"opset {opset} cannot be converted to the device's opset {DEVICE_OPSET}: {first_line(error)}; "
                f"export the network at opset {DEVICE_OPSET} or later"
            ) from error
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", DEVICE_OPSET))
    model.ir_version = DEVICE_IR_VERSION
    return model


def _holds_zero_size(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == TensorProto.INT64 and (numpy_helper.to_array(tensor) == 0).any())


def _require_same_meaning(node: onnx.NodeProto, opset: int, empty_shapes: set[str]) -> None:
    """Refuse an operator that opset 13 does not have with this meaning; drop what it says beyond opset 13's words."""
    try:
        then = onnx.defs.get_schema(node.op_type, DEVICE_OPSET)
    except onnx.defs.SchemaError as error:
        raise ConversionError(
            f"{_label(node)}: the device's compiler knows operators up to opset {DEVICE_OPSET}, this one came later"
        ) from error
    if onnx.defs.get_schema(node.op_type, opset).since_version == then.since_version:
        return
    later = [attribute for attribute in node.attribute if attribute.name not in then.attributes]
    used = sorted(attribute.name for attribute in later if _has_effect(attribute, node, empty_shapes))
    lowered = node.op_type in REDUCTIONS and len(node.input) == 1
    if (node.op_type not in _SAME_AT_13 and not lowered) or used:
        raise ConversionError(
            f"{_label(node)}: opset {opset} gives it another meaning than the device's opset {DEVICE_OPSET}"
            + (f" (attribute {used[0]})" if used else "")
        )
    for attribute in later:
        node.attribute.remove(attribute)


def _has_effect(attribute: onnx.AttributeProto, node: onnx.NodeProto, empty_shapes: set[str]) -> bool:
    """Whether an attribute that opset 13 lacks says something else than opset 13 does without it."""
    value: Any = helper.get_attribute_value(attribute)
    if attribute.name == "allowzero":  # torch's exporter always sets it; it is about sizes of 0 alone
        return bool(value) and node.input[1] in empty_shapes
    if isinstance(value, list):
        return any(item != 1 for item in value)
    return bool(value != 0 and value != b"stretch")


def _fold_scale(model: onnx.ModelProto, scale: float) -> None:
    graph = model.graph
    users = Counter(name for node in graph.node for name in node.input)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    unscaled = {graph.input[0].name}  # tensors that hold 0–255 where the host's hold [0, 1]
    scaled_weights: dict[str, str] = {}
    for node in graph.node:  # in the order of execution, as ONNX requires
        touched = {name for name in node.input if name in unscaled}
        if not touched:
            continue
        if node.op_type == "Conv" and touched == {node.input[0]} and node.input[1] in initializers:
            weights = initializers[node.input[1]]
            if weights.name not in scaled_weights:
                scaled_weights[weights.name] = _scaled_weights(graph, weights, scale, users[weights.name])
            node.input[1] = scaled_weights[weights.name]
        elif _carries(node, touched, initializers):
            unscaled.update(node.output)
        else:
            raise ConversionError(
                f"{_label(node)}: the device's input is U8, and 1/255 has to be folded into the convolution behind "
                f"it; expected a convolution with constant weights at the input, got {node.op_type}"
            )


def _carries(node: onnx.NodeProto, touched: set[str], initializers: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether all that an operator puts out is pixels of the image, or zero: a factor may then come after it."""
    if node.op_type == "Concat":
        return touched == set(node.input)
    if node.op_type not in _CARRYING_OPS or touched != {node.input[0]}:
        return False
    if node.op_type == "Pad" and len(node.input) > 2 and node.input[2]:
        value = initializers.get(node.input[2])
        return value is not None and not numpy_helper.to_array(value).any()
    return True


def _scaled_weights(graph: onnx.GraphProto, weights: onnx.TensorProto, scale: float, users: int) -> str:
    """Scale weights, in a copy of their own where another layer uses them too; returns the name of the scaled ones."""
    # One rounding: float64 product to float32, later to FP16.
    scaled = (numpy_helper.to_array(weights).astype(np.float64) * scale).astype(np.float32)
    if users == 1:
        weights.CopyFrom(numpy_helper.from_array(scaled, weights.name))
        return str(weights.name)
    graph.initializer.append(numpy_helper.from_array(scaled, f"{weights.name}_scaled"))
    return f"{weights.name}_scaled"


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


def _label(node: Any) -> str:
    return f"layer {node.name or node.output[0]!r} ({node.op_type})"


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Name, type and shape of a graph output whose dimensions are all numbers."""
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, kind.name, static_shape(value))


def static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of a graph input or output whose dimensions are all numbers."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
