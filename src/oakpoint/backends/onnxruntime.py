"""ONNX Runtime on the CPU, at the precision of the model's own tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.records import TensorSpec
from oakpoint.errors import BackendError, first_line
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    import onnx


class OnnxRuntimeBackend(Backend):
    """An ONNX file at one input shape."""

    concurrent = True  # «InferenceSession::Run() is guaranteed to be thread-safe» (microsoft/onnxruntime, #19301)

    def __init__(self, path: Path, *, input_shape: tuple[int, ...] | None = None, threads: int | None = None) -> None:
        """Load the model.

        Args:
            path: the ONNX file, with one input.
            input_shape: (N, C, H, W) to run at, for a model whose sizes may be changed; None keeps the file's, with an
                open batch taken as 1.
            threads: CPU threads; None lets the runtime choose.

        Raises:
            BackendError: ONNX Runtime cannot be imported, or cannot load the file.
        """
        with importing("onnxruntime"):
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong comes as an exception, too
        options.enable_cpu_mem_arena = False  # it keeps the largest run's memory for good, 0.9 GB at 1280×720
        # Left alone, its threads spin on after a run, for up to a second, on the cores that what follows it needs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            model = _at_shape(path, input_shape) if input_shape else str(path)
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BackendError(f"{path}: ONNX Runtime cannot load it: {first_line(error)}") from error
        self.description = f"onnxruntime {onnxruntime.__version__} CPU"
        self.inputs = tuple(_spec(node, batch=1) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node, batch=1) for node in self._session.get_outputs())

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        names = [spec.name for spec in self.outputs]
        try:
            results = self._session.run(names, dict(tensors))
        except Exception as error:
            raise BackendError(f"{self.description}: the run failed: {first_line(error)}") from error
        return {
            name: np.asarray(result, np.float32) if np.issubdtype(result.dtype, np.floating) else result
            for name, result in zip(names, results, strict=True)
        }


_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


def _spec(node: Any, *, batch: int) -> TensorSpec:
    shape = tuple(batch if index == 0 and not isinstance(size, int) else size for index, size in enumerate(node.shape))
    return TensorSpec(node.name, _DTYPES.get(node.type, node.type), shape)


def _at_shape(path: Path, input_shape: tuple[int, ...]) -> bytes:
    import onnx

    model = onnx.load(path)
    set_input_shape(model, input_shape)
    return bytes(model.SerializeToString())


def set_input_shape(model: onnx.ModelProto, input_shape: tuple[int, ...]) -> None:
    """Give a model another input shape, in place; sizes that follow from it are left for others to infer."""
    from onnx import helper

    graph = model.graph
    source = graph.input[0]
    graph.input[0].CopyFrom(
        helper.make_tensor_value_info(source.name, source.type.tensor_type.elem_type, list(input_shape))
    )
    del graph.value_info[:]
    for output in graph.output:
        for dimension in output.type.tensor_type.shape.dim:
            dimension.Clear()
