"""Stages that move elements without changing them: copies, permutations, padding, nearest resize."""

from __future__ import annotations

import math

import numpy as np

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import CoordinateMode, NearestMode, PadMode
from oakpoint.myriad.parameters import (
    ConcatParameters,
    PadParameters,
    PermuteParameters,
    ResampleParameters,
    TileParameters,
    UpsamplingParameters,
)
from oakpoint.myriad.simulator.coordinates import source_coordinates
from oakpoint.myriad.simulator.memory import Array, Memory, store
from oakpoint.myriad.simulator.step import Step, expect

_PAD_MODES = {PadMode.EDGE: "edge", PadMode.REFLECT: "reflect", PadMode.SYMMETRIC: "symmetric"}


def copy(stage: Stage, memory: Memory) -> Step:
    """A transfer by DMA, element by element in memory order."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    if source.size != target.size or source.dtype != target.dtype:
        raise BlobError(f"{stage.inputs[0]} into {stage.outputs[0]}")
    if source.shape == target.shape:
        return lambda: np.copyto(target, source)
    return lambda: store(target, source.reshape(target.shape))


def permute(stage: Stage, memory: Memory) -> Step:
    """Axes in another order."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    rank = source.ndim
    order = expect(stage.parameters, PermuteParameters).order[:rank]
    if sorted(order) != list(range(rank)) or target.ndim != rank:
        raise BlobError(f"permutation {order} of {rank} axes")
    outermost_first = [rank - 1 - order[rank - 1 - k] for k in range(rank)]
    moved = source.transpose(outermost_first)
    if moved.shape != target.shape or source.dtype != target.dtype:
        raise BlobError(f"{stage.inputs[0]} into {stage.outputs[0]}")
    return lambda: np.copyto(target, moved)


def concat(stage: Stage, memory: Memory) -> Step:
    """Tensors side by side."""
    sources = [memory.view(buffer) for buffer in stage.inputs]
    target = memory.view(stage.outputs[0])
    axis = axis_of(target, expect(stage.parameters, ConcatParameters).axis)
    return lambda: store(target, np.concatenate(sources, axis))


def tile(stage: Stage, memory: Memory) -> Step:
    """A tensor repeated along an axis."""
    parameters = expect(stage.parameters, TileParameters)
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    axis = axis_of(source, parameters.axis)
    if parameters.tiles < 1 or source.size * parameters.tiles != target.size:
        raise BlobError(f"{parameters.tiles} times {stage.inputs[0]} into {stage.outputs[0]}")
    repeats = [parameters.tiles if k == axis else 1 for k in range(source.ndim)]
    return lambda: store(target, np.tile(source, repeats))


def broadcast(stage: Stage, memory: Memory) -> Step:
    """A tensor repeated to a larger shape."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    return lambda: np.copyto(target, source)


def pad(stage: Stage, memory: Memory) -> Step:
    """A tensor with a border."""
    parameters = expect(stage.parameters, PadParameters)
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    rank = source.ndim
    pairs = [(parameters.pads[2 * k], parameters.pads[2 * k + 1]) for k in range(4)]
    widths = [pairs[rank - 1 - k] if rank - 1 - k < len(pairs) else (0, 0) for k in range(rank)]
    grown = tuple(n + before + after for n, (before, after) in zip(source.shape, widths, strict=True))
    if grown != target.shape or any(pairs[k] != (0, 0) for k in range(rank, 4)):
        raise BlobError(f"{stage.inputs[0]} padded by {widths} into {stage.outputs[0]}")
    mode = PadMode(parameters.mode)
    if mode is PadMode.CONSTANT:
        return lambda: store(target, np.pad(source, widths, constant_values=parameters.value))
    return lambda: store(target, np.pad(source, widths, mode=_PAD_MODES[mode]))  # type: ignore[call-overload]


def upsampling(stage: Stage, memory: Memory) -> Step:
    """Zeros between and around the elements."""
    p = expect(stage.parameters, UpsamplingParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    if min(p.scale_x, p.scale_y, p.scale_z) < 1:
        raise BlobError(f"upsampling by {p}")
    if p.scale_z != 1 or min(p.pad_left_x, p.pad_left_y) < 0:
        raise NotModelledError(f"upsampling by {p} is not modelled: in depth, or with pixels cut off")
    rows = slice(p.pad_left_y, p.pad_left_y + (source.shape[2] - 1) * p.scale_y + 1, p.scale_y)
    columns = slice(p.pad_left_x, p.pad_left_x + (source.shape[3] - 1) * p.scale_x + 1, p.scale_x)
    inner = target[:, :, rows, columns]
    if inner.shape != source.shape:
        raise BlobError(f"{stage.inputs[0]} spread into {stage.outputs[0]}")

    def step() -> None:
        target.fill(0)
        np.copyto(inner, source)

    return step


def resample(stage: Stage, memory: Memory) -> Step:
    """Nearest resize."""
    parameters = expect(stage.parameters, ResampleParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    mode = CoordinateMode(parameters.coordinate_mode)
    rounding = NearestMode(parameters.nearest_mode)
    rows = _nearest(source.shape[2], target.shape[2], mode, rounding)
    columns = _nearest(source.shape[3], target.shape[3], mode, rounding)
    return lambda: np.copyto(target, source[:, :, rows][..., columns])


def _nearest(size: int, resized: int, mode: CoordinateMode, rounding: NearestMode) -> Array:
    """Index of the element that each element of the resized axis takes."""
    position = source_coordinates(size, resized, mode)
    if rounding is NearestMode.ROUND_PREFER_FLOOR:
        index = np.ceil(position - 0.5)
    elif rounding is NearestMode.ROUND_PREFER_CEIL:
        index = np.floor(position + 0.5)
    elif rounding is NearestMode.FLOOR or (rounding is NearestMode.SIMPLE and resized >= size):
        index = np.floor(position)
    else:
        index = np.ceil(position)
    return np.clip(index, 0, size - 1).astype(np.intp)


def axis_of(tensor: Array, innermost_first: int) -> int:
    """An axis counted from the innermost as NumPy counts it.

    Raises:
        BlobError: the tensor has no such axis.
    """
    if not 0 <= innermost_first < tensor.ndim:
        raise BlobError(f"axis {innermost_first} of a tensor of {tensor.ndim} dimensions")
    return tensor.ndim - 1 - innermost_first


def elements(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)
