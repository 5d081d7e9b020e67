"""The memories of the chip as byte arrays, and a stage's tensors as views into them."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import Location
from oakpoint.myriad.simulator.workers import Workers
from oakpoint.myriad.tensors import Buffer

Array: TypeAlias = NDArray[Any]

UNWRITTEN: Final = 0xFF
"""Every byte of memory before it is written: as FP16 or FP32 it reads as not-a-number, which shows in the output."""


class Memory:
    """One byte array for each input, each output, the constants, BSS (DDR) and CMX.

    Reserved when constructed; the sizes were checked when the blob was read.

    Attributes:
        workers: the threads that work on it.
    """

    def __init__(self, blob: Blob, workers: Workers) -> None:
        self.workers = workers
        self._inputs = [_unwritten(tensor.layout.extent) for tensor in blob.inputs]
        self._outputs = [_unwritten(tensor.layout.extent) for tensor in blob.outputs]
        self._constants = np.frombuffer(blob.constants, np.uint8)
        self._bss = _unwritten(blob.header.bss_size)
        self._cmx = _unwritten(blob.header.cmx_size)

    def clear(self) -> None:
        """Forget everything that was written."""
        for memory in (*self._inputs, *self._outputs, self._bss, self._cmx):
            memory.fill(UNWRITTEN)

    def _bytes(self, buffer: Buffer) -> NDArray[np.uint8]:
        if buffer.location is Location.INPUT:
            return self._inputs[buffer.index]
        if buffer.location is Location.OUTPUT:
            return self._outputs[buffer.index]
        shared = {Location.CONSTANT: self._constants, Location.BSS: self._bss, Location.CMX: self._cmx}
        return shared[buffer.location]

    def view(self, buffer: Buffer) -> Array:
        """The tensor in place, axes outermost first as the buffer names them.

        Raises:
            BlobError: the operand is absent, or it leaves its memory.
            NotModelledError: its shape is known only when running.
        """
        layout = buffer.layout
        if layout.dynamic:
            raise NotModelledError("a tensor's shape is known only when running: avoid NonZero and NonMaxSuppression")
        if buffer.is_absent:
            raise BlobError("an operand is missing")
        memory = self._bytes(buffer)
        if buffer.offset + layout.extent > memory.size:
            raise BlobError(f"{buffer} leaves its memory of {memory.size} bytes")
        try:
            return np.ndarray(layout.shape, layout.dtype.numpy, memory.data, buffer.offset, layout.strides)
        except ValueError as error:
            raise BlobError(f"{buffer} cannot be addressed: {error}") from error

    def aligned(self, buffer: Buffer, axes: str) -> Array:
        """The tensor in place, with its axes in another order; an axis that it lacks has length 1.

        Raises:
            BlobError: it has an axis of more than one element that ``axes`` does not name.
            NotModelledError: that axis is the depth, of a network in three dimensions.
        """
        view = self.view(buffer)
        names = buffer.layout.axes
        extra = [i for i, name in enumerate(names) if name not in axes]
        if any(view.shape[i] != 1 and names[i] == "D" for i in extra):
            raise NotModelledError(f"{buffer}: a tensor with depth is not modelled here")
        if any(view.shape[i] != 1 for i in extra):
            raise BlobError(f"{buffer} has axes beyond {axes}")
        kept = [name for name in axes if name in names]
        view = view[tuple(0 if i in extra else slice(None) for i in range(view.ndim))]
        remaining = [name for name in names if name in axes]
        view = view.transpose([remaining.index(name) for name in kept])
        return view[tuple(slice(None) if name in names else np.newaxis for name in axes)]

    def nchw(self, buffer: Buffer) -> Array:
        """The tensor in place as batch, channels, rows, columns."""
        return self.aligned(buffer, "NCHW")


def _unwritten(size: int) -> NDArray[np.uint8]:
    return np.full(max(size, 1), UNWRITTEN, np.uint8)


def to_float(values: Array) -> NDArray[np.float32]:
    """FP32 copy of a tensor: the precision in which every stage calculates."""
    return values.astype(np.float32)


def store(target: Array, values: Array) -> None:
    """Round to the type of ``target`` and write: the one rounding of a stage.

    To FP16 it is to nearest even; what is over 65504 becomes infinite.
    """
    if values.shape != target.shape:
        values = values.reshape(target.shape)
    if target.dtype.kind in "iu" and values.dtype.kind == "f":
        limits = np.iinfo(target.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    np.copyto(target, values, casting="unsafe")
