"""The FP16 constants that a blob's stages use: weights in a network's order, and vectors, each value with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.format import DataType, Location, NceOperation, StageType
from oakpoint.myriad.nce import ABSENT, NceDescriptor
from oakpoint.myriad.parameters import ConvParameters, DeconvParameters
from oakpoint.myriad.tensors import Buffer
from oakpoint.myriad.weights import (
    DEPTHWISE_ORDER,
    TRANSPOSED_ORDER,
    from_engine,
    from_fully_connected,
    from_shave,
    shave_order,
    transposed_depthwise_order,
)

Half = NDArray[np.float16]
Places = NDArray[np.int64]
_Arranged = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers that a stage uses, as they are stored.

    Attributes:
        stage: which stage, for people.
        values: the numbers.
        places: of each its first byte in the constant section; the same shape.
    """

    stage: str
    values: Half
    places: Places


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a convolution or matrix product, with what the engine applies to its sums.

    Attributes:
        kernel: (O, C, K): output channels that are computed, input channels that are read, kernel elements.
        bias: (O,), added to the sums; None for none.
        scale: (O,), multiplied with them then; None for none.
        factor: what the engine's activation multiplies positive values with.
    """

    kernel: Values
    bias: Values | None = None
    scale: Values | None = None
    factor: int = 1


@dataclass(frozen=True, slots=True)
class BlobConstants:
    """All FP16 constants that stages use, each once.

    Attributes:
        weights: of convolutions and matrix products.
        vectors: of other stages: biases, scales, slopes, operands; axes as in ``Layout.axes``.
    """

    weights: tuple[Weights, ...]
    vectors: tuple[Values, ...]


def constants_of(blob: Blob) -> BlobConstants:
    """Collect the FP16 constants of a blob; what several stages or tiles share comes once.

    Raises:
        BlobError: weights that do not have the size that their stage takes.
    """
    engine: dict[object, _EngineWeights] = {}
    weights: dict[int, Weights] = {}
    vectors: dict[tuple[int, int], Values] = {}
    for stage in blob.all_stages():
        if stage.type == StageType.MYRIAD_X_HW_OP:
            for descriptor in stage.descriptors:
                _add_descriptor(engine, stage, descriptor)
            continue
        arranged = _arranged_weights(stage)
        for index, buffer in enumerate(stage.buffers):
            if not _is_half_constant(buffer):
                continue
            if arranged is not None and index == stage.roles.inputs[1]:
                weights.setdefault(buffer.offset, Weights(_values(blob, stage, arranged(_places(buffer)))))
            else:
                vectors.setdefault((buffer.offset, buffer.layout.size), _values(blob, stage, _places(buffer)))
    return BlobConstants(
        tuple(part for used in engine.values() for part in used.weights(blob)) + tuple(weights.values()),
        tuple(vectors.values()),
    )


def _is_half_constant(buffer: Buffer) -> bool:
    return buffer.location is Location.CONSTANT and buffer.layout.dtype is DataType.FP16 and not buffer.layout.dynamic


def _places(buffer: Buffer) -> Places:
    """First byte of each element, axes outermost first."""
    layout = buffer.layout
    places = np.full(layout.shape, buffer.offset, np.int64)
    for axis, (count, stride) in enumerate(zip(layout.shape, layout.strides, strict=True)):
        places += (np.arange(count) * stride).reshape([-1 if k == axis else 1 for k in range(len(layout.shape))])
    return places


def _values(blob: Blob, stage: Stage, places: Places) -> Values:
    section = np.frombuffer(blob.constants, np.uint8)
    pairs = np.stack([section[places], section[places + 1]], axis=-1)
    return Values(str(stage), np.ascontiguousarray(pairs).view("<f2")[..., 0], places)


@dataclass(slots=True)
class _EngineWeights:
    """One set of weights, bias and scales of the engine, and which of its channels stages use."""

    stage: Stage
    descriptor: NceDescriptor
    kernel: Places
    bias: Places | None
    scale: Places | None
    used: NDArray[np.bool_]

    def weights(self, blob: Blob) -> Iterator[Weights]:
        rows = np.flatnonzero(self.used)
        if self.kernel[rows].size:
            bias, scale = (
                None if places is None else _values(blob, self.stage, places[rows])
                for places in (self.bias, self.scale)
            )
            kernel = _values(blob, self.stage, self.kernel[rows])
            yield Weights(kernel, bias, scale, _factor(self.descriptor))


def _add_descriptor(engine: dict[object, _EngineWeights], stage: Stage, descriptor: NceDescriptor) -> None:
    if descriptor.operation not in (NceOperation.CONV, NceOperation.CONV_POOL):
        return
    buffer = stage.buffers[descriptor.weights]
    if not _is_half_constant(buffer):
        return
    channels = stage.buffers[descriptor.input].layout.dim("C")
    bias, scale = (_vector_of(stage, index) for index in (descriptor.bias, descriptor.scale))
    key = (
        buffer.offset, buffer.layout, channels, _factor(descriptor),
        *(None if places is None else int(places[0]) for places in (bias, scale)),
    )  # fmt: skip
    if key not in engine:
        kernel = from_engine(_places(buffer), descriptor.kernel_x * descriptor.kernel_y)[:, :channels]
        engine[key] = _EngineWeights(stage, descriptor, kernel, bias, scale, np.zeros(len(kernel), np.bool_))
    first = descriptor.channel_offset
    outputs = stage.buffers[descriptor.output].layout.dim("C")
    lengths = [len(places) for places in (bias, scale) if places is not None]
    engine[key].used[first : min(first + descriptor.channel_count, outputs, *lengths)] = True


def _factor(descriptor: NceDescriptor) -> int:
    return max(descriptor.relu.positive_factor, 1) if descriptor.relu else 1


def _vector_of(stage: Stage, index: int) -> Places | None:
    if index == ABSENT or not _is_half_constant(stage.buffers[index]):
        return None
    return _places(stage.buffers[index]).reshape(-1)


def _arranged_weights(stage: Stage) -> _Arranged | None:
    """For a stage on the SHAVEs that has weights, what brings them into the order (O, C, K)."""
    if len(stage.roles.inputs) < 2 or not stage.roles.outputs:
        return None
    source, target = stage.inputs[0].layout, stage.outputs[0].layout
    channels, outputs = source.dim("C"), target.dim("C")
    last = source.axes.endswith("C")
    parameters = stage.parameters
    if stage.type == StageType.FC:
        pixels = source.dim("H") * source.dim("W")
        return lambda packed: from_fully_connected(packed.reshape(-1), outputs, channels, pixels)
    if isinstance(parameters, DeconvParameters):
        order = TRANSPOSED_ORDER
        if stage.type == StageType.DEPTH_DECONV:
            order, channels = transposed_depthwise_order(channels_last=last), 1
    elif isinstance(parameters, ConvParameters):
        order = shave_order(parameters, channels, outputs, channels_last=last)
        if stage.type == StageType.DEPTH_CONV:
            order, channels = DEPTHWISE_ORDER, 1
    else:
        return None
    taps = parameters.kernel_x * parameters.kernel_y
    return lambda packed: from_shave(packed.reshape(-1), order, outputs, channels, taps)
