"""ONNX Runtime on the CPU, at the precision of the model's own tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, first_line
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    import onnx


Shapes = Mapping[str, tuple[int | str, ...]]
"""Input name → its shape; a name in place of a number is a dimension left open."""


class OnnxRuntimeBackend(Backend):
    """An ONNX file at one input shape."""

    concurrent = True  # «InferenceSession::Run() is guaranteed to be thread-safe» (microsoft/onnxruntime, #19301)

    def __init__(self, path: Path, *, shapes: Shapes | None = None, threads: int | None = None) -> None:
        """Load the model.

        Args:
            path: the ONNX file.
            shapes: those of the inputs by name, for a model whose sizes may be changed; None keeps the file's, with an
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
            model = _at_shapes(path, shapes) if shapes else str(path)
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


_DTYPES = {"float": "float32", "double": "float64"}
"""Where ONNX Runtime calls a type otherwise than NumPy does."""


def _spec(node: Any, *, batch: int) -> TensorSpec:
    shape = tuple(batch if index == 0 and not isinstance(size, int) else size for index, size in enumerate(node.shape))
    kind = str(node.type).removeprefix("tensor(").removesuffix(")")
    return TensorSpec(node.name, _DTYPES.get(kind, kind), shape)


def _at_shapes(path: Path, shapes: Shapes) -> bytes:
    import onnx

    model = onnx.load(path)
    set_input_shapes(model, shapes)
    return bytes(model.SerializeToString())


def set_input_shapes(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Give a model other input shapes, in place; sizes that follow from them are left for others to infer."""
    from onnx import helper

    graph = model.graph
    for source in graph.input:
        if source.name in shapes:
            kind = source.type.tensor_type.elem_type
            source.CopyFrom(helper.make_tensor_value_info(source.name, kind, list(shapes[source.name])))
    del graph.value_info[:]
    for output in graph.output:
        for dimension in output.type.tensor_type.shape.dim:
            dimension.Clear()
