"""What ONNX's Resize takes from where along one axis: indices, or a matrix of weights.

Source: ONNX, operator Resize, ``coordinate_transformation_mode``, ``nearest_mode``, ``cubic_coeff_a`` and
``exclude_outside``. Coordinates are rounded to 1e-5 of an element: what is whole or half by arithmetic is so here, and
in runtimes, whatever a scale in float32 makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def coordinates(size: int, resized: int, scale: float, mode: str) -> Array | None:
    """Where each element of the resized axis lies on the original one, in elements; None for another mode.

    Args:
        size: of the original axis.
        resized: of the resized one.
        scale: between them as the layer says, which may be other than their quotient.
        mode: ``coordinate_transformation_mode``.
    """
    index, factor = np.arange(resized, dtype=np.float64), float(scale)
    if size == resized and factor == 1:
        return index
    if mode == "align_corners":
        found = index * (size - 1) / max(resized - 1, 1)
    elif mode == "asymmetric":
        found = index / factor
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and resized > 1):
        found = (index + 0.5) / factor - 0.5
    elif mode == "pytorch_half_pixel":
        found = np.zeros(1)
    elif mode == "tf_half_pixel_for_nn":
        found = (index + 0.5) / factor
    else:
        return None
    return np.asarray(np.round(found, 5))


_ROUNDED: Final[dict[str, Callable[[Array], Array]]] = {
    "round_prefer_floor": lambda x: np.floor(x) + (x - np.floor(x) > 0.5),
    "round_prefer_ceil": lambda x: np.floor(x) + (x - np.floor(x) >= 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def nearest(where: Array, size: int, rounding: str) -> Array:
    """The element that each coordinate takes.

    Args:
        where: coordinates.
        size: of the original axis.
        rounding: ``nearest_mode``.
    """
    return np.asarray(np.clip(_ROUNDED[rounding](where), 0, size - 1).astype(np.int64))


def linear(where: Array, size: int) -> Array:
    """Weights (resized, size) between the two elements around each coordinate."""
    held = np.clip(where.astype(np.float64), 0, size - 1)
    low = np.floor(held).astype(np.int64)
    high, weight = np.minimum(low + 1, size - 1), held - low
    weights = np.zeros((len(where), size))
    rows = np.arange(len(where))
    np.add.at(weights, (rows, low), 1 - weight)
    np.add.at(weights, (rows, high), weight)
    return weights


def cubic(where: Array, size: int, a: float, *, exclude_outside: bool) -> Array:
    """Weights (resized, size) of the four elements around each coordinate; those outside are the border's.

    Args:
        where: coordinates.
        size: of the original axis.
        a: ``cubic_coeff_a``.
        exclude_outside: elements outside weigh nothing, and the others more.
    """
    low = np.floor(where).astype(np.int64)
    part = where.astype(np.float64) - low
    weights = np.zeros((len(where), size))
    rows = np.arange(len(where))
    for offset in range(-1, 3):
        distance = np.abs(part - offset)
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((distance - 5) * distance + 8) * distance * a - 4 * a
        weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
        place = low + offset
        if exclude_outside:
            weight = np.where((place < 0) | (place >= size), 0, weight)
        np.add.at(weights, (rows, np.clip(place, 0, size - 1)), weight)
    return weights / weights.sum(axis=1, keepdims=True) if exclude_outside else weights
