"""The protocol behind which every runtime stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.bundle.records import TensorSpec
from oakpoint.errors import BackendError

Tensors = dict[str, NDArray[Any]]


class Backend(ABC):
    """A loaded model that turns named tensors into named tensors; it knows nothing of keypoints.

    A backend is made for one input shape. It is a context manager; ``close`` frees what the runtime holds.

    Attributes:
        description: runtime, version, device and precision, for people.
        inputs: the tensors that ``run`` takes.
        outputs: the tensors that ``run`` gives; names and types, with sizes where the model fixes them.
    """

    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run the model once.

        Args:
            tensors: one array for each input, of exactly its type and shape, in any memory layout; left unchanged.

        Returns:
            One new array for each output, by name; floating-point outputs as float32.

        Raises:
            BackendError: a missing or unknown name, a wrong type or shape, or a failure of the runtime.
        """
        if set(tensors) != {spec.name for spec in self.inputs}:
            expected = ", ".join(spec.name for spec in self.inputs)
            raise BackendError(f"{self.description}: expected inputs {expected}, got {', '.join(tensors) or 'none'}")
        for spec in self.inputs:
            array = tensors[spec.name]
            if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
                raise BackendError(
                    f"{self.description}: input {spec.name}: expected {spec.dtype} {spec.shape}, "
                    f"got {array.dtype} {array.shape}"
                )
        return self._run({name: np.ascontiguousarray(array) for name, array in tensors.items()})

    @abstractmethod
    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run the model on inputs that were checked and are C-contiguous."""

    def close(self) -> None:  # noqa: B027 - most runtimes have nothing to free by hand
        """Free what the runtime holds; the backend is not used afterwards."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
