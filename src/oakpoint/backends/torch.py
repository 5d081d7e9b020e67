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
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, first_line
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    import torch
    from torch import nn

    from oakpoint.networks.calling import Call


_turns: WeakKeyDictionary[nn.Module, threading.Lock] = WeakKeyDictionary()
_turns_lock = threading.Lock()
_bounded_turn = threading.Lock()


class TorchBackend(Backend):
    """A torch module, whatever its ``forward`` takes and returns; see ``networks.calling`` and ``networks.outputs``.

    Backends of one module take turns, too: a network may keep something of the size that it ran at last.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[str] | Mapping[str, str] | None = None,
        threads: int | None = None,
    ) -> None:
        """Take a module.

        Args:
            module: the network; it is left in evaluation mode.
            inputs: what it takes, in the order of its ``forward``, or under the names that it has there; a network that
                takes a dict finds them under their names, a single one under the key that it asks for.
            outputs: which of its tensors are wanted; see ``outputs.chosen_outputs``. None for all, whose names are
                known after the first run.
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
        self.inputs = tuple(inputs)
        self.outputs = tuple(TensorSpec(name, "float32", ()) for name in outputs or ())
        self._wanted = outputs
        self._call: Call | None = None

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        from oakpoint.networks.calling import tried_call
        from oakpoint.networks.outputs import OutputsError, chosen_outputs

        names = [spec.name for spec in self.inputs]
        given = [self._torch.tensor(tensors[name]) for name in names]  # copies: torch has no read-only tensors
        try:
            named = logging_output_of(type(self._module).__name__)
            with self._torch.inference_mode(), self._bounded(), named:
                if self._call is None:
                    self._call, returned = tried_call(self._module, names, given)
                else:
                    returned = self._call(self._module, given)
            results = {name: self._array(tensor) for name, tensor in chosen_outputs(returned, self._wanted).items()}
        except Exception as error:
            what = "the network" if isinstance(error, OutputsError) else "the network failed:"
            raise BackendError(f"{self.description}: {what} {first_line(error)}") from error
        self.outputs = tuple(TensorSpec(name, array.dtype.name, array.shape) for name, array in results.items())
        return results

    def _array(self, tensor: torch.Tensor) -> NDArray[Any]:
        """A new array; floating point as float32."""
        return np.array((tensor.float() if tensor.is_floating_point() else tensor).numpy())

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


def peak_bytes(module: nn.Module, inputs: Mapping[str, tuple[int, ...]]) -> int | None:
    """Bytes of the tensors that are alive at once, at most, while a module runs on an image of zeros.

    Weights do not count, nor does what an operator needs within itself.

    Args:
        module: takes one float32 tensor.
        inputs: their shapes by name; the module is really run, so they should be small.

    Returns:
        The peak, the input included, and the outputs once more, of which there are copies afterwards; None where the
        module fails.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    from oakpoint.networks.calling import tried_call
    from oakpoint.networks.outputs import named_outputs

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
            _, returned = tried_call(module, list(inputs), [torch.zeros(shape) for shape in inputs.values()])
        results = list(named_outputs(returned).values())
    except Exception:  # noqa: BLE001 - whatever the user's code raises; the run itself will say it
        return None
    return peak + sum(result.nbytes for result in results)
