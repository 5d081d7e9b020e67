"""The protocol behind which every runtime stands."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError

if TYPE_CHECKING:
    from typing_extensions import Self

Tensors = dict[str, NDArray[Any]]


class Backend(ABC):
    """A loaded model that turns named tensors into named tensors; it knows nothing of keypoints.

    A backend is made for one input shape. It is a context manager; ``close`` frees what the runtime holds.

    ``run`` may be called from several threads, and gives each of them what it would have got alone. Runs come one after
    the other, unless the runtime is ``concurrent``; a backend for each thread lets them run side by side. ``close``
    comes when no run is under way.

    Attributes:
        description: runtime, version, device and precision, for people.
        inputs: the tensors that ``run`` takes.
        outputs: the tensors that ``run`` gives; names and types, with sizes where the model fixes them.
        concurrent: whether the runtime itself takes several runs of a model at a time, each with memory of its own; a
            run that comes when it has as many as it takes waits for its turn.
    """

    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    concurrent: ClassVar[bool] = False
    _turn: threading.Lock

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """With its lock from the start, whatever a backend's own ``__init__`` does."""
        backend = super().__new__(cls)
        backend._turn = threading.Lock()
        return backend

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
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        if self.concurrent:
            return self._run(contiguous)
        with self._turn:
            return self._run(contiguous)

    @abstractmethod
    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run the model on inputs that were checked and are C-contiguous; in one thread at a time, see ``concurrent``.

        What it gives is nothing that a later run writes to.
        """

    def close(self) -> None:  # noqa: B027 - most runtimes have nothing to free by hand
        """Free what the runtime holds; the backend is not used afterwards."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
