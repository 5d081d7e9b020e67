"""The Myriad X on the host: the compiled blob, executed stage by stage by the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.records import TensorSpec
from oakpoint.errors import BackendError, BlobError, NotExecutableError, NotModelledError, UsageError
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.simulator import Simulator


class MyriadSimulatorBackend(Backend):
    """A blob with one image input; its size is fixed."""

    def __init__(self, path: Path, *, size: tuple[int, int] | None = None, threads: int | None = None) -> None:
        """Read a blob and prepare its stages.

        Args:
            path: the blob.
            size: (W, H) that it is to be run at, to be told at once when it is another; None takes the blob's.
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
        if size is not None and self.inputs[0].shape[-2:] != (size[1], size[0]):
            height, width = self.inputs[0].shape[-2:]
            raise UsageError(
                f"{path}: compiled for {width}x{height}, not for {size[0]}x{size[1]}; a blob has one size: "
                "leave out --size, or convert for another"
            )

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        try:
            results = self._simulator.run(tensors)
        except NotModelledError as error:
            raise NotExecutableError(f"{self.description}: {error}") from error
        except (BlobError, UsageError) as error:
            raise BackendError(f"{self.description}: {error}") from error
        return {name: _as_float32(result) for name, result in results.items()}


def _as_float32(array: NDArray[Any]) -> NDArray[Any]:
    """Floating-point results as float32; whole numbers, of which float32 has 24 bits only, as they are."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _spec(tensor: Any) -> TensorSpec:
    return TensorSpec(tensor.name, np.dtype(tensor.dtype.numpy).name, tuple(tensor.shape))
