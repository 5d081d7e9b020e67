"""Resizes in the modes whose meaning on the device is known; others as indices or matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError
from oakpoint.convert.rewrites.operators import resize_grid

Array = NDArray[Any]

NEAREST: Final = (("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil"))
"""Coordinates and roundings that the compiler's vendor tests on the device at any size; the source of its plugin says
that others are taken for these. Source: OpenVINO 2021.3, ``interpolate.cpp`` of the VPU plugin and of its tests."""

LINEAR: Final = ("asymmetric", "align_corners", "half_pixel", "pytorch_half_pixel")

_SAME = 1e-4
"""Difference of two weights that is none: rounding of coordinates in float32."""


class ResizeModes(LocalRewrite):
    """A resize is what ONNX's specification has it, whichever mode and ratio it names.

    The device derives its ratio from the two sizes, whatever scale the layer gives, and knows one batch, three or four
    dimensions, and two ways of nearest.

    * Nearest: another mode becomes one of the two if it takes the same elements; else ``Gather`` takes them, exactly.
    * Linear with the ratio of its sizes stays; else, and where it is cubic, each axis is multiplied by the matrix of
      its weights.
    * A batch is taken for further channels.
    """

    name = "resize-modes"
    operators: ClassVar[frozenset[str]] = frozenset({"Resize"})
    tolerance = 1e-5

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if "axes" in place.attributes or {values.size for values in _ratios(place)} != {len(place.shape)}:
            return False  # of a later opset, or of a size that is computed
        plan = _plan_of(place)
        mode = place.attributes.get("mode", b"nearest").decode()
        if plan.shape == plan.put:  # runtimes copy, whatever the scale
            place.editor.op("Identity", place.x, output=place.output)
            return True
        whole = len(plan.shape) in (3, 4) and plan.scales[:-2] == (1.0,) * (len(plan.shape) - 2)
        if mode == "nearest":
            return _nearest(place, plan, whole=whole)
        if whole and mode == "linear" and _of_ratio(plan):
            return _as_channels(place, plan, {}) if _batch(plan) > 1 else False
        x = place.x
        for axis in plan.resized():
            x = _times(place, x, axis, len(plan.shape), _weights(place, plan, axis))
        place.editor.op("Identity", x, output=place.output)
        return True


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes before and after, the scales between them, and how coordinates are taken."""

    shape: tuple[int, ...]
    put: tuple[int, ...]
    scales: tuple[float, ...]
    coordinates: str

    def resized(self) -> list[int]:
        return [axis for axis, scale in enumerate(self.scales) if scale != 1 or self.shape[axis] != self.put[axis]]

    def where(self, axis: int) -> Array:
        """Coordinates along an axis, as the layer says."""
        found = resize_grid.coordinates(self.shape[axis], self.put[axis], self.scales[axis], self.coordinates)
        whole = math.isclose(self.scales[axis] * self.shape[axis], self.put[axis], rel_tol=1e-5)
        if self.coordinates == "align_corners" and not whole:
            raise UnsupportedLayerError(
                "a scale that gives no whole size aligns corners in two ways, ONNX's specification's and its runtimes'",
                "give sizes in place of scales",
            )
        if found is None:
            raise UnsupportedLayerError(
                f"the device has no coordinates {self.coordinates!r}", "use half_pixel, align_corners or asymmetric"
            )
        return found

    def by_ratio(self, axis: int, coordinates: str) -> Array:
        """Coordinates along an axis, as the device takes them in one of its own modes."""
        size, put = self.shape[axis], self.put[axis]
        found = resize_grid.coordinates(size, put, put / size, coordinates)
        assert found is not None
        return found


def _ratios(place: Place) -> list[Array]:
    return [values for values in (place.constant(2), place.constant(3)) if values is not None and values.size]


def _plan_of(place: Place) -> _Plan:
    shape = place.shape
    scales, sizes = place.constant(2), place.constant(3)
    put = tuple(int(size) for size in sizes) if sizes is not None and sizes.size else None
    if put is None:
        assert scales is not None
        put = tuple(math.floor(np.float32(size) * scale) for size, scale in zip(shape, scales, strict=True))
        factors = tuple(float(scale) for scale in scales)
    else:
        factors = tuple(after / before for before, after in zip(shape, put, strict=True))
    mode = place.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    return _Plan(shape, put, factors, mode)


def _batch(plan: _Plan) -> int:
    return plan.shape[0] if len(plan.shape) == 4 else 1


def _nearest(place: Place, plan: _Plan, *, whole: bool) -> bool:
    rounding = place.attributes.get("nearest_mode", b"round_prefer_floor").decode()
    taken = {axis: resize_grid.nearest(plan.where(axis), plan.shape[axis], rounding) for axis in plan.resized()}
    for mode, own in NEAREST if whole else ():
        same = all(
            np.array_equal(places, resize_grid.nearest(plan.by_ratio(axis, mode), plan.shape[axis], own))
            for axis, places in taken.items()
        )
        if same and (mode, own) == (plan.coordinates, rounding) and _batch(plan) == 1:
            return False
        if same:
            return _as_channels(place, plan, {"coordinate_transformation_mode": mode, "nearest_mode": own})
    x = place.x
    for axis, places in taken.items():
        x = place.editor.op("Gather", x, place.editor.constant(places, "int64"), axis=axis)
    place.editor.op("Identity", x, output=place.output)
    return True


def _of_ratio(plan: _Plan) -> bool:
    """Whether the device's coordinates are those of the layer."""
    return plan.coordinates in LINEAR and all(
        np.allclose(plan.where(axis), plan.by_ratio(axis, plan.coordinates), rtol=0, atol=_SAME)
        for axis in plan.resized()
    )


def _as_channels(place: Place, plan: _Plan, modes: dict[str, str]) -> bool:
    """Resize the last two axes, all before them as channels."""
    editor = place.editor
    plain = _batch(plan) == 1
    shape, put = plan.shape, plan.put
    if not plain:
        shape, put = (1, shape[0] * shape[1], *shape[2:]), (1, put[0] * put[1], *put[2:])
    x = place.x if plain else editor.op("Reshape", place.x, editor.constant(shape, "int64"))
    resized = editor.op("Resize", x, "", "", editor.constant(put, "int64"), **(place.attributes | modes))
    if not plain:
        resized = editor.op("Reshape", resized, editor.constant(plan.put, "int64"))
    editor.op("Identity", resized, output=place.output)
    return True


def _weights(place: Place, plan: _Plan, axis: int) -> Array:
    """The matrix (resized, size) of an axis."""
    where, size, given = plan.where(axis), plan.shape[axis], place.attributes
    if given["mode"] == b"linear":
        return resize_grid.linear(where, size)
    outside = bool(given.get("exclude_outside"))
    return resize_grid.cubic(where, size, given.get("cubic_coeff_a", -0.75), exclude_outside=outside)


def _times(place: Place, x: str, axis: int, rank: int, weights: Array) -> str:
    """A tensor with one axis multiplied by weights (resized, size)."""
    editor = place.editor
    if rank == 1:
        row = editor.op("MatMul", editor.op("Unsqueeze", x, editor.constant([0], "int64")), editor.constant(weights.T))
        return editor.op("Squeeze", row, editor.constant([0], "int64"))
    if axis == rank - 1:
        return editor.op("MatMul", x, editor.constant(weights.T))
    if axis == rank - 2:
        return editor.op("MatMul", editor.constant(weights), x)
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    product = editor.op("MatMul", editor.op("Transpose", x, perm=order), editor.constant(weights.T))
    return editor.op("Transpose", product, perm=order)
