"""Descriptors of the neural compute engine: what a hardware stage tells the chip to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from oakpoint.errors import BlobError
from oakpoint.myriad.format import NceMode, NceOperation, PadSide, PoolKind
from oakpoint.myriad.reader import Reader

MIN_DESCRIPTOR_BYTES = 4 * 16
"""Words of the shortest descriptor, a convolution without options."""

ABSENT = -1
"""Index of a buffer that an operation does without."""


@dataclass(frozen=True, slots=True)
class Relu:
    """Activation of the engine: ``y * positive_factor`` above the threshold, ``y * negative_factor`` elsewhere."""

    threshold: int
    negative_factor: int
    positive_factor: int


@dataclass(frozen=True, slots=True)
class FullyConnectedRange:
    """Which inputs and outputs a fully connected operation covers, and whether it adds to what is there."""

    input_offset: int
    input_count: int
    output_offset: int
    output_count: int
    accumulate: bool


@dataclass(frozen=True, slots=True)
class NceDescriptor:
    """One operation of the engine.

    Attributes:
        operation: what it does.
        mode: how the multipliers are shared out.
        pool_kind: for pooling only.
        padded: whether the operation pads; ``pad_sides`` says where.
        input, output, weights, bias, scale: indices into the stage's buffers; ``ABSENT`` for none.
        channel_offset, channel_count: which output channels are computed.
        kernel_x, kernel_y, stride: in pixels of the input.
        pool_x, pool_y: window of the pooling behind a convolution.
        relu, clamp: activation; the clamp is to ``[0, clamp]``.
        fully_connected: for a fully connected operation only.
        reuse_data, reuse_weights: what stays in the engine from the operation before.
    """

    operation: NceOperation
    mode: NceMode
    pool_kind: PoolKind | None
    padded: bool
    pad_sides: PadSide
    input: int
    output: int
    weights: int
    bias: int
    scale: int
    channel_offset: int
    channel_count: int
    kernel_x: int
    kernel_y: int
    stride: int
    pool_x: int
    pool_y: int
    relu: Relu | None
    clamp: float | None
    fully_connected: FullyConnectedRange | None
    reuse_data: bool
    reuse_weights: bool


_Named = TypeVar("_Named", NceOperation, NceMode, PoolKind, PadSide)


def _named(kind: type[_Named], value: int) -> _Named:
    try:
        return kind(value)
    except ValueError as error:
        raise BlobError(f"unknown {kind.__name__} {value} in a hardware descriptor") from error


def read_descriptor(reader: Reader) -> NceDescriptor:
    """Read one descriptor.

    Raises:
        BlobError: an unknown operation, mode or pooling, or the words end early.
    """
    operation = _named(NceOperation, reader.u32())
    pool_kind = _named(PoolKind, reader.u32()) if operation is NceOperation.POOL else None
    mode = _named(NceMode, reader.u32())
    padded = bool(reader.u32())
    pad_sides = _pad_sides(reader.u32()) if padded else PadSide.ALL
    source, target, weights, bias, scale = (reader.i32() for _ in range(5))
    fully_connected = None
    channel_offset = channel_count = 0
    kernel_x = kernel_y = stride = 1
    if operation is NceOperation.FULLY_CONNECTED:
        words = reader.words(5)
        fully_connected = FullyConnectedRange(words[0], words[1], words[2], words[3], bool(words[4]))
    else:
        channel_offset, channel_count, kernel_x, kernel_y, stride = reader.words(5)
        if min(channel_count, kernel_x, kernel_y, stride) < 1:
            raise BlobError("a hardware descriptor has no channels, kernel or stride")
    pool_x, pool_y = reader.words(2) if operation is NceOperation.CONV_POOL else (1, 1)
    if min(pool_x, pool_y) < 1:
        raise BlobError("a hardware descriptor has an empty pooling window")
    relu = Relu(reader.i32(), reader.i32(), reader.i32()) if reader.u32() else None
    clamp = reader.f32() if reader.u32() else None
    reuse_data, reuse_weights = reader.words(2)
    return NceDescriptor(
        operation, mode, pool_kind, padded, pad_sides, source, target, weights, bias, scale, channel_offset,
        channel_count, kernel_x, kernel_y, stride, pool_x, pool_y, relu, clamp, fully_connected, bool(reuse_data),
        bool(reuse_weights),
    )  # fmt: skip


def _pad_sides(value: int) -> PadSide:
    if value > int(PadSide.LEFT | PadSide.TOP | PadSide.BOTTOM | PadSide.RIGHT):
        raise BlobError(f"unknown sides {value:#x} of padding in a hardware descriptor")
    return PadSide(value)
