"""Operators in the words of the device's opset 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.convert.rewrites.reductions import REDUCTIONS
from oakpoint.errors import ConversionError, first_line

DEVICE_OPSET = 13
DEVICE_IR_VERSION = 7  # the ONNX file version that goes with opset 13

_SAME_AT_13 = {
    "Add", "AveragePool", "BatchNormalization", "Constant", "Conv", "ConvTranspose", "Div", "Flatten",
    "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Pad", "Relu", "Reshape",
    "Resize", "Shape", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators whose later versions only widened the types, or added attributes that are refused below when used."""


class DeviceOpset(Rewrite):
    """Restamp later operators that mean the same at opset 13, refuse others; convert earlier ones.

    Earlier ones are converted, since the same name may have meant something else (a softmax over all that follows).
    """

    name = "device-opset"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        empty_shapes = {tensor.name for tensor in model.graph.initializer if _holds_zero_size(tensor)}
        for node in model.graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise ConversionError(
                    f"{label(node)}: operators of the domain {node.domain!r} are not taken by the device"
                )
            if opset > DEVICE_OPSET:
                _require_same_meaning(node, opset, empty_shapes)
        if opset < DEVICE_OPSET:
            _convert(model, opset)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", DEVICE_OPSET))
        model.ir_version = DEVICE_IR_VERSION
        return () if opset == DEVICE_OPSET else (f"opset {opset}",)


def _convert(model: onnx.ModelProto, opset: int) -> None:
    try:
        model.CopyFrom(version_converter.convert_version(model, DEVICE_OPSET))
        del model.graph.value_info[:]
    except RuntimeError as error:
        raise ConversionError(
            f"opset {opset} cannot be converted to the device's opset {DEVICE_OPSET}: {first_line(error)}; "
            f"export the network at opset {DEVICE_OPSET} or later"
        ) from error


def _holds_zero_size(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == TensorProto.INT64 and (numpy_helper.to_array(tensor) == 0).any())


def _require_same_meaning(node: onnx.NodeProto, opset: int, empty_shapes: set[str]) -> None:
    """Refuse an operator that opset 13 does not have with this meaning; drop what it says beyond opset 13's words."""
    try:
        then = onnx.defs.get_schema(node.op_type, DEVICE_OPSET)
    except onnx.defs.SchemaError as error:
        raise ConversionError(
            f"{label(node)}: the device's compiler knows operators up to opset {DEVICE_OPSET}, this one came later"
        ) from error
    if onnx.defs.get_schema(node.op_type, opset).since_version == then.since_version:
        return
    later = [attribute for attribute in node.attribute if attribute.name not in then.attributes]
    used = sorted(attribute.name for attribute in later if _has_effect(attribute, node, empty_shapes))
    lowered = node.op_type in REDUCTIONS and len(node.input) == 1
    if (node.op_type not in _SAME_AT_13 and not lowered) or used:
        raise ConversionError(
            f"{label(node)}: opset {opset} gives it another meaning than the device's opset {DEVICE_OPSET}"
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
