"""The tensors of a blob's layers, read out of the simulator's memory when the last stage that writes one is done."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.convert.graph_edit import numbers_of
from oakpoint.errors import BlobError, NotExecutableError, NotModelledError
from oakpoint.fp16 import LARGEST
from oakpoint.layers.debug.looking import LEAST_VALUES, DamagedError, Divisible, Run, Shape
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import Location
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.simulator.memory import Memory
from oakpoint.myriad.stage_map import NEVER, MappedTensor, StageMap
from oakpoint.myriad.tensors import Buffer


@final
class BlobLayers(Divisible):
    """A blob, executed on modelled memory, with the names of the device graph that it was compiled from.

    Attributes:
        outputs_differ: what is wrong with the names and shapes of the blob's outputs; empty for nothing.
    """

    def __init__(self, blob: Blob, stages: StageMap, graph: OnnxLayers) -> None:
        """Take the blob.

        Args:
            blob: the blob.
            stages: where its tensors lie.
            graph: its device graph, which says what hangs on what.

        Raises:
            NotExecutableError: the simulator does not model all of it.
            DamagedError: it is damaged.
        """
        self._graph, self._types = graph, {tensor.name: tensor.dtype.numpy for tensor in blob.inputs}
        try:
            self._simulator = Simulator(blob)
        except NotModelledError as error:
            raise NotExecutableError(f"the simulator: {error}") from error
        except BlobError as error:
            raise DamagedError(f"the simulator: {error}") from error
        tensors = [t for t in stages.tensors if t.last_write != NEVER and not t.copy]
        outputs = dict(_outputs(blob))  # by the names that whoever reads the blob knows, whatever the map says
        tensors = [t for t in tensors if t.name not in outputs] + list(outputs.values())
        order = {
            name: place for place, name in enumerate(graph.shapes)
        }  # of those that one stage writes, parts of others
        tensors.sort(key=lambda tensor: (tensor.last_write, order.get(tensor.name, 0)))
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self.outputs_differ = _unlike(blob, graph)
        self.shapes: Mapping[str, Shape] = {
            name: shape
            for name, tensor in self._tensors.items()
            if (shape := graph.shapes.get(name)) is not None
            and math.prod(shape) >= LEAST_VALUES
            and tensor.buffer.layout.size == math.prod(shape)
            and tensor.buffer.layout.dtype.numpy == np.float16
        }

    def run(self, names: Sequence[str]) -> Run:
        """See ``Seen.run``."""
        return self.run_apart(names, ())

    def read_by(self, names: Iterable[str], given: Collection[str]) -> set[str]:
        """See ``Divisible.read_by``."""
        return self._graph.read_by(names, given)

    def run_apart(self, names: Sequence[str], given: Collection[str]) -> Run:
        """See ``Divisible.run_apart``.

        A tensor is replaced when it is whole. A stage that reads a finished part of it before that reads what was
        calculated there, from given tensors as well.
        """
        after: defaultdict[int, list[MappedTensor]] = defaultdict(list)
        for name in {*names, *given}:
            after[self._tensors[name].last_write].append(self._tensors[name])
        wanted, replaced = set(names), set(given)

        def run(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
            found: Tensors = {}

            def look(place: int, memory: Memory) -> None:
                whole = after.get(place, ())
                for tensor in whole:  # before any is replaced: one may be a part of another
                    if tensor.name in wanted:
                        view = memory.view(tensor.buffer)
                        found[tensor.name] = view.astype(np.float32).reshape(self.shapes[tensor.name])
                for tensor in whole:
                    if tensor.name in replaced:
                        view = memory.view(tensor.buffer)
                        view[...] = np.clip(tensors[tensor.name], -LARGEST, LARGEST).reshape(view.shape)

            try:
                self._simulator.run_watched({name: tensors[name] for name in self._types}, look)
            except NotModelledError as error:
                raise NotExecutableError(f"the simulator: {error}") from error
            except BlobError as error:
                raise DamagedError(f"the simulator: {error}") from error
            return found

        return run


def _outputs(blob: Blob) -> Iterator[tuple[str, MappedTensor]]:
    """The outputs of a blob by their names, each whole when the last stage has written to it."""
    for tensor in blob.outputs:
        writes = [
            place
            for place, stage in enumerate(blob.all_stages())
            for buffer in stage.outputs
            if (buffer.location, buffer.index) == (Location.OUTPUT, tensor.index)
        ]
        if writes:
            buffer = Buffer(tensor.layout, Location.OUTPUT, 0, tensor.index)
            yield tensor.name, MappedTensor(tensor.name, "", buffer, min(writes), max(writes), NEVER, NEVER)


def _unlike(blob: Blob, graph: OnnxLayers) -> str:
    """What is wrong with the names and numbers of elements of a blob's outputs."""
    expected = {value.name: math.prod(numbers_of(value) or ()) for value in graph.model.graph.output}
    got = {tensor.name: tensor.layout.size for tensor in blob.outputs}
    if expected.keys() != got.keys():
        return f"the blob puts out {', '.join(sorted(got))}, expected {', '.join(sorted(expected))}"
    wrong = (f"{n} of {got[n]:,} values, expected {expected[n]:,}" for n in sorted(got) if got[n] != expected[n])
    return "; ".join(wrong)
