"""OpenVINO, on a device and at a precision chosen by name; neither is ever changed in silence."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.compiled_models import compiled_model
from oakpoint.backends.recycled import RecycledMemory
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, UsageError, last_line
from oakpoint.runtimes import import_openvino

_WHERE = ("Exception from", "Check '")
"""How lines of OpenVINO begin that say where it was; the reason comes after them."""

WAITING = 2
"""Results for which memory is kept besides those of the runs that go side by side: read while others are made."""

Device = Literal["CPU", "GPU", "NPU", "AUTO"]
Precision = Literal["f32", "bf16", "f16", "int8"]


class OpenVinoBackend(Backend):
    """An IR or ONNX file, compiled for one device, precision and input shape."""

    concurrent = True  # each run has a request of its own, or waits for one

    def __init__(
        self,
        path: Path,
        *,
        device: str = "CPU",
        precision: str = "f32",
        shapes: Mapping[str, tuple[int | str, ...]] | None = None,
        threads: int | None = None,
        in_flight: int = 1,
        edit: Callable[[Any], Any] | None = None,
    ) -> None:
        """Compile the model.

        Args:
            path: ``.xml`` (with its ``.bin`` beside it) or ``.onnx``.
            device: ``CPU``, ``GPU``, ``NPU`` or ``AUTO`` (OpenVINO's own choice).
            precision: of the arithmetic: ``f32``, ``bf16`` or ``f16``. Parity needs ``f32``: left alone, OpenVINO takes
                bf16 on CPUs that have it. ``int8`` runs the quantised layers of a file that has some in INT8, and the
                others in f32, or in f16 on a device without it.
            shapes: those of the inputs by name, to run at; None keeps the file's, with an open batch taken as 1.
            threads: CPU threads; None lets the runtime choose.
            in_flight: runs that go side by side, at most, on threads that are shared out to them: OpenVINO's
                ``THROUGHPUT``. 1: each on all threads, as soon as possible.
            edit: gives the ``openvino.Model`` to compile in the place of the file's, at its sizes; None: that one.

        Raises:
            UsageError: an unknown device or precision.
            BackendError: the device is not there, does not offer the precision, or the file cannot be loaded.
        """
        if device not in get_args(Device):
            raise UsageError(f"device: expected one of {', '.join(get_args(Device))}, got {device!r}")
        if precision not in get_args(Precision):
            raise UsageError(f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}")
        openvino = import_openvino()

        core = openvino.Core()
        _check_device(core, device, precision)
        hint = _of_float(core, device) if precision == "int8" else precision
        try:
            model = core.read_model(path)
            model.reshape({port: _shape(port, shapes or {}) for port in model.inputs})
            settings = configuration(device, hint, threads, in_flight)
            if edit is None:
                compiled = compiled_model(core, model, path, device, settings)
            else:
                compiled = core.compile_model(edit(model), device, settings)
            optimal = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) if in_flight > 1 else 1
        except RuntimeError as error:
            raise BackendError(
                f"{path}: OpenVINO cannot load it on {device}: {last_line(error, passing_over=_WHERE)}"
            ) from error
        side_by_side = min(optimal, in_flight)
        self._compiled, self._tensor = compiled, openvino.Tensor
        self._free = threading.BoundedSemaphore(side_by_side)
        self._requests = [_Request(compiled.create_infer_request())]
        version = openvino.__version__.split("-")[0]
        self.description = f"openvino {version} {device} {precision}"
        self.inputs = tuple(_spec(port) for port in compiled.inputs)
        self.outputs = tuple(_spec(port) for port in compiled.outputs)
        self._memory = {
            index: RecycledMemory(tuple(map(int, spec.shape)), np.float32, side_by_side + WAITING)
            for index, spec in enumerate(self.outputs)
            if spec.dtype == "float32" and all(isinstance(side, int) and side > 0 for side in spec.shape)
        }

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        try:
            with self._request() as request:
                written = self._written_by(request)
                results = request.run.infer(dict(tensors), share_inputs=True, share_outputs=True)  # copied below
                return {
                    spec.name: written[index]
                    if index in written
                    else np.array(results[index], np.float32 if spec.dtype.startswith("float") else None)
                    for index, spec in enumerate(self.outputs)
                }
        except RuntimeError as error:
            raise BackendError(
                f"{self.description}: the run failed: {last_line(error, passing_over=_WHERE)}"
            ) from error

    def _written_by(self, request: _Request) -> dict[int, NDArray[np.float32]]:
        """Arrays that a request's next run writes to, by the outputs' numbers."""
        given = {index: memory.array() for index, memory in self._memory.items()}
        for index, (array, _) in given.items():
            request.run.set_output_tensor(index, self._tensor(array, shared_memory=True))
        request.bound = [memory for _, memory in given.values()]
        return {index: array for index, (array, _) in given.items()}

    @contextlib.contextmanager
    def _request(self) -> Iterator[_Request]:
        """A request that nobody else uses meanwhile, waited for; results in its own memory are the next user's."""
        with self._free:
            try:
                request = self._requests.pop()
            except IndexError:
                request = _Request(self._compiled.create_infer_request())
            try:
                yield request
            finally:
                self._requests.append(request)


@dataclass(slots=True, eq=False)
class _Request:
    """One of OpenVINO's requests.

    Attributes:
        run: the ``openvino.InferRequest``.
        bound: the memory that it was told to write to, of which it keeps a bare pointer.
    """

    run: Any
    bound: list[NDArray[Any]] = field(default_factory=list)


_OF_OUTPUTS = "/sink_port_"
"""What OpenVINO puts behind an output's name to name the node that gives it out."""


def configuration(device: str, precision: str, threads: int | None = None, in_flight: int = 1) -> dict[str, Any]:
    """What OpenVINO is told of how to run a model."""
    configuration: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if in_flight > 1:
        configuration |= {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": in_flight}
    if threads is not None and device == "CPU":
        configuration["INFERENCE_NUM_THREADS"] = threads
        # Each process would tie its threads to the first cores, and several of them share these while others idle.
        configuration["ENABLE_CPU_PINNING"] = False
    return configuration


def _check_device(core: Any, device: str, precision: str) -> None:
    available = {name.split(".")[0] for name in core.available_devices}
    if device == "AUTO":
        return
    if device not in available:
        raise BackendError(
            f"OpenVINO finds no {device} here, only {', '.join(sorted(available))}; choose one with --device"
        )
    capabilities = set(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    wanted = {"f32": "FP32", "bf16": "BF16", "f16": "FP16", "int8": "INT8"}[precision]
    if wanted not in capabilities:
        raise BackendError(
            f"OpenVINO's {device} here does not offer {precision}; it offers "
            f"{', '.join(sorted(capabilities & {'FP32', 'BF16', 'FP16', 'INT8'}))}; choose with --precision"
        )


def _of_float(core: Any, device: str) -> str:
    """The arithmetic of what an INT8 model leaves in float: f32 wherever the device has it."""
    if device == "AUTO" or "FP32" in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        return "f32"
    return "f16"


def _shape(port: Any, shapes: Mapping[str, tuple[int | str, ...]]) -> list[int]:
    """What is asked for, or the input's own shape with what is open taken as 1."""
    asked = shapes.get(port_name(port))
    if asked is not None:
        return [side if isinstance(side, int) else 1 for side in asked]
    return [size.get_length() if size.is_static else 1 for size in port.get_partial_shape()]


def _spec(port: Any) -> TensorSpec:
    dtype = np.dtype(port.element_type.to_dtype()).name
    shape = tuple(size.get_length() if size.is_static else str(size) for size in port.partial_shape)
    return TensorSpec(port_name(port), dtype, shape)


def port_name(port: Any) -> str:
    """The model's own name of an input or output; the runtime adds those of tensors that are the same."""
    names = set(port.get_names())
    own = str(port.get_node().get_friendly_name()).rsplit(_OF_OUTPUTS, 1)[0]
    return own if own in names or not names else min(names)
