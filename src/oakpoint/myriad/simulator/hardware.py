"""Stages of the neural compute engine: convolution, convolution with pooling, pooling, fully connected.

What the engine does is taken from what the compiler asks of it: weights are FP16 in blocks of eight output channels,
``[oc/8][ic][ky·kx][oc%8]``, multiplied beforehand by a power of two that the scales take back; sums are taken as FP32
(an assumption, the chip's adder is not documented) and rounded once, behind bias, scale and activation.

Source: ``src/middleend/passes/hw_conv_tiling.cpp``, ``hw_padding.cpp``, ``hw_pooling_tiling.cpp`` and
``src/stages/mx_stage.cpp`` of OpenVINO's ``graph_transformer``, tag 2021.3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import Location, NceMode, NceOperation, PadSide, PoolKind
from oakpoint.myriad.nce import ABSENT, NceDescriptor
from oakpoint.myriad.simulator.convolve import Window, convolve, pool_average, pool_maximum
from oakpoint.myriad.simulator.memory import Array, Memory, store
from oakpoint.myriad.simulator.step import Step
from oakpoint.myriad.tensors import Buffer
from oakpoint.myriad.weights import from_engine


@dataclass(slots=True)
class WeightCache:
    """Unpacked weights by place and shape: the tiles of one layer share them."""

    entries: dict[tuple[object, ...], tuple[NDArray[np.float64], NDArray[np.intp]]] = dataclasses.field(
        default_factory=dict
    )


def prepare_hardware(stage: Stage, memory: Memory, cache: WeightCache) -> list[Step]:
    """The steps of a hardware stage, one for each group of descriptors that differ in their output channels only."""
    steps: list[Step] = []
    for descriptor in _merged(stage.descriptors):
        if descriptor.operation is NceOperation.FULLY_CONNECTED:
            raise NotModelledError("a fully connected operation of the engine is not modelled")
        if descriptor.operation is NceOperation.POOL:
            steps.append(_pool(stage, descriptor, memory))
        else:
            steps.append(_convolution(stage, descriptor, memory, cache))
    return steps


def _merged(descriptors: tuple[NceDescriptor, ...]) -> list[NceDescriptor]:
    """Join descriptors of neighbouring output channels: the same arithmetic in one product."""
    merged: list[NceDescriptor] = []
    for descriptor in descriptors:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.fully_connected is None
            and last.channel_offset + last.channel_count == descriptor.channel_offset
            and _without_channels(last) == _without_channels(descriptor)
        ):
            count = last.channel_count + descriptor.channel_count
            merged[-1] = dataclasses.replace(last, channel_count=count)
        else:
            merged.append(descriptor)
    return merged


def _without_channels(descriptor: NceDescriptor) -> NceDescriptor:
    return dataclasses.replace(
        descriptor, channel_offset=0, channel_count=1, mode=NceMode.MODE_1X256, reuse_data=False, reuse_weights=False
    )


def _window(descriptor: NceDescriptor, height: tuple[int, int], width: tuple[int, int]) -> Window:
    """Geometry of an operation; ``height`` and ``width`` are those of input and output."""
    ky, kx, stride = descriptor.kernel_y, descriptor.kernel_x, descriptor.stride
    top = _pad_before(descriptor, ky, PadSide.TOP, (height[1] - 1) * stride + ky - height[0])
    left = _pad_before(descriptor, kx, PadSide.LEFT, (width[1] - 1) * stride + kx - width[0])
    return Window(ky, kx, stride, stride, top, left)


def _pad_before(descriptor: NceDescriptor, kernel: int, side: PadSide, total: int) -> int:
    """Pixels of padding above or left.

    A padded convolution has half a kernel; maximum pooling names the sides, on which it repeats the edge; average
    pooling has half a kernel where the sizes ask for it.
    """
    if not descriptor.padded:
        return 0
    if descriptor.pool_kind is PoolKind.MAX:
        return kernel // 2 if descriptor.pad_sides & side else 0
    if descriptor.pool_kind is PoolKind.AVERAGE:
        return kernel // 2 if total >= kernel // 2 else 0
    return kernel // 2


def _unpacked(buffer: Buffer, memory: Memory, taps: int) -> NDArray[np.float64]:
    """Weights (O, C · ky · kx) of a convolution."""
    weights = from_engine(memory.view(buffer), taps)
    return weights.reshape(len(weights), -1).astype(np.float64)


def _live(weights: NDArray[np.float64], channels: int, taps: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Weights of the input channels that have any, and which these are.

    The compiler fills up input channels with zero weights and lets the engine read what happens to lie there.
    """
    per_channel = weights.reshape(len(weights), -1, taps)[:, :channels]
    used = np.flatnonzero(per_channel.any(axis=(0, 2)))
    return np.ascontiguousarray(per_channel[:, used].reshape(len(weights), -1)), used


