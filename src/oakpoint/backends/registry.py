"""Backends by name, and what each of them runs from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oakpoint.backends.base import Backend
from oakpoint.backends.batched import BatchedBackend
from oakpoint.backends.chained import ChainedBackend, HostTail, open_tail
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

INT8 = "int8"
"""The precision of which a model has a form of its own."""

BACKENDS = ("torch", "onnxruntime", "openvino", "myriad_simulator")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """The forms in which a model is at hand; a backend takes the one it runs.

    Attributes:
        module: the torch module.
        outputs: which of what the module returns is wanted, see ``networks.outputs.chosen_outputs``.
        onnx: the ONNX file.
        ir: the IR's ``.xml``.
        blob: the Myriad X blob.
        tail: what goes on from there on the host, where the other forms are the device's part of a network alone.
    """

    module: nn.Module | None = None
    outputs: Sequence[str] | Mapping[str, str] | None = None
    onnx: Path | None = None
    ir: Path | None = None
    blob: Path | None = None
    tail: HostTail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """Where and how a model runs.

    Attributes:
        backend: one of ``BACKENDS``.
        device: of OpenVINO: ``CPU``, ``GPU``, ``NPU`` or ``AUTO``; the others run on the CPU only.
        precision: of OpenVINO's arithmetic: ``f32``, ``bf16``, ``f16``, or ``int8`` for a bundle's INT8 model; the
            others run as they are.
        threads: CPU threads; None lets the runtime choose.
        in_flight: runs that are to go side by side, where the backend can have them so (OpenVINO): each takes longer,
            and all of them together less. 1: each as soon as possible.
        edit: of OpenVINO alone: gives the ``openvino.Model`` to compile in the place of the one that was read.

    Raises:
        UsageError: an unknown backend, a device or precision that it does not have, or fewer than one thread or run.
    """

    backend: str = "openvino"
    device: str = "CPU"
    precision: str = "f32"
    threads: int | None = None
    in_flight: int = 1
    edit: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(f"backend: expected one of {', '.join(BACKENDS)}, got {self.backend!r}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected 1 or more, got {self.threads}")
        if self.in_flight < 1:
            raise UsageError(f"in_flight: expected 1 or more, got {self.in_flight}")
        if self.backend != "openvino" and (self.device, self.precision) != ("CPU", "f32"):
            raise UsageError(
                f"backend {self.backend} runs on the CPU at its own precision, not {self.device} {self.precision}; "
                "devices and precisions are chosen with --backend openvino"
            )


def file_that_runs(source: ModelSource, backend: str) -> Path | None:
    """The file of a model that a backend reads; None for torch, and where the model is not at hand in such a form."""
    files = {"onnxruntime": source.onnx, "openvino": source.ir or source.onnx, "myriad_simulator": source.blob}
    return files.get(backend)


def open_backend(source: ModelSource, options: RuntimeOptions, inputs: Sequence[TensorSpec]) -> Backend:
    """Load a model for inputs of fixed shapes.

    Args:
        source: the model.
        options: where and how it runs.
        inputs: name, type and shape of each input, as the host's model has them; where the first dimension of the first
            is more than 1, the backend shows one image of that batch, see ``BatchedBackend``. A blob has shapes of its
            own, which have to be these.

    Raises:
        UsageError: the model is not at hand in a form that the backend runs, or a blob of another size.
        BackendError, MissingExtraError: from the backend.
    """
    opened = _open(source, options, inputs)
    if source.tail is not None:
        return with_tail(opened, source.tail, threads=options.threads)
    return BatchedBackend(opened) if _batch(inputs) > 1 else opened


def with_tail(device: Backend, tail: HostTail, *, threads: int | None = None) -> ChainedBackend:
    """A backend of the device's part, and the tail behind it; it is closed where the tail cannot be opened.

    Raises:
        BackendError: the tail cannot be loaded, or is not of the same network.
    """
    try:
        return ChainedBackend(device, open_tail(tail.path, tail.runtime, threads=threads), tail.outputs)
    except BaseException:
        device.close()
        raise


def _batch(inputs: Sequence[TensorSpec]) -> int:
    first = inputs[0].shape[0] if inputs[0].shape else 1
    return first if isinstance(first, int) else 1


def _open(source: ModelSource, options: RuntimeOptions, inputs: Sequence[TensorSpec]) -> Backend:
    if options.backend == "torch" and source.module is not None:
        from oakpoint.backends.torch import TorchBackend

        return TorchBackend(source.module, inputs=inputs, outputs=source.outputs, threads=options.threads)
    path = file_that_runs(source, options.backend)
    shapes = {spec.name: spec.shape for spec in inputs}
    if options.backend == "onnxruntime" and path is not None:
        from oakpoint.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, shapes=shapes, threads=options.threads)
    if options.backend == "openvino" and path is not None:
        from oakpoint.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(
            path,
            device=options.device,
            precision=options.precision,
            shapes=shapes,
            threads=options.threads,
            in_flight=options.in_flight,
            edit=options.edit,
        )
    if options.backend == "myriad_simulator" and path is not None:
        from oakpoint.backends.myriad_simulator import MyriadSimulatorBackend

        return MyriadSimulatorBackend(path, shapes=shapes, threads=options.threads)
    there = [name for name in ("module", "onnx", "ir", "blob") if getattr(source, name) is not None]
    if source.blob is not None:
        hint = "; a blob runs with --backend myriad_simulator"
    else:
        hint = "; give --weights for the torch backend" if options.backend == "torch" else ""
    raise UsageError(f"backend {options.backend}: the model is at hand as {', '.join(there) or 'nothing'} only{hint}")
