"""A network in two: a part on the device, and a tail on the host that goes on from what the device gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.errors import BackendError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTail:
    """The host's part of a network that was cut.

    Attributes:
        path: its ONNX.
        runtime: what runs it, one of ``TAIL_RUNTIMES``.
        outputs: those of the whole network, in order: what the tail does not give, the device does.
    """

    path: Path
    runtime: str
    outputs: tuple[str, ...]


@final
class ChainedBackend(Backend):
    """Takes what the device's part takes, and gives what the whole network gives.

    Tensors that cross come as the device gives them, as float32. Outputs that the device finished pass through.
    """

    concurrent = True  # the two within take turns where they have to

    def __init__(self, device: Backend, tail: Backend, outputs: Sequence[str]) -> None:
        """Take over both, which are closed with this one.

        Args:
            device: the first part: the executed blob, the camera, or the device graph on the host.
            tail: the second.
            outputs: of the whole network, in order.

        Raises:
            BackendError: the device does not give what the tail reads, or nobody gives an output.
        """
        given = {spec.name: spec for spec in device.outputs}
        made = {spec.name: spec for spec in tail.outputs}
        if missing := [spec.name for spec in tail.inputs if spec.name not in given]:
            raise BackendError(
                f"{tail.description}: the tail reads {', '.join(missing)}, and the device gives {', '.join(given)}; "
                "they are not of one network: convert again"
            )
        if missing := [name for name in outputs if name not in given and name not in made]:
            raise BackendError(f"neither the device nor the tail gives {', '.join(missing)}; convert again")
        self._device, self._tail, self._order = device, tail, tuple(outputs)
        self.description = f"{device.description}, then {tail.description}"
        self.inputs = device.inputs
        self.outputs = tuple(made.get(name) or given[name] for name in outputs)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        return self.finish(self._device.run(tensors))

    def finish(self, given: Mapping[str, NDArray[Any]]) -> Tensors:
        """The network's outputs, of what its first part gave.

        Raises:
            BackendError: see ``Backend.run``.
        """
        return finished(given, self._tail, self._order)

    def close(self) -> None:
        """Free what both hold."""
        try:
            self._device.close()
        finally:
            self._tail.close()


def finished(given: Mapping[str, NDArray[Any]], tail: Backend, outputs: Sequence[str]) -> Tensors:
    """The outputs of a network of what its first part gave.

    Args:
        given: the first part's tensors by name.
        tail: the second part.
        outputs: of the whole network, in order.

    Raises:
        BackendError: something is missing, or see ``Backend.run``.
    """
    if missing := [spec.name for spec in tail.inputs if spec.name not in given]:
        raise BackendError(f"{tail.description}: expected the tensors {', '.join(missing)} of the device, got none")
    made = tail.run({spec.name: np.asarray(given[spec.name], spec.dtype) for spec in tail.inputs})
    return {name: made[name] if name in made else given[name] for name in outputs}


def open_tail(path: Path, runtime: str, *, threads: int | None = None) -> Backend:
    """Load a tail.

    Args:
        path: its ONNX, whose inputs have fixed sizes.
        runtime: one of ``TAIL_RUNTIMES``.
        threads: CPU threads; None lets the runtime choose.

    Raises:
        UsageError: another runtime.
        BackendError: it cannot load the tail.
    """
    return _OPENED[_known(runtime)](path, threads)


def open_first_tail(path: Path) -> tuple[str, Backend]:
    """Load a tail in the first runtime that takes it, and tell which that is.

    Raises:
        BackendError: none takes it; the message has what each of them says.
    """
    reasons: list[str] = []
    for runtime in TAIL_RUNTIMES:
        opened = _tried(path, runtime, reasons)
        if opened is not None:
            return runtime, opened
    raise BackendError(f"no runtime of the host takes the rest of the network: {'; '.join(reasons)}")


def _tried(path: Path, runtime: str, reasons: list[str]) -> Backend | None:
    try:
        return open_tail(path, runtime)
    except BackendError as error:
        reasons.append(str(error).replace(str(path), "the tail"))
        return None


def _known(runtime: str) -> str:
    if runtime not in TAIL_RUNTIMES:
        raise UsageError(f"host tail: expected one of {', '.join(TAIL_RUNTIMES)} to run it, got {runtime!r}")
    return runtime


def _open_onnxruntime(path: Path, threads: int | None) -> Backend:
    from oakpoint.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, threads=threads)


def _open_openvino(path: Path, threads: int | None) -> Backend:
    from oakpoint.backends.openvino import OpenVinoBackend

    return OpenVinoBackend(path, threads=threads)


_OPENED: dict[str, Callable[[Path, int | None], Backend]] = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
}

TAIL_RUNTIMES = tuple(_OPENED)
"""What runs a tail, in the order in which they are tried when one is made."""
