"""A small compiled blob, the compiler behind one fixture, and ONNX Runtime as the independent reference."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from oakpoint.errors import CompilerUnavailableError
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.compiler import compile_blob

DATA = Path(__file__).resolve().parents[2] / "data" / "myriad"

Outputs = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    return DATA / "tiny.blob"


@pytest.fixture(scope="session")
def tiny_bytes(tiny_path: Path) -> bytes:
    return tiny_path.read_bytes()


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Blob:
    return read_blob(tiny_path)


@pytest.fixture(scope="session")
def tiny_model() -> onnx.ModelProto:
    return onnx.load(DATA / "tiny.onnx")


@pytest.fixture(scope="session")
def compile_onnx(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Blob]:
    """``compile_onnx(model, shaves=6)``: the blob of an ONNX model, whose inputs become U8."""

    def compile_(model: onnx.ModelProto, shaves: int = 6) -> Blob:
        folder = tmp_path_factory.mktemp("compiled")
        onnx.save(model, folder / "network.onnx")
        try:
            compile_blob(folder / "network.onnx", folder / "network.blob", shaves=shaves)
        except CompilerUnavailableError as error:
            pytest.skip(str(error))
        return read_blob(folder / "network.blob")

    return compile_


def _in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the same (FP16) numbers as float32, and float32 inputs and outputs."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


@pytest.fixture(scope="session")
def reference() -> Callable[[onnx.ModelProto, dict[str, NDArray[np.generic]]], Outputs]:
    """``reference(model, inputs)``: ONNX Runtime's outputs in float32, from the model's FP16 weights."""

    def run(model: onnx.ModelProto, inputs: dict[str, NDArray[np.generic]]) -> Outputs:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            _in_float32(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {name: value.astype(np.float32) for name, value in inputs.items()})
        return dict(zip(names, values, strict=True))

    return run


@pytest.fixture(scope="session")
def faults() -> dict[str, Callable[..., bytes]]:
    """By name: functions that put one mistake into the bytes of a blob, and take which stage they shall hit."""
    specification = importlib.util.spec_from_file_location("faults", Path(__file__).with_name("faults.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    found: dict[str, Callable[..., bytes]] = module.FAULTS
    return found
