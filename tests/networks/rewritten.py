"""Graphs of a few layers before and after a rewrite, in ONNX Runtime and, compiled, on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.rewrites.fp16 import Fp16
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import compile_blob
from oakpoint.myriad.simulator import Simulator

Arrays = dict[str, NDArray[Any]]
Layer = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]


def layer(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> Layer:
    """A layer; tensors by name with spaces between, ``-`` for one that is left out."""
    given, put = (["" if name == "-" else name for name in names.split()] for names in (inputs, outputs))
    return operator, given, put, attributes


def graph_of(
    layers: Sequence[Layer],
    inputs: Mapping[str, Sequence[int]],
    constants: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A model of opset 13 with float32 inputs of static shapes."""
    graph = helper.make_graph(
        [
            helper.make_node(op, given, put, name=f"layer_{next(filter(None, put))}", **kw)
            for op, given, put, kw in layers
        ],
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def random_inputs(model: onnx.ModelProto, rng: np.random.Generator, spread: float = 1.0) -> Arrays:
    """Normal values that FP16 holds exactly, for every input."""
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.normal(0, spread, shape).astype(np.float16).astype(np.float32) for name, shape in shapes.items()}


def run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """The outputs in ONNX Runtime, with none of its own rewrites."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip((out.name for out in session.get_outputs()), session.run(None, dict(inputs)), strict=True))


def rewritten(model: onnx.ModelProto, *rewrites: Rewrite) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """A copy of a model after rewrites, checked as ONNX's checker does, and the layers that were touched."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value in model.graph.output:  # as in a device graph: a shape that the inference of an old opset gets wrong
        value.type.tensor_type.ClearField("shape")
    touched = tuple(layer for rewrite in rewrites for layer in rewrite.apply(model))
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model, touched


def operators_of(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def differences(model: onnx.ModelProto, rewrite: Rewrite, inputs: Arrays) -> dict[str, float]:
    """How far each output is off after a rewrite, relative to its largest value; its shape and type are as before."""
    before, after = run(model, inputs), run(rewritten(model, rewrite)[0], inputs)
    assert list(before) == list(after)
    return {name: relative_error(after[name], before[name]) for name in before}


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference, relative to the largest value; infinite and not-a-number at the same places."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    if not finite.any():
        return 0.0
    largest = float(np.abs(expected[finite]).max(initial=0))
    return float(np.abs(found.astype(np.float64) - expected)[finite].max()) / (largest or 1.0)


def on_device(model: onnx.ModelProto, rewrites: Sequence[Rewrite], inputs: Arrays, folder: Path) -> Arrays:
    """The outputs of the compiled and executed blob, in the shapes and under the names of the model."""
    device, _ = rewritten(model, *rewrites, Fp16())
    onnx.save(device, folder / "device.onnx")
    compile_blob(folder / "device.onnx", folder / "device.blob", shaves=4, input_type="FP16")
    blob = read_blob(folder / "device.blob")
    given = {tensor.name: inputs[tensor.name].astype(np.float16).reshape(tensor.shape) for tensor in blob.inputs}
    found = Simulator(blob, threads=1).run(given)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in device.graph.output}
    return {name: found[name].astype(np.float32).reshape(shape) for name, shape in shapes.items()}
