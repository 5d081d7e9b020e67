"""Small ONNX graphs written as text, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import helper, numpy_helper


def graph(
    body: str,
    *,
    inputs: str = "float[1, 4, 6, 8] x",
    outputs: str = "float y",
    opset: int = 18,
    weights: Mapping[str, np.ndarray] | None = None,
    ir_version: int = 8,
    functions: str = "",
    domains: str = "",
) -> onnx.ModelProto:
    """A model with this body, in the words of ``onnx.parser``; the shapes of its outputs are inferred."""
    model = onnx.parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["" : {opset}{domains}]>\n'
        f"test ({inputs}) => ({outputs}) {{\n{body}\n}}\n{functions}"
    )
    for name, array in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    kinds = [output.type.tensor_type.elem_type for output in model.graph.output]
    del model.graph.output[:]
    names = [text.split()[-1] for text in outputs.split("),")] if "(" in outputs else [
        text.split()[-1] for text in outputs.split(", ")
    ]  # fmt: skip
    model.graph.output.extend(
        helper.make_tensor_value_info(name, kind, None) for name, kind in zip(names, kinds, strict=True)
    )
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(feeds))]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its shapes inferred, strictly; raises where it is not valid."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred)
    return inferred
