"""Which layer each stage of a blob is of, and where each tensor of the network lies in the chip's memory.

A blob has numbers only; :mod:`oakpoint.myriad.mapping` takes the names from the compiler. Places of stages are those in
``Blob.all_stages()``: an injected stage comes after its host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oakpoint.errors import StageMapError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import Location
from oakpoint.myriad.tensors import Buffer

NEVER: Final = -1
"""Place of a stage that there is none of: a network's input is written by none, its output read by none."""

MEMORIES: Final = (Location.INPUT, Location.OUTPUT, Location.BSS, Location.CMX)
"""Where tensors lie that a network computes, or is given."""


@dataclass(frozen=True, slots=True)
class MappedStage:
    """A stage of a blob by the names of the network.

    Attributes:
        place: in ``Blob.all_stages()``.
        index: of the stage in the blob; an injected one has its host's.
        injected: whether it runs inside a hardware stage.
        type: of the stage, as the blob's reader names it.
        name: the compiler's own: the layer's, and behind each ``@`` what became of it.
        layer: the layer of the device graph, by the name of a tensor that it puts out where the compiler kept that;
            empty for what the compiler added at the network's borders.
        layer_type: its type as the compiler names it.
        tile: which part of the layer it computes, ``"soh=05/11 sow=02/03"`` (of rows and columns); empty for all.
        reads, writes: tensors of the network of which it reads or writes a part or all, as far as they have names.
    """

    place: int
    index: int
    injected: bool
    type: str
    name: str
    layer: str
    layer_type: str
    tile: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of the network that lies whole in memory, for a part of the run: other tensors take its bytes later.

    Attributes:
        name: in the device graph.
        copy: the compiler's name of a further copy of it, in another type or place; empty for the tensor itself.
        buffer: type, shape and strides with the axes as in the ONNX tensor, and where it lies.
        first_write, last_write: places of the first and last stage that write any part of it; ``NEVER`` for an input.
            It holds the tensor from then on until at least the last stage that reads it.
        first_read, last_read: places of the first and last stage that read any part of it; ``NEVER`` for an output.
            A tensor that others are put together with may be read in part before all of it is written.
    """

    name: str
    copy: str
    buffer: Buffer
    first_write: int
    last_write: int
    first_read: int
    last_read: int


@dataclass(frozen=True, slots=True)
class StageMap:
    """Names of a blob's stages, and places of the network's tensors.

    A layer of the network whose name no stage and no tensor has was computed together with another one: of a
    convolution with its ReLU only the ReLU's tensor exists. And a tensor that is computed and used up in tiles never
    lies whole in memory.

    Attributes:
        stages: one for each of ``Blob.all_stages()``.
        tensors: those that lie whole in memory, in the order in which they are written.
    """

    stages: tuple[MappedStage, ...]
    tensors: tuple[MappedTensor, ...]

    def tensor(self, name: str) -> MappedTensor | None:
        """The tensor itself by its name in the device graph; None where it never lies whole in memory."""
        return next((tensor for tensor in self.tensors if tensor.name == name and not tensor.copy), None)


def check_stage_map(mapped: StageMap, blob: Blob) -> None:
    """Check that a map is of a blob: as many stages of the same types, and every tensor within its memory.

    Raises:
        StageMapError: it is not.
    """
    stages = [(place, stage.index, stage.name) for place, stage in enumerate(blob.all_stages())]
    if [(stage.place, stage.index, stage.type) for stage in mapped.stages] != stages:
        raise StageMapError(f"the stage map is of another blob: this one has {len(stages)} stages, or others")
    for tensor in mapped.tensors:
        buffer = tensor.buffer
        size = blob.memory_size(buffer.location, buffer.index)
        if buffer.offset < 0 or buffer.offset + buffer.layout.extent > size:
            raise StageMapError(f"the stage map is of another blob: {tensor.name!r} leaves its memory of {size} bytes")
        places = (tensor.first_write, tensor.last_write, tensor.first_read, tensor.last_read)
        if any(not NEVER <= place < len(stages) for place in places):
            raise StageMapError(f"the stage map is of another blob: {tensor.name!r} is of stages that it lacks")


def same_stages(first: Blob, second: Blob) -> bool:
    """Whether two blobs have the same stages with the same buffers in the same places; their constants may differ."""
    return first.data == second.data or _plan(first) == _plan(second)


def _plan(blob: Blob) -> list[tuple[int, int, list[Buffer]]]:
    return [
        (stage.index, stage.type, [buffer for buffer in stage.buffers if buffer.location in MEMORIES])
        for stage in blob.all_stages()
    ]
