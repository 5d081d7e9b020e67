"""Stages in which many elements make one: softmax, pooling, reductions, normalisation, linear resize, the k largest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from oakpoint.errors import BlobError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import CoordinateMode, StageType
from oakpoint.myriad.parameters import (
    AxisParameters,
    InterpParameters,
    LrnParameters,
    MvnParameters,
    NormalizeParameters,
    PoolParameters,
    TopKParameters,
)
from oakpoint.myriad.simulator.arrange import axis_of
from oakpoint.myriad.simulator.convolve import Window, pool_average, pool_maximum
from oakpoint.myriad.simulator.coordinates import source_coordinates
from oakpoint.myriad.simulator.memory import Array, Memory, store, to_float
from oakpoint.myriad.simulator.step import Step, expect

_S = StageType


def softmax(stage: Stage, memory: Memory) -> Step:
    """Exponentials along an axis, divided by their sum."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    axis = axis_of(source, expect(stage.parameters, AxisParameters).axis)

    def step() -> None:
        values = to_float(source)
        powers = np.exp(values - values.max(axis, keepdims=True))
        store(target, powers / powers.sum(axis, keepdims=True))

    return step


def pool(stage: Stage, memory: Memory) -> Step:
    """Largest or mean value under a window."""
    p = expect(stage.parameters, PoolParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    if source.shape[:2] != target.shape[:2]:
        raise BlobError(f"pooling of {stage.inputs[0]} into {stage.outputs[0]}")
    window = Window(p.kernel_y, p.kernel_x, p.stride_y, p.stride_x, p.pad_top, p.pad_left)
    size = target.shape[2], target.shape[3]

    def step() -> None:
        for number in range(len(source)):
            if stage.type == _S.AVG_POOL:
                values = pool_average(source[number], window, size, count_border=not p.exclude_pad)
            else:
                values = pool_maximum(source[number], window, size)
            store(target[number], values)

    return step


_REDUCTIONS: Final[dict[int, Callable[..., Array]]] = {
    _S.REDUCE_MIN: np.min,
    _S.REDUCE_MAX: np.max,
    _S.REDUCE_SUM: np.sum,
    _S.REDUCE_MEAN: np.mean,
    _S.REDUCE_AND: np.all,
}


def reduction(stage: Stage, memory: Memory) -> Step:
    """Sum, mean, extreme over axes that a constant names, counted from the innermost."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    named = memory.view(stage.inputs[1]).reshape(-1).tolist()
    axes = tuple(axis_of(source, int(axis)) for axis in named)
    function = _REDUCTIONS[stage.type]
    working = np.float64 if source.dtype.kind == "f" else np.int64
    kept = [1 if k in axes else n for k, n in enumerate(source.shape)]
    if len(set(axes)) != len(axes) or np.prod(kept) != target.size:
        raise BlobError(f"reduction of {stage.inputs[0]} over axes {named} into {stage.outputs[0]}")
    return lambda: store(target, np.asarray(function(source.astype(working), axis=axes)).astype(_rounded(working)))


def _rounded(working: type[np.generic]) -> type[np.generic]:
    return np.float32 if working is np.float64 else working


def normalize(stage: Stage, memory: Memory) -> Step:
    """L2 normalisation over the channels, or over all elements, with a scale."""
    p = expect(stage.parameters, NormalizeParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    scale = memory.view(stage.inputs[1]).reshape(1, -1, 1, 1).astype(np.float32)
    axes = (1, 2, 3) if p.across_spatial else (1,)

    def step() -> None:
        values = to_float(source)
        norm = np.sqrt(np.square(values).sum(axes, keepdims=True) + np.float32(p.epsilon))
        store(target, values / norm * (scale[:, :1] if p.channel_shared else scale))

    return step


def mean_variance(stage: Stage, memory: Memory) -> Step:
    """Mean taken off and divided by the deviation, for each channel or over all."""
    p = expect(stage.parameters, MvnParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    axes = (1, 2, 3) if p.across_channels else (2, 3)

    def step() -> None:
        values = to_float(source)
        centred = values - values.mean(axes, keepdims=True)
        if p.normalize_variance:
            deviation = np.sqrt(np.square(centred).mean(axes, keepdims=True))
            centred = centred / (deviation + np.float32(p.epsilon))
        store(target, centred)

    return step


def local_response(stage: Stage, memory: Memory) -> Step:
    """Every element divided by a power of the mean square of its neighbours among the channels."""
    p = expect(stage.parameters, LrnParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    channels = source.shape[1]

    def step() -> None:
        values = to_float(source)
        squares = np.zeros((values.shape[0], channels + 1, *values.shape[2:]), np.float64)
        np.cumsum(np.square(values, dtype=np.float64), axis=1, out=squares[:, 1:])
        last = np.minimum(np.arange(channels) + p.size // 2 + 1, channels)
        first = np.maximum(np.arange(channels) - (p.size - 1) // 2, 0)
        around = squares[:, last] - squares[:, first]
        store(target, (values / np.power(p.k + p.alpha / p.size * around, p.beta)).astype(np.float32))

    return step


def top_k(stage: Stage, memory: Memory) -> Step:
    """The k largest or smallest along an axis and their indices; of equal ones the lowest index comes first."""
    p = expect(stage.parameters, TopKParameters)
    source = memory.view(stage.inputs[0])
    axis = axis_of(source, p.axis)
    targets = [memory.view(buffer) for buffer in stage.outputs]

    def step() -> None:
        count = targets[0].shape[axis]
        values = source.astype(np.float64)
        order = np.argsort(values if p.mode else -values, axis, kind="stable")
        chosen = np.take(order, np.arange(count), axis)
        if p.sort == 2:
            chosen = np.sort(chosen, axis)
        remaining = iter(targets)
        if p.values:
            store(next(remaining), np.take_along_axis(source, chosen, axis))
        if p.indices:
            store(next(remaining), chosen)

    return step


def interpolate(stage: Stage, memory: Memory) -> Step:
    """Linear resize of rows and columns."""
    p = expect(stage.parameters, InterpParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    mode = CoordinateMode.ALIGN_CORNERS if p.align_corners else CoordinateMode(p.coordinate_mode)
    rows = _linear(source.shape[2], target.shape[2], mode)
    columns = _linear(source.shape[3], target.shape[3], mode)

    def step() -> None:
        values = source.astype(np.float64)
        values = values[:, :, rows[0]] * (1 - rows[2][:, None]) + values[:, :, rows[1]] * rows[2][:, None]
        values = values[..., columns[0]] * (1 - columns[2]) + values[..., columns[1]] * columns[2]
        store(target, values.astype(np.float32))

    return step


def _linear(size: int, resized: int, mode: CoordinateMode) -> tuple[Array, Array, Array]:
    """Index before, index behind, and weight of the one behind, for each element of the resized axis."""
    position = np.clip(source_coordinates(size, resized, mode), 0, size - 1)
    before = np.floor(position).astype(np.intp)
    return before, np.minimum(before + 1, size - 1), position - before
