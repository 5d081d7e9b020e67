"""What networks do first with an image, as small ONNX graphs; and the two ways to run one: as the host, as the device.

``broken`` makes device graphs with the faults that a verification has to catch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = (24, 16)
Node = tuple[str, Sequence[str], str | Sequence[str], dict[str, Any]]


@dataclass(frozen=True)
class Stem:
    """A graph from ``image`` to outputs.

    Attributes:
        nodes: operator, inputs, output or outputs, attributes.
        constants: by name.
        outputs: of the graph.
        channels: of the image.
    """

    nodes: Sequence[Node]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: Sequence[str] = ("y",)
    channels: int = 3


def model_of(
    stem: Stem, *, size: tuple[int, int] = SIZE, opset: int = 13, layout: str = "nchw", kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """The host's model; with ``nhwc`` the image comes so, and the graph begins with the transposition to NCHW."""
    width, height = size
    shape: tuple[int, ...] = (1, stem.channels, height, width)
    nodes = [
        helper.make_node(op, i, [o] if isinstance(o, str) else o, name=f"{op}_{o}", **a) for op, i, o, a in stem.nodes
    ]
    if layout == "nhwc":
        shape = (1, height, width, stem.channels)
        for node in nodes:
            node.input[:] = ["image_first" if name == "image" else name for name in node.input]
        nodes.insert(0, helper.make_node("Transpose", ["image"], ["image_first"], perm=[0, 3, 1, 2]))
    graph = helper.make_graph(
        nodes,
        "stem",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in stem.outputs],
        [numpy_helper.from_array(array, name) for name, array in stem.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A device graph with its FP16 tensors cast to float32: the same rounded weights, exact arithmetic."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


def run(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs, in ONNX Runtime with its optimisations off: what the graph says."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))
