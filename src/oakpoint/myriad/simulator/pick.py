"""Stages that pick or place elements by index: gathers, scatters, slices with steps, one-hot."""

from __future__ import annotations

import math

import numpy as np

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.parameters import (
    AxisParameters,
    GatherElementsParameters,
    GatherNdParameters,
    OneHotParameters,
    StridedSliceParameters,
)
from oakpoint.myriad.simulator.arrange import axis_of
from oakpoint.myriad.simulator.memory import Array, Memory, store
from oakpoint.myriad.simulator.step import Step, expect


def gather(stage: Stage, memory: Memory) -> Step:
    """Elements picked by index along an axis; an index outside it, a negative one among them, picks zeros.

    The compiler passes on as they are the indices that count from the end in ONNX. Source: ``ref_gather`` in the
    vendor's own tests of this stage (``myriad_layers_reference_functions.cpp``), which fills with zeros there.
    """
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    indices = memory.view(stage.inputs[1])
    axis = axis_of(source, expect(stage.parameters, AxisParameters).axis)

    def step() -> None:
        places = indices.astype(np.int64).reshape(-1)
        outside = (places < 0) | (places >= source.shape[axis])
        picked = np.take(source, np.where(outside, 0, places), axis)
        picked[(slice(None),) * axis + (outside,)] = 0
        store(target, picked)

    return step


