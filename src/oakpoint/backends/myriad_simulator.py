"""The Myriad X on the host: the compiled blob, executed stage by stage by the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, BlobError, NotExecutableError, NotModelledError, UsageError
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.simulator import Simulator

Shapes = Mapping[str, tuple[int | str, ...]]


class MyriadSimulatorBackend(Backend):
    """A blob; its shapes are fixed."""

    def __init__(self, path: Path, *, shapes: Shapes | None = None, threads: int | None = None) -> None:
        """Read a blob and prepare its stages.

        Args:
            path: the blob.
            shapes: those of the inputs by name, to be told at once when the blob has others; None takes the blob's.
            threads: CPU threads; None takes the cores, up to four.

        Raises:
            BackendError: the file is no blob.
            NotExecutableError: it has a stage that the simulator does not model.
            UsageError: the blob is for another size.
        """
        try:
            blob = read_blob(path)
        except BlobError as error:
            raise BackendError(str(error)) from error
        try:
            self._simulator = Simulator(blob, threads=threads)
        except NotModelledError as error:
            raise NotExecutableError(f"{path}: cannot be executed: {error}") from error
        except BlobError as error:
            raise BackendError(f"{path}: cannot be executed: {error}") from error
        self.description = f"myriad simulator, {blob.header.shaves} shaves"
        self.inputs = tuple(_spec(tensor) for tensor in blob.inputs)
        self.outputs = tuple(_spec(tensor) for tensor in blob.outputs)
        for spec in self.inputs:
            _require_shape(path, spec.shape, (shapes or {}).get(spec.name, spec.shape))

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        try:
            results = self._simulator.run(tensors)
        except NotModelledError as error:
            raise NotExecutableError(f"{self.description}: {error}") from error
        except (BlobError, UsageError) as error:
            raise BackendError(f"{self.description}: {error}") from error
        return {name: _as_float32(result) for name, result in results.items()}


def _require_shape(path: Path, own: tuple[int | str, ...], asked: tuple[int | str, ...]) -> None:
    if own == asked:
        return
    if len(own) == len(asked) == 4 and own[:2] == asked[:2]:
        raise UsageError(
            f"{path}: compiled for {own[3]}x{own[2]}, not for {asked[3]}x{asked[2]}; a blob has one size: "
            "leave out --size, or convert for another"
        )
    raise UsageError(f"{path}: compiled for the input shape {own}, not for {asked}; convert for another")


def _as_float32(array: NDArray[Any]) -> NDArray[Any]:
    """Floating-point results as float32; whole numbers, of which float32 has 24 bits only, as they are."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _spec(tensor: Any) -> TensorSpec:
    return TensorSpec(tensor.name, np.dtype(tensor.dtype.numpy).name, tuple(tensor.shape))