def _weights_of(
    descriptor: NceDescriptor, stage: Stage, memory: Memory, cache: WeightCache, shape: tuple[int, int]
) -> Callable[[], tuple[NDArray[np.float64], NDArray[np.intp]]]:
    """A function that gives the weights; ``shape`` is (input channels, output channels)."""
    buffer = stage.buffers[descriptor.weights]
    taps = descriptor.kernel_x * descriptor.kernel_y
    first, channels = descriptor.channel_offset, shape[0]
    last = first + shape[1]

    def unpack() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        weights = _unpacked(buffer, memory, taps)
        if last > len(weights):
            raise BlobError(f"output channels up to {last} of {len(weights)}")
        return _live(weights[first:last], channels, taps)

    if buffer.location is not Location.CONSTANT:
        return unpack
    key = (buffer.offset, buffer.layout, first, last, channels, taps)
    if key not in cache.entries:
        cache.entries[key] = unpack()
    return lambda: cache.entries[key]


def _per_channel(stage: Stage, index: int, memory: Memory, first: int, count: int) -> Array | None:
    """Bias or scale of some output channels as (count, 1, 1), or None."""
    if index == ABSENT:
        return None
    values = memory.view(stage.buffers[index]).reshape(-1)[first : first + count]
    if len(values) != count:
        raise BlobError(f"{len(values)} biases or scales for {count} channels")
    return values.astype(np.float32)[:, np.newaxis, np.newaxis]


def _activate(values: NDArray[np.float32], descriptor: NceDescriptor) -> NDArray[np.float32]:
    """Activation in place. Leaky ReLU has factor 1 below and 1/slope above, the slope being part of the scales."""
    relu = descriptor.relu
    if relu is not None:
        if (relu.threshold, relu.negative_factor, relu.positive_factor) == (0, 0, 1):
            np.maximum(values, 0, out=values)
        else:
            factors = np.where(values > relu.threshold, relu.positive_factor, relu.negative_factor)
            values *= factors.astype(np.float32)
    if descriptor.clamp is not None:
        np.clip(values, 0, descriptor.clamp, out=values)
    return values


def _convolution(stage: Stage, descriptor: NceDescriptor, memory: Memory, cache: WeightCache) -> Step:
    source = memory.nchw(stage.buffers[descriptor.input])
    target = memory.nchw(stage.buffers[descriptor.output])
    if source.shape[0] != 1 or target.shape[0] != 1:
        raise NotModelledError("a hardware convolution with a batch is not modelled")
    pool_y, pool_x = descriptor.pool_y, descriptor.pool_x
    first = descriptor.channel_offset
    count = min(descriptor.channel_count, target.shape[1] - first)
    if count < 1:
        raise BlobError(f"output channels from {first} on of {target.shape[1]}")
    height, width = target.shape[2] * pool_y, target.shape[3] * pool_x
    window = _window(descriptor, (source.shape[2], height), (source.shape[3], width))
    weights_of = _weights_of(descriptor, stage, memory, cache, (source.shape[1], count))
    bias = _per_channel(stage, descriptor.bias, memory, first, count)
    scale = _per_channel(stage, descriptor.scale, memory, first, count)
    written = target[0, first : first + count]

    def step() -> None:
        weights, used = weights_of()
        image = source[0] if len(used) == source.shape[1] else source[0][used]
        whole = np.empty((count, height, width), np.float32) if pool_x * pool_y > 1 else None

        def finish(rows: slice, values: NDArray[np.float32]) -> None:
            if bias is not None:
                values += bias
            if scale is not None:
                values *= scale
            _activate(values, descriptor)
            if whole is None:
                store(written[:, rows], values)
            else:
                whole[:, rows] = values

        convolve(image, weights, window, (height, width), finish, memory.workers)
        if whole is not None:
            blocks = whole.reshape(count, height // pool_y, pool_y, width // pool_x, pool_x)
            store(written, blocks.max(axis=(2, 4)))

    return step


def _pool(stage: Stage, descriptor: NceDescriptor, memory: Memory) -> Step:
    source = memory.nchw(stage.buffers[descriptor.input])
    target = memory.nchw(stage.buffers[descriptor.output])
    batch, channels, height, width = source.shape
    if target.shape[:2] != (batch, channels):
        raise BlobError(f"pooling of {source.shape} into {target.shape}")
    planes = range(
        descriptor.channel_offset, min(descriptor.channel_offset + descriptor.channel_count, batch * channels)
    )
    size = target.shape[2], target.shape[3]
    window = _window(descriptor, (height, size[0]), (width, size[1]))

    def step() -> None:
        for number in range(batch):
            first = max(planes.start - number * channels, 0)
            last = min(planes.stop - number * channels, channels)
            if first >= last:
                continue
            image = source[number, first:last]
            if descriptor.pool_kind is PoolKind.MAX:
                values = pool_maximum(image, window, size)
            else:
                values = pool_average(image, window, size, count_border=True)
            store(target[number, first:last], _activate(values, descriptor))

    return step
