"""The host's side of the heads ``packed``: int32 tensors back to a heat map and descriptors.

An int32 holds four bytes, each a whole number q from 1 to 255 (with 0 a sum of four could leave int32), of which the
device sent q − 128:

* a probability p, on a logarithmic scale, since keypoints are found by thresholds and by comparing neighbours, where
  the ratio counts: q = 1 + ⌊25.4 · (10 + log₂ p) + 0.5⌋; one level is 2.8 % of p, and 1 stands for up to 2⁻¹⁰;
* a value x of a descriptor whose largest absolute value is m: q = 128 + ⌊127 · x / m + 0.5⌋.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError
from oakpoint.features.heatmap import pixels_from_cells
from oakpoint.features.sampling import unit_norm
from oakpoint.features.types import CELL_PX

VALUES = 4
"""Values in an int32."""

ZERO = 128
"""What the device subtracts from a byte, so that the four fit into a signed number."""

OCTAVES = 10
SMALLEST_PROBABILITY = 2.0**-OCTAVES
"""Probabilities up to this come out as 0: no keypoint. Lower thresholds than this find nothing more."""

LEVELS_PER_OCTAVE = 254 / OCTAVES
DESCRIPTOR_LEVELS = 127.0


def heatmap_from_packed(packed: NDArray[np.int32]) -> NDArray[np.float32]:
    """The probability of a keypoint at each pixel.

    Args:
        packed: int32 (16, Hc, Wc): byte i of channel c is pixel 16·i + c of the cell, row by row.

    Returns:
        float32 (8·Hc, 8·Wc), in [0, 1], within 1.4 % of what the device computed, or 0 for up to 2⁻¹⁰.

    Raises:
        FeaturesError: another type or shape.
    """
    levels = unpacked(packed)
    if len(levels) != CELL_PX * CELL_PX:
        raise FeaturesError(f"packed heat map: expected {CELL_PX * CELL_PX // VALUES} channels, got {len(packed)}")
    return pixels_from_cells(_PROBABILITIES[levels])


def descriptors_from_packed(packed: NDArray[np.int32]) -> NDArray[np.float32]:
    """Coarse descriptors of unit norm.

    Args:
        packed: int32 (D/4, Hc, Wc): byte i of channel c is value i · D/4 + c.

    Returns:
        float32 (D, Hc, Wc), each of unit L2 norm, or all zero where the device's was.

    Raises:
        FeaturesError: another type or rank.
    """
    values = unpacked(packed).astype(np.float32)
    values -= ZERO
    return unit_norm(values)


def unpacked(packed: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The bytes of int32 (C/4, Hc, Wc), as uint8 (C, Hc, Wc): byte i of channel c is channel i · C/4 + c.

    Raises:
        FeaturesError: another type or rank.
    """
    if packed.ndim != 3 or packed.dtype != np.int32:
        raise FeaturesError(
            f"packed: expected int32 of rank 3 (channels, rows, columns), got {packed.dtype} {packed.shape}"
        )
    offset = sum(ZERO << 8 * index for index in range(VALUES))
    whole = np.ascontiguousarray(packed).view(np.uint32) + np.uint32(offset)
    parts = whole.astype("<u4").view(np.uint8).reshape(*packed.shape, VALUES)
    return np.ascontiguousarray(np.moveaxis(parts, -1, 0)).reshape(-1, *packed.shape[1:])


def _probabilities() -> NDArray[np.float32]:
    levels = np.arange(256)
    return np.where(levels > 1, 2.0 ** ((levels - 1) / LEVELS_PER_OCTAVE - OCTAVES), 0.0).astype(np.float32)


_PROBABILITIES = _probabilities()