def gather_elements(stage: Stage, memory: Memory) -> Step:
    """Elements picked by an index tensor of the output's shape; the axis counts from the outermost."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    indices = memory.view(stage.inputs[1])
    parameters = expect(stage.parameters, GatherElementsParameters)
    if parameters.row_indices:
        raise NotModelledError("picking elements by one index for each row is not modelled")
    axis = _outermost_first(source, parameters.axis)
    _expect_within(indices, source, axis)
    if indices.shape != target.shape:
        raise BlobError(f"{stage.inputs[1]} picks {stage.outputs[0]}")

    def step() -> None:
        store(target, source[_places(indices, source.shape[axis], axis)])

    return step


def gather_nd(stage: Stage, memory: Memory) -> Step:
    """Slices picked by the index vectors along the innermost axis of a tensor of indices."""
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    indices = memory.view(stage.inputs[1])
    batch = expect(stage.parameters, GatherNdParameters).batch_dims
    depth = indices.shape[-1]
    if not 0 <= batch < min(source.ndim, indices.ndim) or batch + depth > source.ndim:
        raise BlobError(f"{stage.inputs[1]} picks from {stage.inputs[0]}, with {batch} axes in common")
    outer, inner = math.prod(source.shape[:batch]), math.prod(source.shape[batch + depth :])
    picks = math.prod(indices.shape[batch:-1])
    if source.shape[:batch] != indices.shape[:batch] or outer * picks * inner != target.size:
        raise BlobError(f"{stage.inputs[1]} picks from {stage.inputs[0]} into {stage.outputs[0]}")
    sizes = source.shape[batch : batch + depth]

    def step() -> None:
        vectors = indices.reshape(outer, picks, depth)
        places = [_checked(vectors[..., k], size) for k, size in enumerate(sizes)]
        blocks = source.reshape(outer, *sizes, inner)
        store(target, blocks[(np.arange(outer)[:, np.newaxis], *places)])

    return step


def scatter_elements(stage: Stage, memory: Memory) -> Step:
    """A copy of a tensor with elements replaced, whose places along an axis a tensor of indices tells.

    Where two updates have one place, the later one of the tensor stays; what the chip does is not documented.
    """
    source, indices, updates = (memory.view(buffer) for buffer in stage.inputs[:3])
    target = memory.view(stage.outputs[0])
    axis = _outermost_first(source, int(memory.view(stage.inputs[3]).reshape(-1)[0]))
    _expect_within(indices, source, axis)
    if source.shape != target.shape or updates.shape != indices.shape:
        raise BlobError(f"{stage.inputs[2]} into {stage.inputs[0]} at {stage.inputs[1]}")

    def step() -> None:
        values = source.copy()
        values[_places(indices, source.shape[axis], axis)] = updates
        store(target, values)

    return step


def one_hot(stage: Stage, memory: Memory) -> Step:
    """A new axis on which one value stands at the index and another one elsewhere.

    An index outside the axis, a negative one among them, matches nowhere. Source: the operator OneHot-1 of OpenVINO,
    and the vendor's own test of this stage (``myriad_layers_oneHot_test.hpp``), which compares index and place.
    """
    p = expect(stage.parameters, OneHotParameters)
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    axis = axis_of(target, p.axis)
    outer, inner = math.prod(target.shape[:axis]), math.prod(target.shape[axis + 1 :])
    if target.shape[axis] != p.depth or outer * inner != source.size:
        raise BlobError(f"{stage.inputs[0]} over {p.depth} places into {stage.outputs[0]}")

    def step() -> None:
        hit = source.reshape(outer, 1, inner) == np.arange(p.depth).reshape(1, -1, 1)
        store(target, np.where(hit, np.float32(p.on_value), np.float32(p.off_value)))

    return step


def strided_slice(stage: Stage, memory: Memory) -> Step:
    """A part of a tensor: begin, end and step along each axis, outermost first; a mask says which limits count.

    Limits that are negative count from the end, and limits beyond the tensor end at its border, forwards and backwards
    alike. Source: the operator StridedSlice-1 of OpenVINO, with which the vendor's tests compare this stage, negative
    steps among them (``tests/functional/plugin/myriad/.../strided_slice.cpp``).
    """
    p = expect(stage.parameters, StridedSliceParameters)
    if p.new_axis_mask or p.shrink_axis_mask or p.ellipsis_mask:
        raise NotModelledError(f"a strided slice with masks for new or dropped axes ({p}) is not modelled")
    source, target = memory.view(stage.inputs[0]), memory.view(stage.outputs[0])
    begin, end = (memory.view(buffer).reshape(-1).tolist() for buffer in stage.inputs[1:3])
    absent = len(stage.inputs) < 4 or stage.inputs[3].is_absent
    steps = [1] * len(begin) if absent else memory.view(stage.inputs[3]).reshape(-1).tolist()
    slices = tuple(
        slice(begin[k] if p.begin_mask >> k & 1 else None, end[k] if p.end_mask >> k & 1 else None, steps[k])
        for k in range(min(source.ndim, len(begin), len(end), len(steps)))
    )
    part = source[slices]
    if part.shape != target.shape:
        raise BlobError(f"slice {slices} of {stage.inputs[0]} into {stage.outputs[0]}")
    return lambda: np.copyto(target, part)


def _outermost_first(tensor: Array, axis: int) -> int:
    """An axis counted from the outermost, or from the end if negative, checked."""
    if not -tensor.ndim <= axis < tensor.ndim:
        raise BlobError(f"axis {axis} of a tensor of {tensor.ndim} dimensions")
    return axis % tensor.ndim


def _expect_within(indices: Array, source: Array, axis: int) -> None:
    """Check that indices reach no further than the tensor they pick from, but along the axis of picking."""
    sizes = zip(indices.shape, source.shape, strict=True)
    if any(count > size for k, (count, size) in enumerate(sizes) if k != axis):
        raise BlobError(f"indices {indices.shape} into {source.shape} along axis {axis}")


def _places(indices: Array, size: int, axis: int) -> tuple[Array, ...]:
    """Coordinates of the elements that a tensor of indices along one axis names."""
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = _checked(indices, size)
    return tuple(places)


def _checked(indices: Array, size: int) -> Array:
    """Indices as integers; one that is out of range is an error, as the chip would read what lies there.

    Raises:
        NotModelledError: indices that count from the end. ONNX has them; the compiler passes them on as they are, and
            nothing says what the chip does with them.
        BlobError: indices beyond the axis.
    """
    whole = indices.astype(np.int64)
    if whole.min() >= -size and whole.min() < 0 and whole.max() < size:
        raise NotModelledError(
            f"picking by indices that count from the end ({whole.min()}) is not modelled: nothing says that the chip "
            "counts so; give the network indices from 0 on"
        )
    if whole.min() < 0 or whole.max() >= size:
        raise BlobError(f"indices {whole.min()}..{whole.max()} into an axis of {size} elements")
    return whole
