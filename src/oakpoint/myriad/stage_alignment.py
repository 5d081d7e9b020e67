"""A stage map carried over from one blob to another of nearly the same network: compiled with a fault, say.

Names are known for the blob whose compiler told them. Another one has no names, but mostly the same stages in the same
order. The two are laid side by side; what stages of both write to tells where the tensors of one lie in the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Final

from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.stage_map import NEVER, MappedStage, MappedTensor, StageMap
from oakpoint.myriad.tensors import Buffer

_UNNAMED: Final = ""


def fits(mapped: StageMap, blob: Blob) -> bool:
    """Whether every stage of a blob that a map says writes a tensor has a buffer within that tensor's bytes."""
    tensors = {tensor.name: tensor for tensor in mapped.tensors if not tensor.copy}
    stages = list(blob.all_stages())
    if len(stages) != len(mapped.stages):
        return False
    for stage, named in zip(stages, mapped.stages, strict=True):
        written = [tensors[name] for name in named.writes if name in tensors]
        whole = [tensor for tensor in written if tensor.first_write <= named.place <= tensor.last_write]
        if stage.name != named.type or not all(any(_within(b, t.buffer) for b in stage.outputs) for t in whole):
            return False
    return True


def aligned_map(mapped: StageMap, own: Blob, other: Blob) -> StageMap:
    """The map of another blob, as far as its stages are those of the one that a map is of.

    Args:
        mapped: the map.
        own: the blob that it is of.
        other: the other one. Stages that have no counterpart get no names.

    Returns:
        A map with the tensors of which every stage that writes them is found again, at the place where all of these
        say that they lie.
    """
    mine, theirs = list(own.all_stages()), list(other.all_stages())
    places = dict(_pairs(mine, theirs))
    found = {there: mapped.stages[here] for here, there in places.items()}
    stages = tuple(_named(place, stage, found.get(place)) for place, stage in enumerate(theirs))
    tensors = (_moved(tensor, mine, theirs, places) for tensor in mapped.tensors)
    return StageMap(stages, tuple(tensor for tensor in tensors if tensor is not None))


def _pairs(mine: Sequence[Stage], theirs: Sequence[Stage]) -> Iterator[tuple[int, int]]:
    """Places of stages that do the same; and between these, of stages of one type that give as much."""
    last = (0, 0)
    for here, there in [*_same([_form(s) for s in mine], [_form(s) for s in theirs]), (len(mine), len(theirs))]:
        gaps = mine[last[0] : here], theirs[last[1] : there]
        for inner, other in _same(*([_outcome(s) for s in gap] for gap in gaps)):
            yield last[0] + inner, last[1] + other
        if here < len(mine):
            yield here, there
        last = (here + 1, there + 1)


def _same(mine: Sequence[Hashable], theirs: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    for here, there, count in SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        yield from zip(range(here, here + count), range(there, there + count), strict=True)


def _form(stage: Stage) -> tuple[object, ...]:
    """What a stage does, but for where and with which numbers."""
    shapes = tuple((buffer.layout.axes, buffer.layout.shape, buffer.layout.dtype) for buffer in stage.buffers)
    kernels = tuple((d.operation, d.mode, d.kernel_y, d.kernel_x) for d in stage.descriptors)
    return (stage.type, shapes, kernels)


def _outcome(stage: Stage) -> tuple[object, ...]:
    """What a stage puts out, and on which part of the chip."""
    return (stage.type, tuple((buffer.layout.axes, buffer.layout.shape) for buffer in stage.outputs))


def _named(place: int, stage: Stage, known: MappedStage | None) -> MappedStage:
    if known is not None:
        return replace(known, place=place, index=stage.index)
    return MappedStage(place, stage.index, False, stage.name, _UNNAMED, _UNNAMED, _UNNAMED, _UNNAMED, (), ())


def _moved(
    tensor: MappedTensor, mine: Sequence[Stage], theirs: Sequence[Stage], places: Mapping[int, int]
) -> MappedTensor | None:
    """A tensor at its place in the other blob; None where that cannot be told."""
    if tensor.last_write == NEVER:
        return tensor
    lifetime = range(tensor.first_write, tensor.last_write + 1)
    writers = [place for place in lifetime if any(_within(b, tensor.buffer) for b in mine[place].outputs)]
    if tensor.last_write not in writers or not all(place in places for place in writers):
        return None
    votes = {buffer for place in writers for buffer in _votes(tensor, mine[place], theirs[places[place]])}
    if len(votes) != 1:
        return None
    return replace(
        tensor,
        buffer=votes.pop(),
        first_write=min(places[place] for place in writers),
        last_write=max(places[place] for place in writers),
        first_read=places.get(tensor.first_read, NEVER),
        last_read=places.get(tensor.last_read, NEVER),
    )


def _votes(tensor: MappedTensor, mine: Stage, theirs: Stage) -> Iterable[Buffer]:
    """Where a tensor lies by what a stage of each blob writes of it."""
    whole = tensor.buffer
    for here, there in zip(mine.outputs, theirs.outputs, strict=True):
        if _within(here, whole) and here.layout.strides == there.layout.strides:
            offset = there.offset - (here.offset - whole.offset)
            yield replace(whole, location=there.location, index=there.index, offset=offset)


def _within(part: Buffer, whole: Buffer) -> bool:
    return (
        (part.location, part.index) == (whole.location, whole.index)
        and not part.layout.dynamic
        and whole.offset <= part.offset
        and part.offset + part.layout.extent <= whole.offset + whole.layout.extent
    )
