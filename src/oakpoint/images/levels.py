"""Grey levels 0 to 255 from the other pixel types that files hold: 16 bits, signed integers, floating point.

The rule, for one file by itself, all channels together:

1. The *range in use* is that of the finite values without the lowest and the highest 0.1 %, so that a dead or a hot
   pixel of a sensor does not decide; it is the whole range where that leaves one value only.
2. A type with a *nominal range* (unsigned integers: all of the type's; floating point: 0 to 1, where no value lies
   outside) of which at least a quarter is in use is scaled by it: of integers the high byte is kept, as ``cv2.imread``
   does, and floating point is multiplied by 255 and rounded.
3. In all other cases (10, 12 or 14 bits in 16, a thermal camera, degrees, millimetres, negative values) the range in
   use is stretched to 0–255, and what lies outside is clipped.

Values that are not finite become the lowest finite one. An 8-bit image stays what it is. Why a quarter: a photograph of
16 bits nearly always covers it, and a sensor of 14 bits or fewer never does. Frames of one sequence that fall under
rule 3 are scaled each by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError

OUTLIER_PERCENT = 0.1
"""Share of the values, at each end, that does not count for the range in use."""

SMALLEST_SHARE = 1 / 4
"""Share of the nominal range that must be in use for the nominal range to be the scale."""


def uint8_from_levels(pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], str | None]:
    """The same image in 8 bits, by the rule above.

    Args:
        pixels: (H, W) or (H, W, C), of integers or floating point.

    Returns:
        uint8 of the same shape, and what was done where the values were stretched, such as «16 bit, values 7012 to 8411
        scaled to 0–255»; None where they were not.

    Raises:
        ImageError: another type, or not one finite value.
    """
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False), None
    if pixels.dtype.kind not in "uif":
        raise ImageError(f"expected integers or floating point, got {pixels.dtype}; convert it first")
    finite = np.isfinite(pixels)
    values = pixels if finite.all() else pixels[finite]
    if values.size == 0:
        raise ImageError(f"expected pixels, got {pixels.dtype} without one finite value")
    said = []
    if (lost := pixels.size - values.size) > 0:
        pixels = np.where(finite, pixels, values.min())
        said.append(f"{lost} values that are not finite set to the lowest")
    low, high = _range_in_use(values)
    nominal = _nominal_range(values)
    if nominal is not None and high - low >= SMALLEST_SHARE * nominal:
        levels = _by_nominal_range(pixels)
    else:
        levels = _stretched(pixels, low, high)
        said.append(f"values {_number(low)} to {_number(high)} scaled to 0–255")
    return levels, f"{_name(pixels.dtype)}, {', '.join(said)}" if said else None


def _range_in_use(values: NDArray[Any]) -> tuple[float, float]:
    last = values.size - 1
    ranks = [round(last * share / 100) for share in (OUTLIER_PERCENT, 100 - OUTLIER_PERCENT)]
    if values.dtype == np.uint16:  # a histogram takes a tenth of the time
        below = np.cumsum(np.bincount(values.ravel().astype(np.int64)))
        low, high = np.searchsorted(below, ranks, side="right").tolist()
    else:
        low, high = np.partition(values.ravel(), ranks)[ranks].tolist()
    if low == high:
        low, high = values.min().item(), values.max().item()
    return low, high


def _nominal_range(values: NDArray[Any]) -> int | None:
    """The largest value that the type stands for, the smallest being 0; None where it has no such range."""
    if values.dtype.kind == "u":
        return int(np.iinfo(values.dtype).max)
    inside = values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1
    return 1 if inside else None


def _by_nominal_range(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype.kind == "f":
        return np.rint(np.asarray(pixels, np.float64) * 255).astype(np.uint8)
    shift = 8 * (pixels.dtype.itemsize - 1)
    return np.asarray(pixels >> shift).astype(np.uint8)


def _stretched(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """(v − low) · 255 / (high − low), rounded and clipped; 0 everywhere where there is one value only."""
    if pixels.dtype == np.uint16:  # one look-up instead of arithmetic in float64
        return np.asarray(_affine(np.arange(1 << 16), low, high)[pixels])
    return _affine(pixels, low, high)


def _affine(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    span = high / 2 - low / 2  # halves, since the difference of two large numbers may be infinite
    if span == 0:
        return np.zeros(values.shape, np.uint8)
    clipped = np.clip(np.asarray(values, np.float64), low, high)
    return np.rint((clipped / 2 - low / 2) / span * 255).astype(np.uint8)


def _name(dtype: np.dtype[np.generic]) -> str:
    bits = f"{8 * dtype.itemsize} bit"
    return {"u": bits, "i": f"{bits} signed"}.get(dtype.kind, f"{bits} floating point")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.5g}"
