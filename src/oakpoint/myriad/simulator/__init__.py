"""Executes a compiled blob on the host, stage by stage, on modelled memory.

What a run shows: the artefact as compiled, with every tile, halo, copy, address, constant and conversion, calculated to
FP16 rounding with sums taken as FP32. What it does not show: the chip's own bits, its timing, its firmware.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError, UsageError
from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.format import Location
from oakpoint.myriad.simulator.hardware import WeightCache
from oakpoint.myriad.simulator.memory import Array, Memory
from oakpoint.myriad.simulator.overlap import check_overlap
from oakpoint.myriad.simulator.prepare import prepare
from oakpoint.myriad.simulator.step import Step
from oakpoint.myriad.simulator.workers import Workers, default_threads
from oakpoint.myriad.tensors import Buffer, IoTensor
from oakpoint.threads import one_blas_thread

__all__ = ["Simulator"]


class Simulator:
    """Runs a blob. Preparing takes a fraction of a second, once; a run keeps nothing of the one before it.

    It may be called from several threads, whose runs come one after the other: there is one memory. The outputs do not
    depend on the number of threads it works with.

    Args:
        blob: the network.
        threads: to work with; by default the processors that this process may use, up to four.

    Raises:
        BlobError: a stage's shapes contradict each other, or it writes over what it or the stage beside it reads. The
            message names the stage.
        NotModelledError: the network had a batch; or a stage is of a type, or has parameters, that are not modelled.
    """

    def __init__(self, blob: Blob, *, threads: int | None = None) -> None:
        if blob.header.batch_size != 1:
            raise NotModelledError(
                f"compiled from a network with batch {blob.header.batch_size}, of which the blob runs one: "
                "export with batch 1"
            )
        self.blob = blob
        self._turn = threading.Lock()
        self._memory = Memory(blob, Workers(default_threads() if threads is None else threads))
        cache = WeightCache()
        self._steps: list[tuple[Stage, list[Step]]] = []
        for stage in blob.stages:
            with _naming(stage):
                check_overlap(stage, self._memory)
        for stage in blob.all_stages():
            with _naming(stage):
                self._steps.append((stage, prepare(stage, self._memory, cache)))
        self._inputs = {t.name: (t, self._view(t, Location.INPUT)) for t in blob.inputs}
        self._outputs = {t.name: self._view(t, Location.OUTPUT) for t in blob.outputs}

    def _view(self, tensor: IoTensor, location: Location) -> Array:
        return self._memory.view(Buffer(tensor.layout, location, 0, tensor.index))

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Execute the network.

        Args:
            inputs: for every input of the blob an array of its shape, outermost axis first, and type: uint8 for U8,
                float16 for FP16.

        Returns:
            Every output with the shape and type that the blob declares, outermost axis first. Not-a-number in it means
            memory that no stage wrote, or a calculation that left the range of FP16.

        Raises:
            UsageError: an input is missing, unknown, or of another shape or type.
            BlobError: a stage cannot be executed; the message names it.
            NotModelledError: what it computes from these values is not modelled.
        """
        return self.run_watched(inputs, lambda _place, _memory: None)

    def run_watched(
        self, inputs: Mapping[str, NDArray[np.generic]], after: Callable[[int, Memory], None]
    ) -> dict[str, NDArray[np.generic]]:
        """Execute the network, and let somebody look at the memory, or write to it, behind every stage.

        Args:
            inputs: see ``run``.
            after: called when a stage is done with its place in ``Blob.all_stages()``, where an injected stage comes
                after its host, and with the memory. ``Memory.view`` gives a tensor in place, for example that of
                ``stage_map.MappedTensor.buffer``: copy what is to be kept, since later stages use its bytes for others.
                It must not run this simulator.

        Returns:
            See ``run``.

        Raises:
            UsageError, BlobError, NotModelledError: see ``run``; and what ``after`` raises.
        """
        with self._turn, one_blas_thread():
            self._memory.clear()
            self._fill(inputs)
            for place, (stage, steps) in enumerate(self._steps):
                with _naming(stage):
                    for step in steps:
                        step()
                after(place, self._memory)
            return {name: view.copy() for name, view in self._outputs.items()}

    def _fill(self, inputs: Mapping[str, NDArray[np.generic]]) -> None:
        if set(inputs) != set(self._inputs):
            raise UsageError(f"inputs {sorted(inputs)}, the blob has {sorted(self._inputs)}")
        for name, (tensor, view) in self._inputs.items():
            values = np.asarray(inputs[name])
            if values.shape != tensor.shape or values.dtype != tensor.dtype.numpy:
                raise UsageError(
                    f"input {name!r}: {values.dtype} {values.shape}, expected {tensor.dtype.numpy} {tensor.shape}"
                )
            np.copyto(view, values)


@contextmanager
def _naming(stage: Stage) -> Iterator[None]:
    """Let an error name the stage; what NumPy finds wrong with its shapes is an error of the blob.

    Not-a-number and infinity are results here, not warnings.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except BlobError as error:
        raise type(error)(f"{stage}: {error}") from error
    except (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise BlobError(f"{stage}: its tensors do not fit together ({error})") from error
