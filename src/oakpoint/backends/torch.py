"""PyTorch on the CPU at float32: the reference that the other stages are held against."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.records import TensorSpec
from oakpoint.errors import BackendError, first_line
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from torch import nn


_turns: WeakKeyDictionary[nn.Module, threading.Lock] = WeakKeyDictionary()
_turns_lock = threading.Lock()
_bounded_turn = threading.Lock()


class TorchBackend(Backend):
    """A torch module with one image input, and outputs that are named here in the order in which it returns them.

    Backends of one module take turns, too: a network may keep something of the size that it ran at last.
    """

    def __init__(
        self, module: nn.Module, *, input_spec: TensorSpec, output_names: Sequence[str], threads: int | None = None
    ) -> None:
        """Take a module.

        Args:
            module: the network; it is left in evaluation mode.
            input_spec: its input.
            output_names: names of the tensors that it returns.
            threads: CPU threads; None leaves torch's own setting. torch has one for the whole process: it is changed
                for each run and put back after it, and such runs come one after the other.

        Raises:
            MissingExtraError, BackendError: torch is not installed, or cannot be imported.
        """
        with importing("torch", extra="torch"):
            import torch
        self._torch = torch
        self._module = module.eval()
        self._threads = threads
        with _turns_lock:
            self._turn = _turns.setdefault(module, threading.Lock())
        self.description = f"torch {torch.__version__} CPU f32"
        self.inputs = (input_spec,)
        self.outputs = tuple(TensorSpec(name, "float32", ()) for name in output_names)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        image = self._torch.tensor(tensors[self.inputs[0].name])  # a copy: torch has no read-only tensors
        try:
            named = logging_output_of(type(self._module).__name__)
            with self._torch.inference_mode(), self._bounded(), named:
                results = self._module(image)
        except Exception as error:
            reason = first_line(error)
            raise BackendError(f"{self.description}: the network failed: {reason}") from error
        results = (results,) if isinstance(results, self._torch.Tensor) else results
        names = ", ".join(spec.name for spec in self.outputs)
        if not isinstance(results, (tuple, list)) or not all(isinstance(r, self._torch.Tensor) for r in results):
            raise BackendError(
                f"{self.description}: expected the network to return tensors ({names}), got {type(results).__name__}"
            )
        if len(results) != len(self.outputs):
            raise BackendError(
                f"{self.description}: expected {len(self.outputs)} outputs ({names}), got {len(results)}"
            )
        return {spec.name: np.array(result.float().numpy()) for spec, result in zip(self.outputs, results, strict=True)}

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        if self._threads is None:
            yield
            return
        with _bounded_turn:
            before = self._torch.get_num_threads()
            self._torch.set_num_threads(self._threads)
            try:
                yield
            finally:
                self._torch.set_num_threads(before)


def peak_bytes(module: nn.Module, input_shape: tuple[int, ...]) -> int | None:
    """Bytes of the tensors that are alive at once, at most, while a module runs on an image of zeros.

    Weights do not count, nor does what an operator needs within itself.

    Args:
        module: takes one float32 tensor.
        input_shape: of that tensor; the module is really run, so it should be small.

    Returns:
        The peak, the input included, and the outputs once more, of which there are copies afterwards; None where the
        module fails.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    weights = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    alive: Any = WeakIdKeyDictionary()  # storages, which live as long as a tensor does that views them
    peak = 0

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal peak
            results = func(*args, **(kwargs or {}))
            for result in tree_leaves(results):
                if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in weights:
                    alive[result.untyped_storage()] = result.untyped_storage().nbytes()
            peak = max(peak, sum(alive.values()))
            return results

    try:
        with logging_output_of(type(module).__name__), torch.inference_mode(), Counting():  # type: ignore[no-untyped-call]
            results = module(torch.zeros(input_shape))
    except Exception:  # noqa: BLE001 - whatever the user's code raises; the run itself will say it
        return None
    return peak + sum(result.nbytes for result in tree_leaves(results) if isinstance(result, torch.Tensor))
