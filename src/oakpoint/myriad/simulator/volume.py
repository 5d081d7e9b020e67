"""Pooling in three dimensions, on the SHAVEs: batch, channels, depth, rows, columns.

Convolutions and all other poolings in three dimensions are compiled to ones in two, whose results are put together.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import VolumePooling
from oakpoint.myriad.parameters import PoolNdParameters
from oakpoint.myriad.simulator.memory import Memory, store
from oakpoint.myriad.simulator.step import Step, expect

MAX_EXTENT: Final = 64
"""Elements of kernel, stride and padding along an axis, over which a blob is taken for damaged."""

Extents: TypeAlias = tuple[int, int, int]


def mean_of_volume(stage: Stage, memory: Memory) -> Step:
    """Mean under a window, of the elements that lie in the tensor or of the whole window."""
    p = expect(stage.parameters, PoolNdParameters)
    if VolumePooling(p.method) is not VolumePooling.AVERAGE or p.interleaved:
        raise NotModelledError(f"pooling in three dimensions other than a mean is not modelled ({p})")
    kernel, before, _after, stride = _lists(p.lists)
    source, target = (memory.aligned(buffer, "NCDHW") for buffer in (stage.inputs[0], stage.outputs[0]))
    if source.shape[:2] != target.shape[:2]:
        raise BlobError(f"pooling of {stage.inputs[0]} into {stage.outputs[0]}")
    output = (target.shape[2], target.shape[3], target.shape[4])
    after = [
        (n - 1) * step + reach - size - first
        for n, step, reach, size, first in zip(output, stride, kernel, source.shape[2:], before, strict=True)
    ]
    if min(*kernel, *stride) < 1 or max(*kernel, *stride, *before, *after) > MAX_EXTENT:
        raise BlobError(f"pooling with {p} of {stage.inputs[0]} into {stage.outputs[0]}")
    border = [(first, max(last, 0)) for first, last in zip(before, after, strict=True)]

    def sums(volume: NDArray[np.float64]) -> NDArray[np.float64]:
        padded = np.pad(volume, [(0, 0), (0, 0), *border])
        total = np.zeros((*volume.shape[:2], *output))
        for place in np.ndindex(*kernel):
            spans = zip(place, output, stride, strict=True)
            z, y, x = (slice(first, first + (n - 1) * step + 1, step) for first, n, step in spans)
            total += padded[:, :, z, y, x]
        return total

    counted = sums(np.ones((1, 1, *source.shape[2:]))) if p.exclude_pad else np.prod(kernel)
    return lambda: store(target, (sums(source.astype(np.float64)) / np.maximum(counted, 1)).astype(np.float32))


def _lists(words: tuple[int, ...]) -> tuple[Extents, ...]:
    """The four lists of a stage in three dimensions, each as depth, rows, columns."""
    if any(words[4 * k] != 3 for k in range(4)):
        raise NotModelledError(f"a window of {words[0]} dimensions is not modelled")
    return tuple((words[4 * k + 3], words[4 * k + 2], words[4 * k + 1]) for k in range(4))
