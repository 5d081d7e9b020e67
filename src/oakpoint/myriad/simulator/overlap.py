"""Stages that get in each other's way in memory."""

from __future__ import annotations

import numpy as np

from oakpoint.errors import BlobError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import Location, StageType
from oakpoint.myriad.simulator.memory import Array, Memory
from oakpoint.myriad.tensors import Buffer

MAX_OVERLAP_WORK = 10_000
"""Candidates that NumPy tries before two strided tensors are compared byte by byte instead."""

_WRITTEN_MEMORIES = (Location.BSS, Location.CMX, Location.OUTPUT)


def check_overlap(stage: Stage, memory: Memory) -> None:
    """Check that a stage neither writes over its own operands nor over those of the stage injected into it.

    Element-wise stages may work in place: they read an element before they write it.

    Raises:
        BlobError: two tensors share a byte and the result depends on who comes first.
    """
    for written in stage.outputs:
        for read in stage.inputs:
            in_place = _same_place(written, read) and stage.type not in _NOT_IN_PLACE
            if not in_place and _share_bytes(written, read, memory):
                raise BlobError(f"it writes {written} over its input {read}")
    injected = stage.injected
    if injected is None:
        return
    check_overlap(injected, memory)
    for first, second in ((stage, injected), (injected, stage)):
        for written in first.outputs:
            for other in (*second.inputs, *second.outputs):
                if _share_bytes(written, other, memory):
                    raise BlobError(f"{first.name} writes {written} while {second.name} beside it uses {other}")


_NOT_IN_PLACE = frozenset({
    StageType.MYRIAD_X_HW_OP, StageType.CONV, StageType.IM2COL_CONVOLUTION, StageType.DEPTH_CONV, StageType.PERMUTE,
    StageType.DECONVOLUTION, StageType.DEPTH_DECONV, StageType.FC, StageType.GEMM, StageType.MAX_POOL,
    StageType.AVG_POOL, StageType.GATHER, StageType.GATHER_ELEMENTS, StageType.GATHER_ND, StageType.STRIDED_SLICE,
    StageType.POOL_ND, StageType.ROI_ALIGN,
})  # fmt: skip


def _same_place(first: Buffer, second: Buffer) -> bool:
    return (first.location, first.index, first.offset) == (second.location, second.index, second.offset) and (
        first.layout.strides == second.layout.strides and first.layout.shape == second.layout.shape
    )


def _share_bytes(first: Buffer, second: Buffer, memory: Memory) -> bool:
    if first.location is not second.location or first.index != second.index:
        return False
    if first.location not in _WRITTEN_MEMORIES or first.layout.dynamic or second.layout.dynamic:
        return False
    if (
        first.offset >= second.offset + second.layout.extent or second.offset >= first.offset + first.layout.extent
    ):  # the usual case, decided without a view
        return False
    a, b = memory.view(first), memory.view(second)
    try:
        return np.shares_memory(a, b, max_work=MAX_OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return bool(np.intersect1d(_addresses(first, a), _addresses(second, b)).size)


def _addresses(buffer: Buffer, view: Array) -> Array:
    """First byte of every element."""
    total = np.full((1,) * view.ndim, buffer.offset, np.int64)
    for axis, (count, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        shape = [1] * view.ndim
        shape[axis] = count
        total = total + (np.arange(count, dtype=np.int64) * stride).reshape(shape)
    return total.reshape(-1)
